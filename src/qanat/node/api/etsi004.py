"""ETSI GS QKD 004 over TCP with mutual TLS: applications that want a stream of chunks rather than single keys.

Who calls is what its certificate says; the source URI must name the same application, so that nobody believes to act
for another. A URI names an application by its user part (``qkd://bank@kme-mitte``) or, without one, by its host.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import unquote, urlsplit

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import KeyId, SaeId
from qanat.km import stream_wire as wire
from qanat.km.extensions import extension_from_provenance
from qanat.km.stream_types import METADATA_BYTES, Chunk, StreamOpened, StreamQos, StreamRefused, StreamStatus
from qanat.km.stream_wire import BadFrame, GetKeyRequest, OpenRequest
from qanat.node.api.protocol import Admits, Peer, peer_of

IDLE_S = 300.0  # a stream's connection may be quiet between chunks
REQUEST_S = 10.0  # from a request's first byte to its last
CONNECTIONS_MAX = 256
NO_STREAM = KeyId(int=0)

_log = logging.getLogger(__name__)


class StreamGateway(Protocol):
    """The KME behind the interface; what it returns is durable."""

    async def open_stream(self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None) -> StreamOpened: ...

    async def get_chunk(self, caller: SaeId, stream: KeyId, index: int | None, metadata_bytes: int) -> Chunk:
        """Waits as long as the stream's quality says. Raises: StreamRefused."""

    async def close_stream(self, caller: SaeId, stream: KeyId) -> None: ...


class StreamDoor:
    """Serves one connection after the other; ``serve`` is a handler for ``asyncio.start_server``."""

    def __init__(
        self,
        gateway: StreamGateway,
        *,
        kme_id: str,
        on_burned: Callable[[int], None] | None = None,
        admits: Admits | None = None,
    ) -> None:
        self._gateway, self._kme_id, self._on_burned = gateway, kme_id, on_burned
        self._admits = admits or (lambda _name, _serial: True)
        self._count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = peer_of(writer.transport)
        if peer.role != "sae" or self._count >= CONNECTIONS_MAX:
            _log.info("KME %s: a stream connection of %s %s refused", self._kme_id, peer.role, peer.name)
            return
        self._count += 1
        try:
            while await self._one(peer, reader, writer):
                pass
        finally:
            self._count -= 1

    async def _one(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when the connection is over."""
        caller = SaeId(peer.name)
        try:
            head = await asyncio.wait_for(reader.readexactly(wire.HEADER_BYTES), IDLE_S)
            service, size_bytes = wire.header_from_bytes(head)
            payload = await asyncio.wait_for(reader.readexactly(size_bytes), REQUEST_S)
            if not self._may_call(peer):
                return False
            answer = await self._answer(peer, wire.request_from_bytes(service, payload), writer)
        except (asyncio.IncompleteReadError, TimeoutError):
            return False
        except BadFrame as error:
            _log.info("KME %s: %s sent a frame that cannot be read: %s", self._kme_id, caller, error.detail)
            return False
        if answer is None:
            return False
        writer.write(answer)
        await asyncio.wait_for(writer.drain(), REQUEST_S)
        return True

    def _may_call(self, peer: Peer) -> bool:
        return time.time() < peer.until_s and self._admits(peer.name, peer.serial)

    async def _answer(self, peer: Peer, request: wire.Request, writer: asyncio.StreamWriter) -> bytes | None:
        """None: the caller has gone, or may not call any more."""
        caller = SaeId(peer.name)
        try:
            if isinstance(request, OpenRequest):
                return await self._open(caller, request)
            if isinstance(request, GetKeyRequest):
                return await self._get_key(peer, request, writer)
            await self._gateway.close_stream(caller, request.stream)
            return wire.status_frame(wire.Service.CLOSE, StreamStatus.OK)
        except StreamRefused as refused:
            return _refusal(_service_of(request), refused)
        except EnvironmentProblem as error:  # a full disk: nothing was handed out
            _log.error("KME %s: %s", self._kme_id, " ".join(str(error).split()))  # noqa: TRY400 - one line is enough
            return wire.status_frame(_service_of(request), StreamStatus.NO_QKD_CONNECTION)

    async def _open(self, caller: SaeId, request: OpenRequest) -> bytes:
        if sae_from_uri(request.source) != caller:
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "the source URI names another SAE than the certificate")
        other = sae_from_uri(request.destination)
        stream = None if request.stream == NO_STREAM else request.stream
        opened = await self._gateway.open_stream(caller, other, request.qos, stream)
        return wire.opened_frame(opened.status, opened.qos, opened.stream)

    async def _get_key(self, peer: Peer, request: GetKeyRequest, writer: asyncio.StreamWriter) -> bytes | None:
        index = None if request.index == wire.INDEX_ANY else request.index
        chunk = await self._gateway.get_chunk(SaeId(peer.name), request.stream, index, request.metadata_bytes)
        try:
            # The call may have waited five seconds, in which the certificate was taken back.
            if writer.is_closing() or not self._may_call(peer):
                if self._on_burned is not None:
                    self._on_burned(1)
                return None
            return wire.chunk_frame(chunk.index, chunk.bits, metadata_of(chunk))
        finally:
            chunk.bits.wipe()


def metadata_of(chunk: Chunk) -> bytes:
    """Provenance as JSON, or its short form where a long route would not fit; nothing where none was asked for."""
    if not chunk.has_metadata:
        return b""
    document = {"provenance": extension_from_provenance(chunk.provenance)}
    data = json.dumps(document, separators=(",", ":")).encode()
    if len(data) > METADATA_BYTES:
        data = json.dumps({"provenance": {"qanat_key_origin": chunk.provenance.origin.value, "cut": True}}).encode()
    return data


def sae_from_uri(uri: str) -> SaeId:
    """The application that a URI names.

    Raises:
        StreamRefused: 4, it names none.

    Example:
        >>> sae_from_uri("qkd://bank-mitte@kme-mitte:25575"), sae_from_uri("server://bob?x=1")
        ('bank-mitte', 'bob')
    """
    try:
        place = urlsplit(uri).netloc
    except ValueError:
        place = ""
    user, mark, host = place.rpartition("@")
    name = user if mark else host.partition(":")[0]
    if not name:
        raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "a URI names no SAE; write qkd://SAE@KME")
    return SaeId(unquote(name))


def _service_of(request: wire.Request) -> wire.Service:
    if isinstance(request, OpenRequest):
        return wire.Service.OPEN_CONNECT
    return wire.Service.GET_KEY if isinstance(request, GetKeyRequest) else wire.Service.CLOSE


def _refusal(service: wire.Service, refused: StreamRefused) -> bytes:
    if refused.qos is not None:
        return wire.opened_frame(refused.status, refused.qos, NO_STREAM)
    needed = refused.metadata_bytes if refused.status is StreamStatus.METADATA_SIZE_INSUFFICIENT else None
    return wire.status_frame(service, refused.status, metadata_bytes=needed)
