"""KME to KME (Kx): frames over mutual TLS. The engine resends what is lost, so this may lose."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from qanat.core.ids import SiteId
from qanat.crypto.tls_bytes import HAS_HYBRID_GROUPS
from qanat.node.api.alerts import handshake_of
from qanat.node.api.entrance import Entrance, stream_entrance
from qanat.node.api.handshake_told import Handshake, OnHandshake
from qanat.node.api.protocol import Admits, Peer, peer_of
from qanat.node.api.server import server_context
from qanat.node.pki import Credentials
from qanat.node.processes.guests import Guests
from qanat.node.wire import close, frames, keep_connected, write_frame

LOOK_S = 0.2  # how late an idle connection meets a revocation, after the half second in which the list is read
WRITE_AHEAD_BYTES = 65_536  # beyond it the connection is slow, and frames queue where they are counted
QUEUE_LENGTH_MAX = 4_096  # a peer that is away gets these first; the engine sends the rest again

Receive = Callable[[SiteId, bytes], None]


def _admit_all(_name: str, _serial: int) -> bool:
    return True


def _server_context(
    credentials: Credentials, *, is_pq_required: bool, on_handshake: OnHandshake | None
) -> ssl.SSLContext:
    return server_context(
        certfile=credentials.certfile,
        keyfile=credentials.keyfile,
        cafile=credentials.cafile,
        is_pq_required=is_pq_required,
        is_tls13=True,  # both ends are ours
        on_handshake=on_handshake,
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


def _is_kme(peer: Peer, admits: Admits) -> bool:
    """Does its certificate, which TLS has verified, say so, and still, and was it not taken back?"""
    return peer.role == "kme" and time.time() < peer.until_s and admits(peer.name, peer.serial)


class PeerLine:
    """Our frames to one peer KME, at whichever of its addresses it serves.

    Args:
        ports: Of the instances of the peer's KME, in the order in which they are tried.
        on_connected: Called whenever there is a new line.
        admits: Asked again and again while connected: is the peer's certificate still good?
        on_standing: Told how each new connection is protected.
    """

    def __init__(
        self,
        peer: SiteId,
        ports: Sequence[int],
        context: ssl.SSLContext,
        on_connected: Callable[[SiteId], None] = lambda _peer: None,
        *,
        admits: Admits = _admit_all,
        on_standing: Callable[[SiteId, Handshake], None] = lambda _peer, _handshake: None,
    ) -> None:
        self._peer = peer
        self._ports = deque(ports)  # the first one is the one in use, or to be tried next
        self._context = context
        self._on_connected = on_connected
        self._admits, self._on_standing = admits, on_standing
        self._moved = asyncio.Event()
        self._queue: deque[bytes] = deque(maxlen=QUEUE_LENGTH_MAX)
        self._filled = asyncio.Event()
        self._open: tuple[asyncio.StreamWriter, Peer] | None = None

    def send(self, frame: bytes) -> None:
        """At once where the line is free; else it waits its turn."""
        if self._open is not None and not self._queue:
            writer, peer = self._open
            is_free = not writer.is_closing() and writer.transport.get_write_buffer_size() < WRITE_AHEAD_BYTES
            if is_free and _is_kme(peer, self._admits):
                write_frame(writer, frame)
                return
        self._queue.append(frame)
        self._filled.set()

    async def run(self) -> None:
        await keep_connected(self._connect, self._talk)

    def look_again(self) -> None:
        """An instance of the peer has just come to us. Where there are several it may be another one than the one
        that our line leads to, which may be frozen and would never say so."""
        if len(self._ports) > 1:
            self._moved.set()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the first of its addresses that answers."""
        if self._moved.is_set():
            self._moved.clear()
            self._ports.rotate(-1)
        for _ in range(len(self._ports) - 1):
            try:
                return await self._connect_to(self._ports[0])
            except (OSError, TimeoutError):
                self._ports.rotate(-1)
        return await self._connect_to(self._ports[0])

    async def _connect_to(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        opening = asyncio.open_connection(
            "127.0.0.1", port, ssl=self._context, server_hostname="127.0.0.1", ssl_handshake_timeout=self._patience_s
        )
        reader, writer = await opening
        peer = peer_of(writer.transport)
        if not _is_kme(peer, self._admits) or peer.name != self._peer:
            await close(writer)
            raise ConnectionError(f"port {port} is not the KME of site {self._peer}, or no longer")
        self._on_standing(self._peer, handshake_of(writer.get_extra_info("ssl_object")))
        return reader, writer

    @property
    def _patience_s(self) -> float:
        """A frozen process accepts, and never shakes hands; its successor is waiting for us."""
        return 5.0 if len(self._ports) == 1 else 1.0

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.create_task(reader.read(1))  # the peer never speaks here: any byte or end is the end
        moved = asyncio.create_task(self._moved.wait())
        self._on_connected(self._peer)
        sender = asyncio.create_task(self._send_while_admitted(writer))
        try:
            await asyncio.wait({ended, moved, sender}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, moved, sender):
                task.cancel()
            await asyncio.gather(ended, moved, sender, return_exceptions=True)

    async def _send_while_admitted(self, writer: asyncio.StreamWriter) -> None:
        """Nothing more goes to a peer whose certificate was taken back."""
        peer = peer_of(writer.transport)
        try:
            while _is_kme(peer, self._admits):
                while self._queue and _is_kme(peer, self._admits):
                    write_frame(writer, self._queue.popleft())
                await writer.drain()
                self._filled.clear()
                if not self._queue:
                    self._open = (writer, peer)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._filled.wait(), LOOK_S)
        finally:
            self._open = None


async def listen(
    port: int,
    credentials: Credentials,
    receive: Receive,
    *,
    guests: Guests | None = None,
    on_came: Callable[[SiteId], None] | None = None,
    is_pq_required: bool = False,
    admits: Admits = _admit_all,
    turned_away: Counter[str] | None = None,
    on_handshake: OnHandshake | None = None,
) -> Entrance:
    """Accept frames of other KMEs; the sender is who its certificate says.

    Args:
        guests: Who is connected; without it nobody counts them.
        on_came: Called with each KME that connects.
        admits: Asked at each frame, and while none comes: is the sender's certificate still good?
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.transport)
        if on_came is not None and _is_kme(peer, admits):
            on_came(SiteId(peer.name))
        watched = asyncio.create_task(_close_when_taken_back(writer, peer, admits))
        try:
            async for frame in frames(reader):
                if not _is_kme(peer, admits):  # asked at each frame: a connection may outlive its certificate
                    return
                receive(SiteId(peer.name), frame)
        finally:
            watched.cancel()

    context = _server_context(credentials, is_pq_required=is_pq_required, on_handshake=on_handshake)
    handler = (guests or Guests()).served(serve)
    return await stream_entrance(handler, "127.0.0.1", port, context, turned_away=turned_away)


async def _close_when_taken_back(writer: asyncio.StreamWriter, peer: Peer, admits: Admits) -> None:
    """A peer that says nothing would keep its connection, and a half frame on it, for as long as it likes."""
    while _is_kme(peer, admits):
        await asyncio.sleep(LOOK_S)
    writer.transport.abort()
