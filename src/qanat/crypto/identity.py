"""Who a certificate speaks for: a role and a name, spelled ``urn:qanat:<role>:<name>`` in a URI SAN."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from qanat.core.errors import MisuseError, QanatError

# X.520 limits a CN to 64 characters; the first and the last are letters or digits.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")

# All that ``cryptography`` raises over certificates and requests that others made; most of it is no ``ValueError``.
STRANGE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class CertificateRole(StrEnum):
    """Who a leaf speaks for."""

    KME = "kme"
    SAE = "sae"
    CONTROLLER = "controller"
    ADMIN = "admin"
    REGISTRAR = "registrar"


class IdentityError(QanatError):
    """The certificate does not say who this is. qanat certificates carry exactly one URI name
    `urn:qanat:<role>:<name>`; use one that this network's CA issued."""


class CertificateRefused(MisuseError):
    """No certificate can be made from these names or dates. Names have 1 to 64 letters, digits, dots,
    hyphens and underscores, and begin and end with a letter or digit."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who holds a leaf."""

    role: CertificateRole
    name: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise CertificateRefused(f"{self.name!r} is not a name for a {self.role.value}")

    @property
    def urn(self) -> str:
        """The URI in the certificate.

        Example:
            >>> Identity(CertificateRole.SAE, "vpn-a").urn
            'urn:qanat:sae:vpn-a'
        """
        return f"urn:qanat:{self.role.value}:{self.name}"


def identity_from_der(der: bytes) -> Identity:
    """Who a peer is, from the certificate that TLS has already verified against the CA.

    Raises:
        IdentityError: not a certificate, no such name, several, or not one that we would issue.
    """
    try:
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (*STRANGE, x509.ExtensionNotFound):
        raise IdentityError("it is no certificate, or has no subject alternative name") from None
    uris = [uri for uri in names.value.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith("urn:")]
    if len(uris) != 1:
        raise IdentityError(f"it carries {len(uris)} names where one is needed")
    return identity_from_urn(uris[0])


def identity_from_urn(urn: str) -> Identity:
    """The identity that a URI spells.

    Raises:
        IdentityError: it is none of ours.

    Example:
        >>> identity_from_urn("urn:qanat:kme:lyon").name
        'lyon'
    """
    scheme, _, rest = urn.partition("urn:qanat:")
    role, _, name = rest.partition(":")
    if scheme or role not in set(CertificateRole) or not _NAME.fullmatch(name):
        raise IdentityError(f"{urn[:120]!r} names nobody in a qanat network")
    return Identity(CertificateRole(role), name)


def role_from_text(role: str) -> CertificateRole:
    if role not in set(CertificateRole):
        raise CertificateRefused(f"{role!r} is no role; roles are {', '.join(CertificateRole)}")
    return CertificateRole(role)
