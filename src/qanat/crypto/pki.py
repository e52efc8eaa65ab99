"""The network's own certificates: a CA, and leaves that say who somebody is. Pure functions on PEM bytes.

Layout: one that every known ETSI 014 client accepts (tests/conformance). ECDSA P-256, or ML-DSA-65 where a CA was made
so: its leaves follow it (``signing_keys.py``). The name sits in a
URI SAN ``urn:qanat:<role>:<name>``, which is what the servers read; SAE leaves repeat it as CN, which is
what other KMEs read. Times and entropy are arguments; without an ``Entropy`` the library's own generator
draws. Keys come back unencrypted: whoever writes them to disk guards the file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qanat.core.ports import Entropy
from qanat.crypto.identity import (
    STRANGE,
    CertificateRefused,
    CertificateRole,
    Identity,
    IdentityError,
    identity_from_der,
    identity_from_urn,
    role_from_text,
)
from qanat.crypto.signing_keys import (
    KEY_KINDS,
    KeyKind,
    SigningKey,
    key_from_pem,
    key_kind,
    make_key,
    pem_from_key,
    sign,
    sign_list,
)

__all__ = [
    "CertificateRefused",
    "CertificateRole",
    "Identity",
    "IdentityError",
    "KeyKind",
    "RoleName",
    "ca_kind",
    "identity_from_der",
    "identity_from_urn",
    "issue",
    "make_ca",
    "revocation_list",
    "sign_request",
]

_DNS: Final = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
_CLOCK_SKEW: Final = timedelta(minutes=5)  # a leaf is valid at once at a peer whose clock is a little behind
# A request's key is of its CA's family: under an ML-DSA CA a P-256 leaf would be the weakest signature of the chain.
_REQUESTED: Final = {"ecdsa-p256": ("ecdsa-p256", "ecdsa-p384"), "ml-dsa-65": ("ml-dsa-65", "ml-dsa-87")}
_KINDS_IN_WORDS: Final = {"ecdsa-p256": "ECDSA on P-256 or P-384", "ml-dsa-65": "ML-DSA-65 or ML-DSA-87"}


RoleName = Literal["kme", "sae", "controller", "admin", "registrar"]

Usages = tuple[x509.ObjectIdentifier, ...]
_USAGES: Final = {
    CertificateRole.KME: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    CertificateRole.CONTROLLER: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
    CertificateRole.SAE: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    CertificateRole.ADMIN: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    CertificateRole.REGISTRAR: (ExtendedKeyUsageOID.SERVER_AUTH,),  # of the KMEs' CA, and no client at their doors
}


def make_ca(
    *, common_name: str, now: datetime, days: int, kind: KeyKind = "ecdsa-p256", entropy: Entropy | None = None
) -> tuple[bytes, bytes]:
    """A CA of its own: certificate and private key in PEM.

    Args:
        common_name: Shown to people.
        now: With a time zone.
        kind: Its key, and those of all its leaves.

    Raises:
        CertificateRefused: no usable name, time or number of days.
    """
    if not 1 <= len(common_name) <= 64 or not common_name.isprintable():
        raise CertificateRefused(f"{common_name!r} is not a name for a CA")
    _check_dates(now, days)
    key = make_key(kind, entropy)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _builder(subject, key, now, days, entropy)
        .issuer_name(subject)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return _pem(sign(builder, key)), pem_from_key(key)


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
    key = make_key(ca_kind(ca_cert), entropy)
    who = Identity(role_from_text(role), identity)
    usages = _usages(who.role, is_serving=is_serving)
    return _leaf(ca_cert, ca_key, who, usages, hosts, key, now, days, entropy), pem_from_key(key)


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
        CertificateRefused: no request in PEM, its signature is wrong, or its key is not of the CA's family; and as
            ``issue``.
    """
    try:
        request = x509.load_pem_x509_csr(csr)
    except STRANGE:
        raise CertificateRefused("this is no certificate request in PEM") from None
    kind = ca_kind(ca_cert)
    if _request_kind(request) not in _REQUESTED[kind]:
        raise CertificateRefused(f"the request's key is not {_KINDS_IN_WORDS[kind]}, which this CA signs")
    if not _is_signed(request):
        raise CertificateRefused("the request is not signed by its own key")
    who = Identity(role_from_text(role), identity)
    usages = _usages(who.role, is_serving=bool(hosts))
    return _leaf(ca_cert, ca_key, who, usages, hosts or [], request, now, days, None)


def revocation_list(
    *, ca_cert: bytes, ca_key: bytes, serials: Sequence[int] | Mapping[int, datetime], now: datetime, days: int
) -> bytes:
    """A CRL in PEM: these leaves of the CA are not good any more, or not from the time on that is given with each.

    Raises:
        CertificateRefused: key and CA do not belong together.
    """
    issuer = x509.load_pem_x509_certificate(ca_cert)
    signer = _ca_key(ca_key, issuer)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject).last_update(now)
    builder = builder.next_update(now + timedelta(days=days))
    for serial, since in (serials if isinstance(serials, Mapping) else dict.fromkeys(serials, now)).items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
        builder = builder.add_revoked_certificate(entry)
    return sign_list(builder, signer).public_bytes(serialization.Encoding.PEM)


def ca_kind(ca_cert: bytes) -> KeyKind:
    """What key a CA of ours holds.

    Raises:
        CertificateRefused: one that we do not make.
    """
    try:
        found = key_kind(x509.load_pem_x509_certificate(ca_cert).public_key())
    except UnsupportedAlgorithm:
        found = "other"
    for kind in KEY_KINDS:
        if kind == found:
            return kind
    raise CertificateRefused(f"the CA's key is none of {', '.join(KEY_KINDS)}")


def _request_kind(request: x509.CertificateSigningRequest) -> str:
    try:
        return key_kind(request.public_key())
    except STRANGE:
        return "other"


def _is_signed(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except STRANGE:
        return False


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
    return _pem(sign(builder, signer))


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


def _ca_key(pem: bytes, issuer: x509.Certificate) -> SigningKey:
    key: SigningKey = key_from_pem(pem)
    if key_kind(key.public_key()) not in KEY_KINDS or key.public_key() != issuer.public_key():
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


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
