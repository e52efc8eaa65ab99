"""The command line's side of an HTTPS door for operators: one request, one answer, blocking.

Who answers must show a certificate of the network's CA that names the host that was asked; what it then says it is
(which KME, or the registrar) is there to be checked before anything secret is sent.
"""

from __future__ import annotations

import asyncio
import http.client
import io
import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

import msgspec
from cryptography import x509

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.malformed import MALFORMED
from qanat.node.admin_client import Refused
from qanat.node.api.protocol import peer_of
from qanat.node.certificates import hosts_of
from qanat.node.pki import Credentials
from qanat.node.processes.peers import client_context
from qanat.node.wire import close

ANSWER_TIMEOUT_S = 15.0
ANSWER_BYTES_MAX = 64 * 1024 * 1024  # a snapshot of a thousand links is some megabytes
# What a command ends with when the door did not say: misuse for what does not fit, else the answer is no.
EXIT_OF_STATUS = {400: 2, 404: 2, 405: 2, 413: 2, 503: 3}


class NotReached(EnvironmentProblem):
    """The door does not answer, or is not who it should be. Check the address, that the network file opens a door
    there, and that certificate, key and CA file are of this network and for this door."""


class RefusedAfar(Refused):
    """The door did not do this; the sentence above says why."""

    def __init__(self, detail: str, exit_code: int, status_code: int) -> None:
        super().__init__(detail, exit_code)
        self.status_code = status_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Afar:
    """One door.

    Attributes:
        url: ``https://host:port``.
        files: The caller's certificate and key, and the CA that the door's certificate must come from.
        role: What the door's certificate must say it is.
        name: Whose it must be, where that is known.
    """

    url: str
    files: Credentials
    role: Literal["kme", "registrar"] = "kme"
    name: str | None = None

    def get(self, path: str) -> Any:
        return self._asked("GET", path, b"")

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._asked("POST", path, msgspec.json.encode(body or {}))

    def network(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """What ``admin_client.ask`` answers."""
        if verb == "snapshot":
            return self.get("/admin/v1/network")
        return self.post(f"/admin/v1/network/{quote(verb, safe='')}", arguments)

    def _asked(self, method: str, path: str, body: bytes) -> Any:
        """Raises: NotReached; RefusedAfar, as the door said; MisuseError, for what is no address."""
        host, port = _parts(self.url)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n"
        )
        head += "Content-Type: application/json\r\n\r\n" if body else "\r\n"
        try:
            data = asyncio.run(asyncio.wait_for(self._exchanged(host, port, head.encode() + body), ANSWER_TIMEOUT_S))
            status, found = _answer_of(data)
        except (OSError, ssl.SSLError, TimeoutError, http.client.HTTPException, *MALFORMED) as error:
            raise NotReached(f"{self.url}: {_words(error)}") from None
        if status == 200:
            return found
        said = found if isinstance(found, dict) else {}
        details = said.get("details") or [{}]
        exit_code = details[0].get("exit_code") if isinstance(details[0], dict) else None
        message = str(said.get("message", f"status {status}"))
        raise RefusedAfar(message, exit_code or EXIT_OF_STATUS.get(status, 1), status)

    async def _exchanged(self, host: str, port: int, request: bytes) -> bytes:
        try:
            context = client_context(self.files)
        except (OSError, ssl.SSLError) as error:
            raise NotReached(f"{self.files.certfile} with {self.files.keyfile} cannot be used: {error}") from None
        context.check_hostname = False  # done below, for both kinds of TLS
        reader, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname=host, ssl_handshake_timeout=5
        )
        try:
            self._check(writer, host)
            writer.write(request)
            await writer.drain()
            data = bytearray()
            while chunk := await reader.read(65_536):
                data += chunk
                if len(data) > ANSWER_BYTES_MAX:
                    raise NotReached(f"{self.url} answers without end")
            return bytes(data)
        finally:
            await close(writer)

    def _check(self, writer: asyncio.StreamWriter, host: str) -> None:
        peer = peer_of(writer.transport)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        hosts = [_canonical(each) for each in hosts_of(x509.load_der_x509_certificate(der))] if der else []
        if peer.role != self.role or _canonical(host) not in hosts:
            raise NotReached(f"{self.url} is {peer.role or 'nobody'} {peer.name} at {', '.join(hosts) or 'no address'}")
        if self.name is not None and peer.name != self.name:
            raise NotReached(f"{self.url} is the KME of {peer.name}, not of {self.name}; nothing was sent to it")


def _parts(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme != "https" or parts.path not in ("", "/") or parts.query:
        raise MisuseError(f"{url!r} is not the address of a door; write https://host:port")
    return host, port


def _canonical(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


class _Received:
    """What ``http.client`` reads an answer from."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _answer_of(data: bytes) -> tuple[int, Any]:
    if not data:
        raise ConnectionError("the door closed the connection; it does not know this certificate")
    response = http.client.HTTPResponse(_Received(data))  # type: ignore[arg-type]
    response.begin()
    body = response.read()
    return response.status, msgspec.json.decode(body)


def _words(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS ends: {getattr(error, 'reason', None) or error}"
    return "no answer in time" if isinstance(error, TimeoutError) else " ".join(str(error).split())


def certificate_name(path: Path) -> tuple[str, str]:
    """Role and name on a certificate on the disk. Raises: MisuseError."""
    from qanat.crypto.identity import IdentityError, identity_from_der  # noqa: PLC0415

    try:
        leaf = ssl.PEM_cert_to_DER_cert(path.read_text("ascii"))
        identity = identity_from_der(leaf)
    except (OSError, ValueError, IdentityError) as error:
        raise MisuseError(f"{path} is no certificate of this network: {error}") from None
    return identity.role.value, identity.name
