"""The receiving end's light, fed to whatever session there is; one thread talks to the driver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qanat.core.errors import QanatError
from qanat.core.records import DetectionBlock
from qanat.node.drivers.ports import ReceiverDriver
from qanat.node.module.end import ModuleEnd

Result = TypeVar("Result")


class Changes:
    """Wakes whoever waits for something to become true; the host tells after each thing that happened."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, is_true: Callable[[], bool]) -> None:
        while not is_true():
            await self._event.wait()


class Light:
    """Feeds pulse blocks until the driver has no more.

    Attributes:
        problem: Why the light ended; None while it shines.
    """

    def __init__(self, driver: ReceiverDriver, end: ModuleEnd, changes: Changes) -> None:
        self._driver, self._end, self._changes = driver, end, changes
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="light")
        self._pending: DetectionBlock | None = None
        self._is_held = False
        self.problem: QanatError | None = None

    def hold(self, is_held: bool) -> None:
        """Hand in no more blocks, so that what is under way can end; or go on."""
        self._is_held = is_held
        self._changes.tell()

    def close(self) -> None:
        self._driver.close()
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def run(self) -> QanatError:
        """Shine; returns why it ended."""
        try:
            while True:
                await self._changes.until(lambda: self._end.session is not None)
                await self._shine(self._end.epoch)
        except QanatError as problem:
            self.problem = problem
            return problem

    async def _shine(self, epoch: int) -> None:
        """One session's light."""
        if not self._driver.is_recorded:
            self._pending = None  # its light passed while nobody looked
        await self._call(lambda: self._driver.begin(epoch))
        while True:
            if self._pending is None:
                self._pending = await self._call(self._driver.next_block)
            await self._changes.until(lambda: not self._is_in(epoch) or self._can_feed())
            if not self._is_in(epoch):
                return
            self._feed()

    def _is_in(self, epoch: int) -> bool:
        return self._end.session is not None and self._end.epoch == epoch

    def _can_feed(self) -> bool:
        session = self._end.session
        return session is not None and not self._is_held and session.can_accept_block()

    def _feed(self) -> None:
        session, block, self._pending = self._end.session, self._pending, None
        if session is not None and block is not None:
            session.add_detections(block, time.time_ns())
            self._end.pump()

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
