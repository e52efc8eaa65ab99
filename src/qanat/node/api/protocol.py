"""One HTTP connection: uvicorn's protocol, plus who the peer is, time limits, and errors as JSON.

uvicorn has no public hook for the peer's certificate. What this file uses of its insides is
kept short and is pinned by a contract test; the dependency is capped in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from qanat.core.errors import QanatError
from qanat.crypto.identity import identity_from_der
from qanat.node.api.joined_writes import JoinedWrites

HEAD_BYTES_MAX = 16_384  # request line and headers; the longest legal 014 request needs under 2 KiB
HEAD_TOO_LARGE = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the head exceeds {HEAD_BYTES_MAX} bytes")
# A connection costs about 50 KB. One application may not keep the others out: it can hold an eighth of them.
CONNECTIONS_MAX, CONNECTIONS_PER_NAME_MAX = 1024, 128
# Requests sent before the answer to the first. One read of the wire may hold thousands, and each costs some kilobytes.
PIPELINE_MAX = 32
PIPELINE_TOO_LONG = (HTTPStatus.TOO_MANY_REQUESTS, f"more than {PIPELINE_MAX} requests wait on this connection")
REQUEST_TIMEOUT_S = 10.0  # from the first byte to the last; a body of 64 KiB needs 55 kbit/s


Admits = Callable[[str, int], bool]  # name and serial number of a certificate that TLS has verified


class IdentifyingProtocol(HttpToolsProtocol):
    """Adds ``scope["extensions"]["tls"] = {"role": ..., "name": ...}``, read from the verified certificate.

    Without a certificate that names somebody, role and name are empty strings; ``refused`` is the name on one that
    has ended or is not admitted.
    """

    request_timeout_s = REQUEST_TIMEOUT_S
    admits: Admits = staticmethod(lambda _name, _serial: True)

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._peer = NOBODY
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = self._has_begun = self._was_good = False
        self._refusal = (HTTPStatus.BAD_REQUEST, "the request is not HTTP")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = JoinedWrites(transport, self.loop)
        self._peer = peer_of(transport)
        self._start_timer()  # a peer that never speaks is not kept
        names = [other._peer.name for other in self.connections if isinstance(other, IdentifyingProtocol)]
        if len(names) > CONNECTIONS_MAX or names.count(self._peer.name) > CONNECTIONS_PER_NAME_MAX:
            self._refuse(HTTPStatus.TOO_MANY_REQUESTS, f"more than {CONNECTIONS_PER_NAME_MAX} connections are open")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head, self._has_begun = self._is_in_head, False
        super().data_received(data)
        if was_in_head and self._is_in_head and not self._has_begun and not self.transport.is_closing():
            # The parser hands a header over when it is whole and keeps an endless one to itself.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(*HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= PIPELINE_MAX:
            self._refusal = PIPELINE_TOO_LONG
            raise ValueError("pipeline too long")  # as in _count
        self._has_begun = True
        super().on_message_begin()
        # "The KME shall authenticate each request" (014, 5.1): a connection may outlive its certificate.
        self._was_good = self._may_call()
        peer = self._peer if self._was_good else NOBODY
        self.scope["extensions"] = {
            "tls": {"role": peer.role, "name": peer.name, "refused": "" if self._was_good else self._peer.name},
            "qanat.connection": {"is_gone": self.transport.is_closing},
        }
        self._head_bytes, self._is_in_head = 0, True
        self._start_timer()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_timer()
        if self._was_good and not self._may_call():
            # Taken back while the body came, which may last ten seconds: the application below has not acted yet.
            self._refuse(HTTPStatus.UNAUTHORIZED, "this certificate is no longer admitted")
            return
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Called when the parser gives up."""
        self._refuse(*self._refusal)

    def close_if_refused(self) -> None:
        """Hang up on a peer that is no longer admitted; a key on its way to it is burned."""
        if not self._may_call():
            self.transport.close()

    def _may_call(self) -> bool:
        return time.time() < self._peer.until_s and self.admits(self._peer.name, self._peer.serial)

    def _count(self, size_bytes: int) -> None:
        self._head_bytes += size_bytes
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refusal = HEAD_TOO_LARGE
            raise ValueError("head too large")  # ends the parsing; data_received then calls send_400_response

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Answer without the application, and close."""
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            # A whole request is being worked on and nonsense follows it: the answer due comes first.
            cycle.keep_alive = False
            self.transport.pause_reading()
            return
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(raw_error(status, message))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.request_timeout_s, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        if self.headers is None:  # nothing was ever asked, so nothing is answered
            self.transport.close()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"the request took longer than {self.request_timeout_s:g} s")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end, by which certificate, and until when (Unix seconds) it says so.

    A pre-shared key has a negative serial number, so that no certificate has the same.
    """

    role: str
    name: str
    until_s: float
    serial: int = 0


NOBODY = Peer("", "", float("inf"))


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Who the TLS peer is. Its certificate or key was verified in the handshake; nothing else is believed."""
    tls = transport.get_extra_info("ssl_object")
    if (known := getattr(tls, "peer", None)) is not None:
        return cast("Peer", known)  # by a pre-shared key: see psk_tls.py
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    if der is None:
        return NOBODY
    try:
        identity = identity_from_der(der)
    except QanatError:
        return NOBODY
    shown = tls.getpeercert()
    until_s = ssl.cert_time_to_seconds(shown["notAfter"])
    return Peer(identity.role.value, identity.name, until_s, int(shown["serialNumber"], 16))


def raw_error(status: HTTPStatus, message: str) -> bytes:
    """A whole HTTP answer that holds the Error object of ETSI GS QKD 014 and closes the connection."""
    body = json.dumps({"message": message}).encode()
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        "content-type: application/json\r\n"
        "cache-control: no-store\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    ).encode() + body
