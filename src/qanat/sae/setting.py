"""What both clients are told: where the KME is, and who we are."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId
from qanat.sae.errors import CertificateUnusable

DEFAULT_PORT = 443


def kme_address(base_url: str | None, host: str | None, port: int | None) -> tuple[str, int]:
    """Host and port.

    Raises:
        MisuseError: not the address of a KME.
    """
    if (base_url is None) == (host is None):
        raise MisuseError("Give the KME's address as base_url, or as host and port.")
    if base_url is None:
        assert host is not None
        return host, port or DEFAULT_PORT
    try:
        parts = urlsplit(base_url)
        if parts.scheme == "https" and parts.hostname and not parts.path.strip("/"):
            return parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:  # a port that is none, a bracket that is not closed
        pass
    raise MisuseError(f"{base_url!r} is not the address of a KME; write https://host:port")


def sae_id_in(certfile: str | os.PathLike[str]) -> SaeId:
    """Who we are, as our certificate says.

    Raises:
        CertificateUnusable: it is not a qanat certificate of an SAE.
    """
    import ssl

    from qanat.core.errors import QanatError
    from qanat.crypto.identity import CertificateRole, identity_from_der

    try:
        text = Path(certfile).read_text("ascii")
        leaf = text[text.index(ssl.PEM_HEADER) : text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)]  # a chain may follow
        identity = identity_from_der(ssl.PEM_cert_to_DER_cert(leaf))
    except (OSError, ValueError, QanatError):
        raise CertificateUnusable(f"{certfile} does not say which SAE it is for.") from None
    if identity.role is not CertificateRole.SAE:
        raise CertificateUnusable(f"{certfile} is the certificate of a {identity.role.value}, not of an SAE.")
    return SaeId(identity.name)
