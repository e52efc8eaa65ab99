"""Certificates as they lie on the disk, and what must hold of them before a network starts with them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.core.errors import EnvironmentProblem

if TYPE_CHECKING:
    from cryptography import x509

    from qanat.crypto.pki import KeyKind


def check_ca(folder: Path, certificate: x509.Certificate, common_name: str, now: datetime) -> None:
    """This network's, and good now. Raises: EnvironmentProblem."""
    names = [attribute.value for attribute in certificate.subject]
    if names != [common_name]:
        raise EnvironmentProblem(
            f"The CA in {folder} is {certificate.subject.rfc4514_string()}, not the one of this network "
            f"(CN={common_name}). Give this network its own directory with QANAT_STATE."
        )
    if now >= certificate.not_valid_after_utc:
        raise EnvironmentProblem(
            f"The CA in {folder} expired on {certificate.not_valid_after_utc:%Y-%m-%d}. Move that folder away and "
            "start again: a new CA and new certificates are made, stored keys stay. Applications then need the new "
            "CA file and certificates."
        )
    if now < certificate.not_valid_before_utc:
        raise EnvironmentProblem(
            f"The CA in {folder} is valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC and this "
            f"machine's clock says {now:%Y-%m-%d %H:%M} UTC. Set the clock."
        )


def check_kind(folder: Path, certificate: x509.Certificate, kind: KeyKind) -> None:
    """Whom applications trust is not changed without a person's hand. Raises: EnvironmentProblem."""
    from qanat.crypto.signing_keys import certificate_kind

    found = certificate_kind(certificate)
    if found != kind:
        raise EnvironmentProblem(
            f"The CA in {folder} is {found}, and the network file's policy.pki asks for {kind} there. Set it back; or "
            "move the folders ca, ca-applications and ca-operators and the file access/revoked.crl away and start "
            "again: all get new certificates, stored keys stay, and applications need the new CA file and certificates."
        )


def certificate_in(path: Path, pem: bytes) -> x509.Certificate:
    """Raises: EnvironmentProblem."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise EnvironmentProblem(f"{path} is no certificate in PEM. Move it away to have a new one made.") from None


def urns_of(certificate: x509.Certificate) -> list[str]:
    """Whom it names."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def is_signed_by(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    """By that very key, not only by a CA of that name."""
    from cryptography.exceptions import InvalidSignature

    try:
        leaf.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def belongs_to(key_pem: bytes, certificate: x509.Certificate) -> bool:
    """Is it the private key of this certificate?"""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError):
        return False
    return key.public_key() == certificate.public_key()
