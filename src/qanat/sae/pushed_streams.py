"""A key stream whose chunks the KME pushes (ETSI GS QKD 004 in push mode, after AIT's documents): the calls on it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

import msgspec

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.core.malformed import MALFORMED
from qanat.km import push_documents as push
from qanat.km.stream_types import Chunk, StreamQos, StreamStatus
from qanat.sae.chunk_receiver import ChunkReceiver
from qanat.sae.connection import KmeConnection
from qanat.sae.errors import KmeSpokeNonsense
from qanat.sae.http import Answer, request_bytes
from qanat.sae.streams import StreamEnded
from qanat.sae.tls import client_context

SPARE_S = 10.0  # beyond the time that a call may wait


class PushedStream:
    """One end of a key stream, whose chunks come to a ``ChunkReceiver``. The other end may be a ``KeyStream``.

    Args:
        receiver: Listens at this application's ``push_url``. May serve several streams.
        host, port: The KME's push interface: ``push`` in ``ports.json``.
        Others as for ``KeyStream``.

    Raises:
        StreamEnded: refused, with the status of the standard.
        KmeUnreachable, KmeNotTrusted, OurCertificateRefused: as for ``KeyDeliveryClient``.

    Example::

        with ChunkReceiver(host="127.0.0.1", port=8443, **files) as receiver:
            stream = PushedStream(me="alice", peer="bob", receiver=receiver, host=..., port=..., **files)
            ...  # bob opens his end with stream.stream
            stream.start()
            for chunk in stream:
                use(chunk)
    """

    def __init__(
        self,
        *,
        me: SaeId,
        peer: SaeId,
        receiver: ChunkReceiver,
        host: str,
        port: int,
        certfile: str | os.PathLike[str],
        keyfile: str | os.PathLike[str],
        cafile: str | os.PathLike[str],
        stream: KeyId | None = None,
        chunk_bytes: int = 32,
        bps_max: int = 0,
        bps_min: int = 0,
        timeout_ms: int = 5_000,
        ttl_s: int = 0,
    ) -> None:
        context = client_context(certfile=certfile, keyfile=keyfile, cafile=cafile)
        timeout_s = timeout_ms / 1000 + SPARE_S
        self._receiver = receiver
        self._line = KmeConnection(host=host, port=port, context=context, timeout_s=timeout_s)
        wanted = push.granted(
            StreamQos(chunk_bytes=chunk_bytes, bps_max=bps_max, bps_min=bps_min, timeout_ms=timeout_ms, ttl_s=ttl_s)
        )
        asked: dict[str, Any] = {"source": f"qkd://{me}@", "destination": f"qkd://{peer}@", "qos": wanted}
        if stream is not None:
            asked["key_stream_id"] = stream
        opened = _read(self._call("POST", "open-connect", asked, 201), push.Opened)
        self.stream, self.qos = opened.key_stream_id, opened.qos
        self.is_peer_connected = opened.status is StreamStatus.OK
        self._inbox = receiver.expect(self.stream, self._line.kme_id())

    def start(self, index: int = 0) -> None:
        """Let the KME push, from this index on. Call it again when chunks stay away: after a minute without a
        confirmation the KME waits for that.

        Raises:
            StreamEnded: 3, the other end has not opened the stream within its time-out; 4, it is closed, or the network
                file gives this application no ``push_url``.
        """
        self._call("GET", "get-key", {"key_stream_id": self.stream, "index": index}, 205)

    def chunk(self, timeout_s: float = 10.0) -> Chunk:
        """The next chunk. A gap in the indices is a chunk that was burned, or taken otherwise.

        Raises:
            StreamEnded: 6, none came in this time.
        """
        chunk = self._inbox.take(timeout_s)
        if chunk is None:
            raise StreamEnded(StreamStatus.TIMEOUT)
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        """Chunks until one stays away for ten seconds."""
        while (chunk := self._inbox.take(10.0)) is not None:
            yield chunk

    def close(self) -> None:
        """End the stream for both applications; chunks that nobody took are destroyed."""
        try:
            self._call("PUT", "close", {"key_stream_id": self.stream}, 204)
        except QanatError:
            pass  # it is gone already, or the KME is: its time to live ends it
        finally:
            self._receiver.forget(self.stream)
            self._line.close()

    def __enter__(self) -> PushedStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, verb: str, call: str, asked: dict[str, Any], code: int) -> bytes:
        body = push.encode(asked)
        self._line.open()
        answer = self._line.exchange(request_bytes(verb, self._line.address, f"{push.PREFIX}/{call}", body, {}))
        if answer.status_code != code:
            raise _refused(self._line.address, answer)
        return answer.body


class AsyncPushedStream:
    """The same for asyncio; waits in threads, so it may be used beside any other task."""

    def __init__(self, stream: PushedStream) -> None:
        self.inner = stream

    @classmethod
    async def open(cls, **options: Any) -> AsyncPushedStream:
        """Arguments and errors as for ``PushedStream``."""
        return cls(await asyncio.to_thread(PushedStream, **options))

    @property
    def stream(self) -> KeyId:
        return self.inner.stream

    async def start(self, index: int = 0) -> None:
        await asyncio.to_thread(self.inner.start, index)

    async def chunk(self, timeout_s: float = 10.0) -> Chunk:
        """Raises: StreamEnded."""
        return await asyncio.to_thread(self.inner.chunk, timeout_s)

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        chunks = iter(self.inner)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    async def close(self) -> None:
        await asyncio.to_thread(self.inner.close)

    async def __aenter__(self) -> AsyncPushedStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _read(body: bytes, kind: type[push.Opened]) -> push.Opened:
    try:
        return msgspec.json.decode(body, type=kind)
    except MALFORMED:
        raise KmeSpokeNonsense("The answer to open-connect cannot be understood.") from None


def _refused(address: str, answer: Answer) -> QanatError:
    try:
        refusal = msgspec.json.decode(answer.body, type=push.Refusal)
    except MALFORMED:
        return KmeSpokeNonsense(f"{address} answered {answer.status_code} without a status of ETSI 004.")
    qos = refusal.qos.wanted() if isinstance(refusal.qos, push.GrantedQos) else None
    return StreamEnded(refusal.status, qos)
