"""One TLS connection to a KME, kept alive, whose failures are sentences.

Rule: a request that takes keys goes out once. When its answer is lost nobody can know whether keys were taken,
so it is the application that decides whether to ask again.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from qanat.core.errors import QanatError
from qanat.sae.errors import (
    AnswerLost,
    CertificateUnusable,
    KmeNotTrusted,
    KmeSpokeNonsense,
    KmeUnreachable,
    OurCertificateRefused,
)

URN, URN_KME = "urn:qanat:", "urn:qanat:kme:"
ANSWER_BYTES_MAX = 16 * 2**20
# OpenSSL's X509_V_ERR codes, in words.
_UNTRUSTED = {
    10: "has expired",
    9: "is not valid yet",
    18: "is signed by itself",
    19: "comes from another CA",
    20: "comes from another CA",
    62: "is for another host name",
    64: "is for another address",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. The body may hold keys, so it has no repr."""

    status_code: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"<Answer {self.status_code}, {len(self.body)} bytes>"


class KmeConnection:
    """Not for several threads at once; each takes its own."""

    def __init__(self, *, host: str, port: int, context: ssl.SSLContext, timeout_s: float) -> None:
        self.host, self.port = host, port
        self._context, self._timeout_s = context, timeout_s
        self._http: http.client.HTTPSConnection | None = None

    @property
    def address(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def call(self, verb: str, path: str, body: bytes | None, *, takes_keys: bool) -> Answer:
        """Send one request and read its answer.

        Args:
            takes_keys: It is not sent again when the connection breaks under it.

        Raises:
            AnswerLost, KmeUnreachable, KmeNotTrusted, OurCertificateRefused, KmeSpokeNonsense
        """
        is_reused = self._is_usable()
        try:
            return self._exchange(verb, path, body)
        except AnswerLost:
            if takes_keys or not is_reused:
                raise
            return self._exchange(verb, path, body)

    def kme_id(self) -> str | None:
        """Who the KME is by its verified certificate; connects if need be. None: not one of qanat's."""
        link = self._http if self._is_usable() and self._http is not None else self._open()
        names = [name for name in _names(link.sock.getpeercert()) if name.startswith(URN_KME)]
        return names[0].removeprefix(URN_KME) if len(names) == 1 else None

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def _is_usable(self) -> bool:
        """False when there is none, or the KME has closed it: an idle connection has nothing to read."""
        if self._http is None or self._http.sock is None:
            return False
        readable, _, _ = select.select([self._http.sock], [], [], 0)
        if readable:
            self.close()
        return not readable

    def _open(self) -> http.client.HTTPSConnection:
        self.close()
        made = http.client.HTTPSConnection(self.host, self.port, context=self._context, timeout=self._timeout_s)
        try:
            made.connect()
        except (OSError, ssl.SSLError) as error:
            made.close()
            self._tell_failed_start(error)
        assert made.sock is not None
        made.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        names = _names(made.sock.getpeercert())
        if any(name.startswith(URN) and not name.startswith(URN_KME) for name in names):
            made.close()
            raise KmeNotTrusted(f"The certificate of {self.address} is {', '.join(names)}, which names no KME.")
        self._http = made
        return made

    def _exchange(self, verb: str, path: str, body: bytes | None) -> Answer:
        link = self._http if self._http is not None and self._http.sock is not None else self._open()
        headers = {"Accept": "application/json"} | ({"Content-Type": "application/json"} if body is not None else {})
        try:
            link.request(verb, path, body, headers)
            response = link.getresponse()
            data = response.read(ANSWER_BYTES_MAX + 1)
        except (http.client.HTTPException, OSError) as error:
            reason = self._alert() or error
            self.close()
            self._tell_lost_answer(reason)
        if len(data) > ANSWER_BYTES_MAX:
            self.close()
            raise KmeSpokeNonsense(f"{self.address} answered with more than {ANSWER_BYTES_MAX} bytes.")
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, data)

    def _alert(self) -> ssl.SSLError | None:
        """The TLS alert that a KME sent before it closed. In TLS 1.3 it refuses our certificate only after our
        side of the handshake is done, so the news may come while we are writing."""
        sock = self._http.sock if self._http is not None else None
        if sock is None:
            return None
        try:
            sock.settimeout(0.5)
            sock.recv(1)
        except ssl.SSLError as error:
            return error
        except OSError:
            return None
        return None

    def _tell_failed_start(self, error: OSError) -> NoReturn:
        if isinstance(error, ssl.SSLCertVerificationError):
            what = _UNTRUSTED.get(error.verify_code, f"was refused: {error.verify_message}")
            raise KmeNotTrusted(f"The certificate of {self.address} {what}.") from None
        if isinstance(error, ssl.SSLError):
            self._tell_alert(error)
            raise KmeUnreachable(f"{self.address} answers, but not with TLS ({error.reason or error}).") from None
        if isinstance(error, ConnectionRefusedError):
            raise KmeUnreachable(f"Nothing listens on {self.address}.") from None
        if isinstance(error, TimeoutError):
            raise KmeUnreachable(f"{self.address} did not answer within {self._timeout_s:g} s.") from None
        raise KmeUnreachable(f"{self.address}: {error.strerror or error}.") from None

    def _tell_lost_answer(self, error: Exception) -> NoReturn:
        if isinstance(error, ssl.SSLError):
            self._tell_alert(error)
        if isinstance(error, TimeoutError):
            raise AnswerLost(f"{self.address} did not answer within {self._timeout_s:g} s.") from None
        if isinstance(error, http.client.HTTPException) and not isinstance(error, ConnectionError):
            raise KmeSpokeNonsense(f"{self.address} does not speak HTTP ({type(error).__name__}).") from None
        raise AnswerLost(f"{self.address} closed the connection ({type(error).__name__}).") from None

    def _tell_alert(self, error: ssl.SSLError) -> None:
        reason = (error.reason or "").upper()
        if "ALERT" not in reason:
            return
        if "EXPIRED" in reason:
            raise OurCertificateRefused(f"{self.address} says that our certificate has expired.") from None
        if "UNKNOWN_CA" in reason:
            raise OurCertificateRefused(f"{self.address} says that our certificate comes from another CA.") from None
        if "CERTIFICATE" in reason or "DECRYPT" in reason:
            raise OurCertificateRefused(f"{self.address} refuses our certificate ({reason}).") from None
        raise KmeUnreachable(f"{self.address} refuses the TLS connection ({reason}).") from None


def _names(certificate: Mapping[str, Any] | None) -> list[str]:
    """The URIs that a certificate carries."""
    return [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]


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


class _Encrypted(QanatError):
    """The private key is encrypted."""


def _refuse_password() -> str:
    """OpenSSL would otherwise ask on the terminal and wait."""
    raise _Encrypted
