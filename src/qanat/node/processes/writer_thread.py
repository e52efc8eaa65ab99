"""One thread per KME owns its engine and its store, and commits in groups.

While one fsync runs, the next group gathers: so durability costs one disk flush per group, not per key.
Nothing that a group produced (answers, frames, events) leaves the thread before its commit has returned.
If a commit fails, the engine in memory is ahead of the disk; it is dropped and made again from the store.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.ids import SiteId
from qanat.km.kme import Kme
from qanat.km.store import Store

ResultT = TypeVar("ResultT")
Operation = Callable[[Kme, int], Any]

GROUP_SIZE_MAX = 512
IDLE_S = 0.05  # how late a deadline may be noticed


class StoreFailed(EnvironmentProblem):
    """The key store could not be written (disk full, or an I/O error). Nothing was handed out; free some
    room and ask again."""


@dataclass(slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Outcome:
    """What one committed group produced besides its answers."""

    frames: list[tuple[SiteId, bytes]] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)


class WriterThread:
    """Runs operations on one KME; ``call`` from the event loop, results only after commit."""

    def __init__(
        self,
        *,
        name: str,
        make_store: Callable[[], Store],
        make_kme: Callable[[Store], Kme],
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self._make_store = make_store
        self._make_kme = make_kme
        self._on_outcome = on_outcome
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name=f"kme-{name}", daemon=True)

    async def start(self) -> None:
        """Raises: whatever opening the store raised."""
        self._thread.start()
        await self._opened

    async def call(self, operation: Callable[[Kme, int], ResultT]) -> ResultT:
        """Run the operation inside the next group; return after its commit.

        Raises:
            StoreFailed: the group could not be committed.
        """
        future: asyncio.Future[ResultT] = self._loop.create_future()
        self._jobs.put(_Job(operation, future))
        return await future

    async def stop(self) -> None:
        """Finish what was asked, close the store."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, 4.0)

    def _run(self) -> None:
        try:
            store = self._make_store()
            kme = self._make_kme(store)
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._opened.set_result, None)
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            kme = self._commit(kme, store, group)
        store.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        group: list[_Job] = []
        try:
            job = self._jobs.get(timeout=IDLE_S)
            while job is not None:
                group.append(job)
                if len(group) == GROUP_SIZE_MAX:
                    return group, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _commit(self, kme: Kme, store: Store, group: list[_Job]) -> Kme:
        outcome = Outcome()
        now_ns = time.time_ns()
        deadline_ns = kme.deadline_ns()
        is_due = deadline_ns is not None and deadline_ns <= now_ns
        if not group and not is_due:
            return kme
        try:
            with store.transaction():
                for job in group:
                    self._perform(job, kme, now_ns)
                if is_due:
                    kme.on_deadline(now_ns)
                outcome.frames = kme.frames_to_send(now_ns)
                outcome.events = kme.events()
        except Exception as error:
            logging.exception(
                "a group of %d could not be committed; the engine starts again from the store", len(group)
            )
            for job in group:
                job.error = StoreFailed(str(error).splitlines()[0] if str(error) else type(error).__name__)
            kme, outcome = self._make_kme(store), Outcome()
        self._loop.call_soon_threadsafe(self._release, group, outcome)
        return kme

    def _perform(self, job: _Job, kme: Kme, now_ns: int) -> None:
        """An operation that refuses has changed nothing; any other failure spoils the whole group."""
        try:
            job.result = job.operation(kme, now_ns)
        except QanatError as error:
            if isinstance(error, EnvironmentProblem):
                raise
            job.error = error

    def _release(self, group: list[_Job], outcome: Outcome) -> None:
        for job in group:
            if job.future.cancelled():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        self._on_outcome(outcome)
