"""The network's own certificates: a CA, and leaves that say who somebody is. Pure functions on PEM bytes.

Layout: one that every known ETSI 014 client accepts (tests/conformance). ECDSA P-256. The name sits in a
URI SAN ``urn:qanat:<role>:<name>``, which is what the servers read; SAE leaves repeat it as CN, which is
what other KMEs read. Times and entropy are arguments; without an ``Entropy`` the library's own generator
draws. Keys come back unencrypted: whoever writes them to disk guards the file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qanat.core.ports import Entropy
from qanat.crypto.identity import (
    CertificateRefused,
    CertificateRole,
    Identity,
    IdentityError,
    identity_from_der,
    identity_from_urn,
    role_from_text,
)

__all__ = [
    "CertificateRefused",
    "CertificateRole",
    "Identity",
    "IdentityError",
    "RoleName",
    "identity_from_der",
    "identity_from_urn",
    "issue",
    "make_ca",
    "revocation_list",
    "sign_request",
]

_DNS: Final = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-5
_CLOCK_SKEW: Final = timedelta(minutes=5)  # a leaf is valid at once at a peer whose clock is a little behind


RoleName = Literal["kme", "sae", "controller", "admin"]

Usages = tuple[x509.ObjectIdentifier, ...]
_USAGES: Final = {
    CertificateRole.KME: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    CertificateRole.CONTROLLER: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    CertificateRole.SAE: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    CertificateRole.ADMIN: (ExtendedKeyUsageOID.CLIENT_AUTH,),
}


def make_ca(*, common_name: str, now: datetime, days: int, entropy: Entropy | None = None) -> tuple[bytes, bytes]:
    """A CA of its own: certificate and private key in PEM.

    Args:
        common_name: Shown to people.
        now: With a time zone.

    Raises:
        CertificateRefused: no usable name, time or number of days.
    """
    if not 1 <= len(common_name) <= 64 or not common_name.isprintable():
        raise CertificateRefused(f"{common_name!r} is not a name for a CA")
    _check_dates(now, days)
    key = _private_key(entropy)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(subject, key, now, days, entropy)
        .issuer_name(subject)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return _signed(builder, key), _pem(key)


def issue(
    *,
    ca_cert: bytes,
    ca_key: bytes,
    role: RoleName | CertificateRole,
    identity: str,
    hosts: list[str],
    now: datetime,
    days: int,
    entropy: Entropy | None = None,
    is_serving: bool = False,
) -> tuple[bytes, bytes]:
    """A leaf of this CA: certificate and private key in PEM.

    Args:
        role: KME and controller leaves serve and call, SAE and admin leaves call only.
        identity: Site, SAE or operator.
        hosts: DNS names and IP addresses at which a server is reached. At least one for a KME.
        is_serving: An SAE leaf that may serve too, because keys of its streams are pushed to it.
        days: Cut short where the CA ends earlier.

    Raises:
        CertificateRefused: a name or host is not usable, the CA is over, or key and CA do not belong together.
    """
    key = _private_key(entropy)
    who = Identity(role_from_text(role), identity)
    usages = _usages(who.role, is_serving=is_serving)
    return _leaf(ca_cert, ca_key, who, usages, hosts, key, now, days, entropy), _pem(key)


def sign_request(
    *,
    ca_cert: bytes,
    ca_key: bytes,
    role: RoleName | CertificateRole,
    identity: str,
    csr: bytes,
    now: datetime,
    days: int,
    hosts: list[str] | None = None,
) -> bytes:
    """A leaf for a key that stays where it was made. Only the key is taken from the request: who it is, the CA says.

    Args:
        hosts: Where an application may serve too; None: it only calls.

    Raises:
        CertificateRefused: no request in PEM, its signature is wrong, or its key is not ECDSA on P-256 or P-384; and as
            ``issue``.
    """
    try:
        request = x509.load_pem_x509_csr(csr)
    except ValueError:
        raise CertificateRefused("this is no certificate request in PEM") from None
    public = request.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name not in ("secp256r1", "secp384r1"):
        raise CertificateRefused("the request's key is not ECDSA on P-256 or P-384")
    if not request.is_signature_valid:
        raise CertificateRefused("the request is not signed by its own key")
    who = Identity(role_from_text(role), identity)
    usages = _usages(who.role, is_serving=bool(hosts))
    return _leaf(ca_cert, ca_key, who, usages, hosts or [], request, now, days, None)


def revocation_list(*, ca_cert: bytes, ca_key: bytes, serials: Sequence[int], now: datetime, days: int) -> bytes:
    """A CRL in PEM: these leaves of the CA are not good any more.

    Raises:
        CertificateRefused: key and CA do not belong together.
    """
    issuer = x509.load_pem_x509_certificate(ca_cert)
    signer = _ca_key(ca_key, issuer)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(now)
    builder = builder.next_update(now + timedelta(days=days))
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class _HasPublicKey(Protocol):
    """A private key or a request: whose leaf it is."""

    def public_key(self) -> Any: ...


def _leaf(
    ca_cert: bytes,
    ca_key: bytes,
    who: Identity,
    usages: Usages,
    hosts: list[str],
    holder: _HasPublicKey,
    now: datetime,
    days: int,
    entropy: Entropy | None,
) -> bytes:
    _check_dates(now, days)
    issuer = x509.load_pem_x509_certificate(ca_cert)
    signer = _ca_key(ca_key, issuer)
    if not issuer.not_valid_before_utc <= now < issuer.not_valid_after_utc:
        raise CertificateRefused(f"the CA is valid to {issuer.not_valid_after_utc:%Y-%m-%d}, not now")
    if who.role is CertificateRole.KME and not hosts:
        raise CertificateRefused(f"KME {who.name}: its clients need at least one host name or address")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who.name)])
    names = [_host(host) for host in dict.fromkeys(hosts)]
    builder = (
        _builder(subject, holder, now, days, entropy)
        .issuer_name(issuer.subject)
        .not_valid_after(min(now + timedelta(days=days), issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([*names, x509.UniformResourceIdentifier(who.urn)]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return _signed(builder, signer)


def _usages(role: CertificateRole, *, is_serving: bool) -> Usages:
    """An application calls, and serves only where it was given a place."""
    is_added = is_serving and role is CertificateRole.SAE
    return (ExtendedKeyUsageOID.SERVER_AUTH, *_USAGES[role]) if is_added else _USAGES[role]


def _check_dates(now: datetime, days: int) -> None:
    if now.tzinfo is None or days < 1:
        raise CertificateRefused(f"a certificate needs a time with a zone and a day at least, not {now} and {days}")


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if not _DNS.fullmatch(host):
        raise CertificateRefused(f"{host!r} is neither a host name nor an IP address")
    return x509.DNSName(host)


def _private_key(entropy: Entropy | None) -> ec.EllipticCurvePrivateKey:
    if entropy is None:
        return ec.generate_private_key(ec.SECP256R1())
    # FIPS 186-5, A.2.1: 64 bits more than the order has, so that the remainder is even to 2**-64.
    secret = int.from_bytes(entropy.random_bytes(40)) % (_P256_ORDER - 1) + 1
    return ec.derive_private_key(secret, ec.SECP256R1())


def _ca_key(pem: bytes, issuer: x509.Certificate) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != issuer.public_key():
        raise CertificateRefused("the CA's private key does not belong to its certificate")
    return key


def _builder(
    subject: x509.Name, key: _HasPublicKey, now: datetime, days: int, entropy: Entropy | None
) -> x509.CertificateBuilder:
    # RFC 5280, 4.1.2.2: positive, at most 20 octets.
    serial = x509.random_serial_number() if entropy is None else int.from_bytes(entropy.random_bytes(19)) | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - _CLOCK_SKEW)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(*, is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, signer: ec.EllipticCurvePrivateKey) -> bytes:
    # Deterministic ECDSA (RFC 6979): a weak generator cannot give the CA's key away through a nonce.
    certificate = builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
