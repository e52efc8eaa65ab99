"""KME to KME (Kx): frames over mutual TLS. The engine resends what is lost, so this may lose."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable

from qanat.core.ids import SiteId
from qanat.node.api.entrance import Entrance, stream_entrance
from qanat.node.api.protocol import Peer, peer_of
from qanat.node.api.server import HAS_HYBRID_GROUPS, server_context
from qanat.node.pki import Credentials
from qanat.node.wire import close, frames, keep_connected, write_frame

QUEUE_LENGTH_MAX = 4_096  # a peer that is away gets these first; the engine sends the rest again

Receive = Callable[[SiteId, bytes], None]


def _server_context(credentials: Credentials, *, is_pq_required: bool) -> ssl.SSLContext:
    return server_context(
        certfile=credentials.certfile,
        keyfile=credentials.keyfile,
        cafile=credentials.cafile,
        is_pq_required=is_pq_required,
        is_tls13=True,  # both ends are ours
    )


def client_context(credentials: Credentials, *, is_pq_required: bool = False) -> ssl.SSLContext:
    """For our frames to other KMEs. Who answers is read from its certificate, which the CA of KMEs must have issued."""
    if is_pq_required or not HAS_HYBRID_GROUPS:
        from qanat.node.api.hybrid_tls import hybrid_context  # noqa: PLC0415

        return hybrid_context(
            certfile=credentials.certfile,
            keyfile=credentials.keyfile,
            cafile=credentials.cafile,
            is_required=is_pq_required,
            is_server=False,
            is_tls13=True,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(credentials.certfile, credentials.keyfile)
    context.load_verify_locations(credentials.cafile)
    return context


def _is_kme(peer: Peer) -> bool:
    """Does its certificate, which TLS has verified, say so, and still?"""
    return peer.role == "kme" and time.time() < peer.until_s


class PeerLine:
    """Our frames to one peer KME."""

    def __init__(self, peer: SiteId, port: int, context: ssl.SSLContext) -> None:
        self._peer = peer
        self._port = port
        self._context = context
        self._queue: deque[bytes] = deque(maxlen=QUEUE_LENGTH_MAX)
        self._filled = asyncio.Event()

    def send(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._filled.set()

    async def run(self) -> None:
        await keep_connected(self._connect, self._talk)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opening = asyncio.open_connection(
            "127.0.0.1", self._port, ssl=self._context, server_hostname="127.0.0.1", ssl_handshake_timeout=5
        )
        reader, writer = await opening
        peer = peer_of(writer.transport)
        if not _is_kme(peer) or peer.name != self._peer:
            await close(writer)
            raise ConnectionError(f"port {self._port} is not the KME of site {self._peer}")
        return reader, writer

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.create_task(reader.read(1))  # the peer never speaks here: any byte or end is the end
        try:
            while not ended.done():
                while self._queue:
                    write_frame(writer, self._queue.popleft())
                await writer.drain()
                self._filled.clear()
                filled = asyncio.create_task(self._filled.wait())
                await asyncio.wait({ended, filled}, return_when=asyncio.FIRST_COMPLETED)
                filled.cancel()
        finally:
            ended.cancel()


async def listen(
    port: int,
    credentials: Credentials,
    receive: Receive,
    *,
    is_pq_required: bool = False,
    turned_away: Counter[str] | None = None,
) -> Entrance:
    """Accept frames of other KMEs; the sender is who its certificate says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.transport)
        async for frame in frames(reader):
            if not _is_kme(peer):  # asked at each frame: a connection may outlive its certificate
                return
            receive(SiteId(peer.name), frame)

    context = _server_context(credentials, is_pq_required=is_pq_required)
    return await stream_entrance(serve, "127.0.0.1", port, context, turned_away=turned_away)
