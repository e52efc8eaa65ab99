"""Which applications may call although their certificate is good: a revocation list and an allow-list, read anew.

``access/revoked.crl`` is an X.509 CRL signed by the CA of applications; ``access/allowed.txt`` names, one on a line,
the only applications that may call. Both are optional. A change is seen within half a second, for new connections
and for every request on open ones. A file that cannot be read changes nothing and is reported; one that was never
read although it is there lets nobody in. A revocation list that is gone is missed, not obeyed: what it said holds until
another comes, because whoever deletes a file must not give a revoked application its keys back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from qanat.node.statedir import StateDir

RELOAD_S = 0.5
CRL, ALLOWED = "revoked.crl", "allowed.txt"

T = TypeVar("T")


class Watched(Generic[T]):
    """One file and what it last said."""

    def __init__(self, path: Path, read: Callable[[bytes], T], *, is_kept: bool) -> None:
        self._path, self._read, self._is_kept = path, read, is_kept
        self._signature: tuple[int, int, int] | str | None = None
        self.value: T | None = None
        self.is_unknown = False  # it is there and was never understood

    def look(self) -> None:
        try:
            status = self._path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
        except FileNotFoundError as error:
            if self._is_kept and self.value is not None:
                self._fail(str(error.strerror), error)
            else:
                self._signature, self.value, self.is_unknown = None, None, False
            return
        except OSError as error:  # the folder is a file, a loop of links, a right taken away
            self._fail(str(error.strerror), error)
            return
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self.value, self.is_unknown = self._read(self._path.read_bytes()), False
        except (OSError, ValueError) as error:
            self._fail(signature, error)

    def _fail(self, signature: tuple[int, int, int] | str, error: Exception) -> None:
        """Keep what is known; say so once."""
        is_new, self._signature = signature != self._signature or isinstance(signature, tuple), signature
        self.is_unknown = self.is_unknown or self.value is None
        kept = "nobody is admitted" if self.is_unknown else "what it said before holds"
        if is_new:
            logging.error("%s cannot be used (%s): %s", self._path, error, kept)


class Admission:
    """Asked by every door for applications, at every request."""

    def __init__(self, state: StateDir) -> None:
        self._ca = state.sae_ca / "cert.pem"
        self._revoked = Watched(state.access / CRL, self._serials, is_kept=True)
        self._allowed = Watched(state.access / ALLOWED, _names, is_kept=False)
        self._issued_ns = 0
        self.look()

    def look(self) -> None:
        """Read again what has changed. Call it every ``RELOAD_S``."""
        self._revoked.look()
        self._allowed.look()

    def admits(self, name: str, serial: int) -> bool:
        if self._revoked.is_unknown or self._allowed.is_unknown:
            return False
        is_revoked = self._revoked.value is not None and serial in self._revoked.value
        return not is_revoked and (self._allowed.value is None or name in self._allowed.value)

    def _serials(self, data: bytes) -> frozenset[int]:
        """Raises: ValueError."""
        try:
            return self._checked(crl_from_bytes(data))
        except (UnsupportedAlgorithm, TypeError) as error:
            # A KME must not end over a file, and the library has more words for nonsense than ValueError.
            raise ValueError(str(error)) from None

    def _checked(self, crl: x509.CertificateRevocationList) -> frozenset[int]:
        ca = x509.load_pem_x509_certificate(self._ca.read_bytes())
        if crl.issuer != ca.subject or not crl.is_signature_valid(ca.public_key()):  # type: ignore[arg-type]
            raise ValueError("it is not signed by the CA of applications")
        issued_ns = int(crl.last_update_utc.timestamp() * 1e9)
        if issued_ns < self._issued_ns:
            raise ValueError("it is older than the one before")
        self._issued_ns = issued_ns
        return frozenset(entry.serial_number for entry in crl)


def crl_from_bytes(data: bytes) -> x509.CertificateRevocationList:
    """A revocation list, PEM or DER. Raises: ValueError."""
    is_pem = data.lstrip().startswith(b"-----BEGIN")
    try:
        return x509.load_pem_x509_crl(data) if is_pem else x509.load_der_x509_crl(data)
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from None


def _names(data: bytes) -> frozenset[str]:
    """Raises: ValueError."""
    lines = (line.split("#")[0].strip() for line in data.decode("utf-8-sig").splitlines())
    return frozenset(line for line in lines if line)
