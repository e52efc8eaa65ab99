"""An application's endpoint for chunks that its KME pushes (ETSI GS QKD 004 in push mode): HTTPS, in threads.

Only KMEs get in: TLS asks for a certificate of the network's CA, and the one that pushes must be the one at which the
stream was opened. Each chunk waits in its stream's inbox until the application takes it; a full inbox makes the KME
wait. The same chunk offered again is confirmed again and kept once; another chunk under a known index is refused.
"""

from __future__ import annotations

import hashlib
import os
import queue
import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.ids import KeyId
from qanat.km.documents import KeyDeliveryError
from qanat.km.push_documents import KEY_MATERIAL, ReceivedChunk, chunk_from_json
from qanat.km.stream_types import Chunk
from qanat.sae.answers import provenance_from_extension
from qanat.sae.tls import client_context, kme_id_of

WAITING_MAX = 64  # as many as a stream may be ahead
ROOM_S = 3.0  # how long a push waits for room: less than the KME waits for its answer
CONNECTIONS_MAX = 64
HANDSHAKE_S, IDLE_S = 5.0, 300.0
BODY_BYTES_MAX = 65_536


class Inbox:
    """Chunks of one stream that came and were not taken yet, lowest index first."""

    def __init__(self, kme_id: str | None) -> None:
        self._kme_id = kme_id
        self._chunks: queue.Queue[Chunk] = queue.Queue(WAITING_MAX)
        self._lock = threading.Lock()
        self._last: tuple[int, bytes] = (-1, b"")  # index and digest of the newest

    def put(self, kme_id: str | None, chunk: ReceivedChunk) -> int:
        """The HTTP status that the KME gets."""
        if kme_id != self._kme_id:
            return 403
        provenance = provenance_from_extension(chunk.provenance)
        if provenance is None:
            return 400  # a key without its label is none
        digest = hashlib.sha256(chunk.bits.reveal()).digest()
        with self._lock:
            if (chunk.index, digest) == self._last:
                return 201
            if chunk.index <= self._last[0]:
                return 409
            kept = Chunk(index=chunk.index, bits=chunk.bits, provenance=provenance, has_metadata=True)
            try:
                self._chunks.put(kept, timeout=ROOM_S)
            except queue.Full:
                return 503
            self._last = (chunk.index, digest)
        return 201

    def take(self, timeout_s: float) -> Chunk | None:
        with suppress(queue.Empty):
            return self._chunks.get(timeout=timeout_s)
        return None

    def wipe(self) -> None:
        with suppress(queue.Empty):
            while True:
                self._chunks.get_nowait().bits.wipe()


class ChunkReceiver:
    """Listens at the ``push_url`` that the network file gives this application. Use as a context manager.

    Args:
        host, port: Where to listen; 0 is any free port.
        certfile, keyfile, cafile: As for ``KeyDeliveryClient``. `qanat up` makes the certificate of an application that
            has a ``push_url`` good for serving at its host.

    Raises:
        EnvironmentProblem: the port is taken.
        CertificateUnusable: a file cannot be used.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
    ) -> None:
        client_context(certfile=certfile, keyfile=keyfile, cafile=cafile)  # says what is wrong with a file
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(certfile, keyfile)
        context.load_verify_locations(cafile)
        self._inboxes: dict[KeyId, Inbox] = {}
        try:
            self._server = _Server((host, port), context, self._inboxes)
        except OSError as error:
            raise EnvironmentProblem(f"cannot listen on {host}:{port}: {error.strerror}. Take another.") from None
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="chunk-receiver", daemon=True)
        self._thread.start()

    def expect(self, stream: KeyId, kme_id: str | None) -> Inbox:
        """Take chunks of this stream from this KME; those of others are refused."""
        return self._inboxes.setdefault(stream, Inbox(kme_id))

    def forget(self, stream: KeyId) -> None:
        """Refuse them from now on, destroy those that wait."""
        inbox = self._inboxes.pop(stream, None)
        if inbox is not None:
            inbox.wipe()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.end_connections()
        for stream in list(self._inboxes):
            self.forget(stream)

    def __enter__(self) -> ChunkReceiver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    block_on_close = False  # the KME keeps its connection open; ``end_connections`` closes it

    def __init__(self, place: tuple[str, int], context: ssl.SSLContext, inboxes: dict[KeyId, Inbox]) -> None:
        self._context, self.inboxes = context, inboxes
        self._room = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self._open: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        super().__init__(place, _Handler)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection in its thread. The handshake is made here, so that a slow one keeps nobody waiting."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            with suppress(OSError):
                self._serve(request, client_address)
        finally:
            self._room.release()
            self.shutdown_request(request)

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        request.settimeout(HANDSHAKE_S)
        with self._context.wrap_socket(request, server_side=True) as tls:
            self._open.add(tls)
            try:
                tls.settimeout(IDLE_S)
                self.finish_request(tls, client_address)
            finally:
                self._open.discard(tls)

    def end_connections(self) -> None:
        for line in list(self._open):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    connection: ssl.SSLSocket

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY_BYTES_MAX or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            self._say(413)
            return
        body = self.rfile.read(int(length))
        self._say(404 if self.path != KEY_MATERIAL else self._taken(body))

    def _taken(self, body: bytes) -> int:
        try:
            chunk = chunk_from_json(body)
            inbox = self.server.inboxes.get(chunk.stream)
            return 404 if inbox is None else inbox.put(kme_id_of(self.connection.getpeercert()), chunk)
        except KeyDeliveryError as error:
            return error.status_code
        except QanatError:  # a provenance that cannot be understood
            return 400

    def _say(self, code: int) -> None:
        body = b'{"status": %d}' % (0 if code == 201 else 4)
        self.send_response_only(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: applications have logs of their own."""
