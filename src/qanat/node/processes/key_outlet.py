"""From a QKD module's process to the KME of its site (Kq-1): each key block until the KME has stored it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from qanat.core.ids import BlockId, SiteId
from qanat.core.records import KeyBlock
from qanat.node.messages import KQ1, KeyBlockStored, message_from_key_block
from qanat.node.wire import frames, keep_connected, read_frame, write_frame

# A KME that is away for a minute misses about 64 blocks of a busy link. The oldest is given up first.
WAITING_COUNT_MAX = 64
SILENCE_S = 2.0  # an instance that has a block and says nothing for so long is left for the next one


class KeyOutlet:
    """Blocks waiting for one KME; sent again after a reconnect, so the KME takes each id once.

    Args:
        paths: Sockets of the instances of that KME; only the one that serves listens.
    """

    def __init__(self, paths: Sequence[str], site: SiteId) -> None:
        self._paths = deque(paths)  # the first one is the one in use, or to be tried next
        self.site = site
        self._waiting: dict[BlockId, KeyBlock] = {}
        self._writer: asyncio.StreamWriter | None = None
        self.given_up_count = 0

    @property
    def waiting_count(self) -> int:
        """Key blocks that the KME has not confirmed."""
        return len(self._waiting)

    def put(self, block: KeyBlock) -> None:
        self._waiting[block.block] = block
        while len(self._waiting) > WAITING_COUNT_MAX:
            self._waiting.pop(next(iter(self._waiting))).bits.wipe()
            self.given_up_count += 1
        self._send(block)

    def _send(self, block: KeyBlock) -> None:
        if self._writer is not None:
            write_frame(self._writer, KQ1.encode(message_from_key_block(block)))

    async def run(self) -> None:
        await keep_connected(self._connect, self._talk)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for _ in range(len(self._paths) - 1):
            try:
                return await asyncio.open_unix_connection(self._paths[0])
            except OSError:
                self._paths.rotate(-1)
        return await asyncio.open_unix_connection(self._paths[0])

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            for block in list(self._waiting.values()):
                self._send(block)
            async for frame in self._answers(reader):
                message = KQ1.decode(frame)
                if isinstance(message, KeyBlockStored) and message.block in self._waiting:
                    self._waiting.pop(message.block).bits.wipe()
        finally:
            self._writer = None

    async def _answers(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """Until the KME closes; of several instances also until one is silent, which may be frozen."""
        if len(self._paths) == 1:
            async for frame in frames(reader):
                yield frame
            return
        while True:
            answer = asyncio.ensure_future(read_frame(reader))
            while not (await asyncio.wait({answer}, timeout=SILENCE_S))[0]:
                if self._waiting:
                    answer.cancel()
                    self._paths.rotate(-1)
                    return
            found = answer.result()
            if found is None:
                return
            yield found
