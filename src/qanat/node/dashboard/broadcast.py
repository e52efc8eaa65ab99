"""One stream of server-sent events for all browsers: every frame is encoded once.

The pump runs only while somebody looks. A reader that is slow skips frames instead of queueing them:
a snapshot is a whole picture, so only the newest is worth sending.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec

from qanat.node.dashboard.source import SnapshotSource

HEARTBEAT = b": still here\n\n"  # a comment line; browsers skip it, proxies and we see a live socket
READERS_MAX = 64  # open streams; each costs a socket and a task, and one page needs one
log = logging.getLogger(__name__)


class TooManyReaders(Exception):
    """Too many live pages are open. Close one and reload."""


def event_frame(name: str, sequence: int, data: bytes, *, retry_ms: int) -> bytes:
    r"""One server-sent event; `data` is JSON, hence without raw line ends.

    Source: WHATWG HTML, clause 9.2.6, "Interpreting an event stream".

    Example:
        >>> event_frame("snapshot", 7, b"{}", retry_ms=1000)
        b'id: 7\nretry: 1000\nevent: snapshot\ndata: {}\n\n'
    """
    return b"id: %d\nretry: %d\nevent: %s\ndata: %s\n\n" % (sequence, retry_ms, name.encode(), data)


class Broadcast:
    """Carries the source's newest snapshot to every reader.

    Args:
        source: Where snapshots come from.
        interval_s: Shortest time between two frames; what changes faster is seen in the next one.
        heartbeat_s: Longest silence of a stream.
        retry_ms: How long a browser waits before it reconnects.
    """

    def __init__(
        self, source: SnapshotSource, *, interval_s: float = 1.0, heartbeat_s: float = 10.0, retry_ms: int = 1000
    ) -> None:
        self._source = source
        self._interval_s = interval_s
        self._heartbeat_s = heartbeat_s
        self._retry_ms = retry_ms
        self._frame = b""
        self._frame_number = 0  # counts frames made here; the source's sequence may restart with the hub
        self._changed = asyncio.Event()
        self._pump_task: asyncio.Task[None] | None = None
        self.reader_count = 0

    async def frames(self) -> AsyncIterator[bytes]:
        """Frames and heartbeats until the reader leaves or the source fails; the present state comes first.

        Ask `require_room` before, so that a refusal can still be a status code.
        """
        self._join()
        try:
            seen = self._frame_number if not self._frame else self._frame_number - 1
            while self._pump_task is not None and not self._pump_task.done():
                changed = self._changed
                if self._frame_number > seen:
                    seen = self._frame_number
                    yield self._frame
                elif await _happens(changed, self._heartbeat_s) is False:
                    yield HEARTBEAT
        finally:
            self._leave()

    def require_room(self) -> None:
        """Pass when one more stream may open.

        Raises:
            TooManyReaders: `READERS_MAX` streams are open.
        """
        if self.reader_count >= READERS_MAX:
            raise TooManyReaders(f"{READERS_MAX} live pages are open already. Close one and reload.")

    def _join(self) -> None:
        self.reader_count += 1
        if self._pump_task is None or self._pump_task.done():
            self._pump_task = asyncio.create_task(self._pump(), name="dashboard-broadcast")

    def _leave(self) -> None:
        self.reader_count -= 1
        if self.reader_count == 0 and self._pump_task is not None:
            self._pump_task.cancel()
            self._pump_task = None
            self._frame = b""  # old by the time the next reader comes

    async def _pump(self) -> None:
        """Publish what the source has, then wait for it to change. Ends, with all streams, when the source fails."""
        try:
            while True:
                sequence = self._publish()
                await asyncio.sleep(self._interval_s)
                await self._source.wait_next(sequence)
        except Exception:
            self._frame = b""
            log.exception("the live page's source failed; browsers will reconnect")
        finally:
            self._wake()

    def _publish(self) -> int:
        snapshot = self._source.snapshot()
        sequence = int(snapshot["sequence"])
        self._frame = event_frame("snapshot", sequence, msgspec.json.encode(snapshot), retry_ms=self._retry_ms)
        self._frame_number += 1
        self._wake()
        return sequence

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _happens(event: asyncio.Event, timeout_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return False
    return True
