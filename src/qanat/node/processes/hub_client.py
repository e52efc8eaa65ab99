"""A process's line to the hub: reports go out, commands come in; it connects again for ever."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

from qanat.core.ids import SiteId
from qanat.node.messages import HUB, Hello, HubMessage
from qanat.node.wire import frames, keep_connected, send_all, write_frame

# Reports are of use while fresh: 8 links x 20 a second for half a minute. Older ones are dropped.
QUEUE_LENGTH_MAX = 5_000
KME_QUEUE_LENGTH_MAX = 256  # of each site: two minutes of its two reports a second, and some notes


class HubClient:
    """Sends to the hub what the process has to tell; without a hub, keeps the newest."""

    def __init__(
        self,
        path: str,
        *,
        process: str,
        sites: list[SiteId] | None = None,
        on_message: Callable[[HubMessage], None] | None = None,
        queue_length_max: int = QUEUE_LENGTH_MAX,
    ) -> None:
        self._path = path
        self._hello = Hello(process, os.getpid(), sites or [])
        self._on_message = on_message
        self._queue: deque[bytes] = deque(maxlen=queue_length_max)
        self._filled = asyncio.Event()

    def announce(self, sites: list[SiteId]) -> None:
        """From now on this process serves these sites: their commands come here."""
        self._hello = Hello(self._hello.process, self._hello.pid, sites)
        self.send(self._hello)

    @property
    def sites(self) -> list[SiteId]:
        return list(self._hello.sites)

    def send(self, message: HubMessage) -> None:
        self._queue.append(HUB.encode(message))
        self._filled.set()

    async def run(self) -> None:
        await keep_connected(lambda: asyncio.open_unix_connection(self._path), self._talk)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        write_frame(writer, HUB.encode(self._hello))
        sender = asyncio.create_task(send_all(writer, self._queue, self._filled))
        try:
            async for frame in frames(reader):
                message = HUB.decode(frame)
                if self._on_message is not None:
                    self._on_message(message)
        finally:
            sender.cancel()
