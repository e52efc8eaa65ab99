"""Whom we trust and who we are: the TLS context, and the names in the KME's certificate."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qanat.core.errors import QanatError
from qanat.sae.errors import CertificateUnusable, KmeNotTrusted

HAS_HYBRID_GROUPS = ssl.OPENSSL_VERSION_INFO >= (3, 5)  # X25519MLKEM768, and certificates with ML-DSA
URN, URN_KME = "urn:qanat:", "urn:qanat:kme:"


def client_context(
    *, certfile: str | os.PathLike[str], keyfile: str | os.PathLike[str], cafile: str | os.PathLike[str]
) -> ssl.SSLContext:
    """TLS 1.2 or higher, X25519MLKEM768 where the KME can; the KME's certificate and name are checked; ours is shown.

    Raises:
        CertificateUnusable: a file is missing, not PEM, encrypted, or certificate and key differ.
    """
    for path in (cafile, certfile, keyfile):
        if not Path(path).is_file():
            raise CertificateUnusable(f"{path} is not there.")
    make = _plain if HAS_HYBRID_GROUPS else _hybrid
    try:
        return make(Path(certfile), Path(keyfile), Path(cafile))
    except _Encrypted:
        raise CertificateUnusable(f"{keyfile} is encrypted.") from None
    except (OSError, ssl.SSLError) as error:
        raise CertificateUnusable(f"{certfile} with {keyfile} and {cafile}: {error}.") from None


def _plain(certfile: Path, keyfile: Path, cafile: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile)
    context.load_cert_chain(certfile, keyfile, password=_refuse_password)
    return context


def _hybrid(certfile: Path, keyfile: Path, cafile: Path) -> ssl.SSLContext:
    from qanat.crypto.tls_bytes import EncryptedKey
    from qanat.sae.hybrid_tls import hybrid_context

    try:
        return hybrid_context(certfile, keyfile, cafile)
    except EncryptedKey:
        raise _Encrypted from None


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
