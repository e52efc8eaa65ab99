"""Chunks of key streams on their way to applications that want them pushed: one task per stream, one chunk in flight.

A chunk has left the store for good before it is offered, so nobody else can get it. It is offered, the same bytes under
the same index, until the application confirms it; only then the next one is taken: that is the back-pressure, and the
whole queue. What is not confirmed within a minute is burned and counted, and the stream rests until its application
calls ``get-key`` again, so a dead endpoint costs one chunk and not one a minute.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from qanat.core.ids import KeyId, SaeId
from qanat.core.topology import Network
from qanat.km.extensions import extension_from_provenance
from qanat.km.kme import Kme
from qanat.km.push_documents import KEY_MATERIAL, is_confirmation, key_material
from qanat.km.stream_types import Chunk, StreamRefused, StreamStatus
from qanat.node.api.protocol import Admits
from qanat.node.processes.push_line import EndpointFailed, PushLine
from qanat.node.processes.writer_thread import StoreFailed, WriterThread

# A stream that is pushed holds a connection and one chunk; as many as a KME's door for streams has connections, and one
# application cannot take them all.
STREAMS_MAX, STREAMS_PER_SAE_MAX = 256, 32
PATIENCE_S = 60.0  # as long as the longest redelivery of ETSI 014
RETRY_S, RETRY_S_MAX = 0.1, 5.0
LOOK_S, LOOK_S_MAX = 0.02, 0.25  # how often the store is asked for a chunk that is not there yet
STOP_S = 1.0  # how long a task that ends may take to book what it had
REST_LOOK_S = 5.0  # a stream that rests may have been closed

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class PushCounts:
    """Since the KME started."""

    confirmed: int = 0
    retries: int = 0
    burned: int = 0


@dataclass(slots=True)
class _Pushed:
    sae: SaeId
    stream: KeyId
    line: PushLine
    task: asyncio.Task[None] | None = None
    asked_again: asyncio.Event = field(default_factory=asyncio.Event)
    since_ns: int | None = None  # of the stream that the chunk in flight belongs to
    is_resting: bool = False


class Pushers:
    """All pushes of one KME.

    Args:
        context: Shows the KME's certificate and trusts the CA of applications alone.
        admits: Asked before each chunk about the endpoint's certificate.
        tell: Told in a sentence when a stream comes to rest.
    """

    def __init__(
        self,
        *,
        thread: WriterThread,
        network: Network,
        context: ssl.SSLContext,
        admits: Admits,
        tell: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._thread, self._network, self._context = thread, network, context
        self._admits, self._tell, self._patience_s = admits, tell, patience_s
        self._pushed: dict[KeyId, _Pushed] = {}
        self.counts = PushCounts()

    def report(self) -> dict[str, int]:
        """For the metrics."""
        resting = sum(one.is_resting for one in self._pushed.values())
        return asdict(self.counts) | {"streams": len(self._pushed), "resting": resting}

    def check(self, sae: SaeId, stream: KeyId) -> None:
        """May chunks of this stream be pushed to this application?

        Raises:
            StreamRefused: 4, it has no place, or there is no room for another stream.
        """
        known = self._network.saes.get(sae)
        if known is None or known.push_url is None:
            reason = f"the network file has no push_url for {sae}, and keys are pushed to no other place"
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, reason, is_ours=True)
        own = sum(one.sae == sae for one in self._pushed.values())
        if stream not in self._pushed and (len(self._pushed) >= STREAMS_MAX or own >= STREAMS_PER_SAE_MAX):
            reason = f"{STREAMS_PER_SAE_MAX} streams of one SAE, {STREAMS_MAX} of one KME are pushed at most"
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, reason, is_ours=True)

    def start(self, sae: SaeId, stream: KeyId) -> None:
        """Push from now on; a stream that rests, or waits for its next try, goes on at once.

        Raises:
            StreamRefused: as ``check``.
        """
        if stream in self._pushed:
            self._pushed[stream].asked_again.set()
            return
        self.check(sae, stream)
        url = self._network.saes[sae].push_url
        assert url is not None
        one = _Pushed(sae, stream, PushLine(sae, url, self._context, self._admits))
        self._pushed[stream] = one
        one.task = asyncio.create_task(self._run(one))

    async def resume(self) -> None:
        """Go on with what was pushed before this KME was restarted."""
        with suppress(StoreFailed):
            for sae, stream in await self._thread.call(lambda kme, _now_ns: kme.pushed_streams()):
                with suppress(StreamRefused):  # the network file names no place for it any more
                    self.start(sae, stream)

    async def stop(self) -> None:
        """End all; chunks in flight are burned. Call it before the store's thread stops."""
        tasks = {one.task for one in self._pushed.values() if one.task is not None}
        while tasks:  # again: ``wait_for`` of Python 3.11 forgets a cancellation that meets its result
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=STOP_S)

    async def _run(self, one: _Pushed) -> None:
        try:
            while True:
                chunk = await self._next(one)
                if chunk is not None and (await self._offered(one, chunk) or await self._rested(one)):
                    continue
                if not one.asked_again.is_set():
                    return
                one.asked_again.clear()  # closed, and opened again under the same name
        except Exception as error:  # one stream's bug must not end the others, nor pass in silence
            _log.exception("pushing to %s ended by %s", one.sae, type(error).__name__)
        finally:
            del self._pushed[one.stream]
            await one.line.close()

    async def _next(self, one: _Pushed) -> Chunk | None:
        """The next chunk, whenever it comes; None when the stream is over."""
        pause_s = LOOK_S
        while True:
            found = await self._taken(one)
            if isinstance(found, Chunk):
                return found
            if found is not None and not found.is_pending:
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_S_MAX)

    async def _taken(self, one: _Pushed) -> Chunk | StreamRefused | None:
        def take(kme: Kme, now_ns: int) -> Chunk | StreamRefused:
            one.since_ns = kme.pushed_since(one.stream)
            return kme.next_pushed(one.stream, now_ns)

        call = asyncio.ensure_future(self._thread.call(take, patience_s=LOOK_S))
        try:
            return await asyncio.shield(call)
        except StoreFailed:
            return None
        except asyncio.CancelledError:
            with suppress(StoreFailed):
                if isinstance(found := await call, Chunk):  # it has left the store
                    found.bits.wipe()
                    await self._burn()
            raise

    async def _offered(self, one: _Pushed, chunk: Chunk) -> bool:
        """Has the application confirmed it? If not, it is burned."""
        one.asked_again.clear()
        body = key_material(one.stream, chunk.index, chunk.bits, extension_from_provenance(chunk.provenance))
        chunk.bits.wipe()
        end_s, pause_s, is_confirmed = time.monotonic() + self._patience_s, RETRY_S, False
        try:
            while not (is_confirmed := await self._try(one, body)):
                if time.monotonic() > end_s:
                    break
                await _wait(one.asked_again, pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)
                if one.asked_again.is_set():
                    one.asked_again.clear()
                    end_s, pause_s = time.monotonic() + self._patience_s, RETRY_S
                if await self._since(one) != one.since_ns:
                    break
                self.counts.retries += 1
        finally:
            if is_confirmed:
                self.counts.confirmed += 1
            else:
                await self._burn()
        return is_confirmed

    async def _try(self, one: _Pushed, body: bytes) -> bool:
        try:
            answer = await one.line.post(KEY_MATERIAL, body)
        except EndpointFailed as error:
            _log.info("a chunk is not pushed: %s", error.detail)
            return False
        return is_confirmation(answer.status_code, answer.body)

    async def _since(self, one: _Pushed) -> int | None:
        """When the stream of this name began that is open now; a chunk of another one is not offered again."""
        try:
            return await self._thread.call(lambda kme, _now_ns: kme.pushed_since(one.stream))
        except StoreFailed:
            return one.since_ns

    async def _rested(self, one: _Pushed) -> bool:
        """Wait until its application asks again; False when the stream is over."""
        if await self._since(one) == one.since_ns and not one.asked_again.is_set():
            self._tell(f"{one.sae} does not confirm what is pushed to it: one chunk burned, its stream rests")
        one.is_resting = True
        while (since := await self._since(one)) == one.since_ns and not one.asked_again.is_set():
            await _wait(one.asked_again, REST_LOOK_S)
        one.is_resting = False
        return since is not None

    async def _burn(self) -> None:
        self.counts.burned += 1
        with suppress(StoreFailed):
            await self._thread.call(lambda kme, _now_ns: kme.burned(1))


async def _wait(event: asyncio.Event, limit_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await event.wait()
