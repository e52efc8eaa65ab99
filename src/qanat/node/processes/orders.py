"""Commands of the controller to one KME, applied in their order."""

from __future__ import annotations

import asyncio
from collections import deque

from qanat.core.alarms import Command
from qanat.node.processes.writer_thread import STORE_RETRY_S, StoreFailed, WriterThread


class Orders:
    """Waits for commands and applies them."""

    def __init__(self, thread: WriterThread) -> None:
        self._thread = thread
        self._commands: deque[Command] = deque()
        self._commanded = asyncio.Event()

    def give(self, command: Command) -> None:
        self._commands.append(command)
        self._commanded.set()

    async def run(self) -> None:
        """One that the store could not take is tried again: it may be a quarantine, and the disk may have room again
        before the controller speaks next."""
        while True:
            await self._commanded.wait()
            self._commanded.clear()
            try:
                while self._commands:
                    await self._apply(self._commands[0])
                    self._commands.popleft()
            except StoreFailed:
                await asyncio.sleep(STORE_RETRY_S)
                self._commanded.set()

    async def _apply(self, command: Command) -> None:
        await self._thread.call(lambda kme, now_ns: kme.apply(command, now_ns))
