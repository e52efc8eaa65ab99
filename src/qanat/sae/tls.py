"""Whom we trust and who we are: the TLS context, and the names in the KME's certificate."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qanat.core.errors import QanatError
from qanat.sae.errors import CertificateUnusable, KmeNotTrusted

URN, URN_KME = "urn:qanat:", "urn:qanat:kme:"


def client_context(
    *, certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str], cafile: str | os.PathLike[str]
) -> ssl.SSLContext:
    """TLS 1.2 or higher; the KME's certificate and name are checked; ours is shown.

    Raises:
        CertificateUnusable: a file is missing, not PEM, encrypted, or certificate and key differ.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (cafile, certfile, keyfile):
        if not Path(path).is_file():
            raise CertificateUnusable(f"{path} is not there.")
    try:
        context.load_verify_locations(Path(cafile))
        context.load_cert_chain(Path(certfile), Path(keyfile), password=_refuse_password)
    except _Encrypted:
        raise CertificateUnusable(f"{keyfile} is encrypted.") from None
    except (OSError, ssl.SSLError) as error:
        raise CertificateUnusable(f"{certfile} with {keyfile} and {cafile}: {error}.") from None
    return context


def kme_id_of(certificate: Mapping[str, Any] | None) -> str | None:
    """Who the KME is by its verified certificate. None: not one of qanat's."""
    names = [name for name in _names(certificate) if name.startswith(URN_KME)]
    return names[0].removeprefix(URN_KME) if len(names) == 1 else None


def check_is_kme(certificate: Mapping[str, Any] | None, address: str) -> None:
    """Raises:
    KmeNotTrusted: it is a certificate of a qanat network and names somebody who is no KME.
    """
    names = _names(certificate)
    if any(name.startswith(URN) and not name.startswith(URN_KME) for name in names):
        raise KmeNotTrusted(f"The certificate of {address} is {', '.join(names)}, which names no KME.")


def _names(certificate: Mapping[str, Any] | None) -> list[str]:
    """The URIs that a certificate carries."""
    return [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]


class _Encrypted(QanatError):
    """The private key is encrypted."""


def _refuse_password() -> str:
    """OpenSSL would otherwise ask on the terminal and wait."""
    raise _Encrypted
