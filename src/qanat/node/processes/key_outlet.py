"""From a QKD module's process to the KME of its site (Kq-1): each key block until the KME has stored it."""

from __future__ import annotations

import asyncio

from qanat.core.ids import BlockId, SiteId
from qanat.core.records import KeyBlock
from qanat.node.messages import KQ1, KeyBlockStored, message_from_key_block
from qanat.node.wire import frames, keep_connected, write_frame

# A KME that is away for a minute misses about 64 blocks of a busy link. The oldest is given up first.
WAITING_COUNT_MAX = 64


class KeyOutlet:
    """Blocks waiting for one KME; sent again after a reconnect, so the KME takes each id once."""

    def __init__(self, path: str, site: SiteId) -> None:
        self._path = path
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
        await keep_connected(lambda: asyncio.open_unix_connection(self._path), self._talk)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            for block in list(self._waiting.values()):
                self._send(block)
            async for frame in frames(reader):
                message = KQ1.decode(frame)
                if isinstance(message, KeyBlockStored) and message.block in self._waiting:
                    self._waiting.pop(message.block).bits.wipe()
        finally:
            self._writer = None
