"""Certificates that no CA of ours would issue, for tests of doors."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from qanat.crypto.signing_keys import KeyKind, key_from_pem, make_key, pem_from_key, sign

PURPOSES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


def hostile(
    folder: Path,
    *,
    urns: Sequence[str],
    signer: Path | None,
    age_days: float = 1,
    left_days: float = 1,
    purpose: str = "client",
    chain: Sequence[Path] = (),
    kind: KeyKind = "ecdsa-p256",
) -> tuple[Path, Path]:
    """A leaf and its key.

    Args:
        signer: Folder with cert.pem and key.pem, a CA's or not; None signs itself.
        age_days: Since it is good; negative is in the future.
        left_days: Until it ends; negative is in the past.
        chain: Certificates to send with it.
        kind: Of its key.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key, now = make_key(kind, None), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "m0")])
    issuer, issuer_key = subject, key
    if signer is not None:
        issuer = x509.load_pem_x509_certificate((signer / "cert.pem").read_bytes()).subject
        issuer_key = key_from_pem((signer / "key.pem").read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=age_days))
        .not_valid_after(now + timedelta(days=left_days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([PURPOSES[purpose]]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    names = [x509.UniformResourceIdentifier(urn) for urn in urns] or [x509.DNSName("m0")]
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = sign(builder, issuer_key).public_bytes(serialization.Encoding.PEM)
    (folder / "cert.pem").write_bytes(pem + b"".join(each.read_bytes() for each in chain))
    (folder / "key.pem").write_bytes(pem_from_key(key))
    return folder / "cert.pem", folder / "key.pem"
