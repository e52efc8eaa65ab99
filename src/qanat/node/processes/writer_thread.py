"""One thread per KME owns its engine and its store, and commits in groups.

While one fsync runs, the next group gathers: so durability costs one disk flush per group, not per key.
Nothing that a group produced (answers, frames, events) leaves the thread before its commit has returned.
What the group did is in the audit before the commit; an audit that cannot be written fails the group.
If a commit fails, the engine in memory is ahead of the disk; it is dropped and made again from the store.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.crypto.randomness.health import EntropyFailed
from qanat.km.documents import KeyDeliveryError
from qanat.km.interwork.documents import InterworkError
from qanat.km.interwork.outbox import Request
from qanat.km.kme import Kme
from qanat.km.store import Store
from qanat.km.stream_types import StreamRefused
from qanat.km.supply import SimulatedKeyRefused
from qanat.node.audit.trail import Trail
from qanat.node.store.leased import Leased, LeaseLost

ResultT = TypeVar("ResultT")
Operation = Callable[[Kme, int], Any]

GROUP_SIZE_MAX = 512
IDLE_S = 0.05  # how late a deadline may be noticed
FAILED_PAUSE_S = 0.2  # a disk that is full stays so for a while
STORE_RETRY_S = 1.0  # for whoever tries again what failed


class StoreFailed(EnvironmentProblem):
    """The key store could not be written (disk full, an I/O error, or a random source that broke). Nothing was handed
    out; mend what is named above (free some room, or restart on a sound machine) and ask again."""


@dataclass(slots=True)
class _Job:
    operation: Operation
    future: asyncio.Future[Any]
    patience_s: float = 0.0
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Outcome:
    """What one committed group produced besides its answers."""

    frames: list[tuple[SiteId, bytes]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
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
        trail: Trail | None = None,
    ) -> None:
        self._make_store = make_store
        self._make_kme = make_kme
        self._on_outcome = on_outcome
        self._trail = trail
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._asked: list[_Job] = []  # in this turn of the loop; the thread gets them together
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=f"kme-{name}", daemon=True)

    async def start(self) -> None:
        """Raises: whatever opening the store raised."""
        self._thread.start()
        await self._opened

    async def call(self, operation: Callable[[Kme, int], ResultT], *, patience_s: float = 0.0) -> ResultT:
        """Run the operation inside the next group; return after its commit.

        Args:
            patience_s: How long it may wait for company, so that it costs no flush of its own.

        Raises:
            StoreFailed: the group could not be committed, or the thread is stopping.
        """
        if self._is_stopping:  # a job behind the stop mark would never be answered
            raise StoreFailed("the KME is stopping")
        future: asyncio.Future[ResultT] = self._loop.create_future()
        if not self._asked:
            self._loop.call_soon(self._hand_over)
        self._asked.append(_Job(operation, future, patience_s))
        return await future

    def _hand_over(self) -> None:
        """One group for what one turn of the loop asked: each group costs a flush, and a change of threads."""
        if self._asked:  # else ``stop`` was faster
            self._jobs.put(self._asked)
            self._asked = []

    async def stop(self) -> None:
        """Finish what was asked, close the store."""
        self._is_stopping = True
        self._hand_over()
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, 4.0)

    def _run(self) -> None:
        try:
            store = self._make_store()
            kme: Kme | None = self._make_kme(store)
        except BaseException as error:
            self._loop.call_soon_threadsafe(self._opened.set_exception, error)
            return
        self._loop.call_soon_threadsafe(self._opened.set_result, None)
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            kme = self._commit(kme, store, group)
        if self._trail is not None:
            with suppress(EnvironmentProblem):  # a full disk: then the last entry is missing, and nothing else
                self._trail.stop(store, time.time_ns())
        store.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Whatever waits, as soon as one of it is in a hurry."""
        group: list[_Job] = []
        end_s = time.monotonic() + IDLE_S
        while len(group) < GROUP_SIZE_MAX:
            wait_s = end_s - time.monotonic()
            try:
                jobs = self._jobs.get(timeout=wait_s) if wait_s > 0 else self._jobs.get_nowait()
            except queue.Empty:
                return group, True
            if jobs is None:
                return group, False
            group += jobs
            end_s = min(end_s, time.monotonic() + min(job.patience_s for job in jobs))
        return group, True

    def _commit(self, kme: Kme | None, store: Store, group: list[_Job]) -> Kme | None:
        """The engine to go on with; None when it is to be made again from the store."""
        outcome = Outcome()
        now_ns = time.time_ns()
        is_due = kme is None or _is_due(kme.deadline_ns(), now_ns)
        is_due = is_due or (self._trail is not None and self._trail.is_due(now_ns))
        if not group and not is_due:
            return self._kept(kme, store)
        was_lost = kme is None
        try:
            if kme is None:
                kme = self._make_kme(store)
            with store.transaction():
                for job in group:
                    self._perform(job, kme, now_ns)
                if is_due:
                    kme.on_deadline(now_ns)
                outcome.frames = kme.frames_to_send(now_ns)
                outcome.requests = kme.requests_to_send(now_ns)
                outcome.events = kme.events()
                audited = self._trail.write(store, outcome.events, now_ns) if self._trail is not None else None
            if audited is not None:
                audited()
        except Exception as error:
            if not (was_lost and isinstance(error, LeaseLost)):  # a standby waits quietly
                _log_failure(error, len(group))
            if self._trail is not None:
                self._trail.failed()
            for job in group:
                job.error = StoreFailed(str(error).splitlines()[0] if str(error) else type(error).__name__)
            kme, outcome = None, Outcome()
        self._loop.call_soon_threadsafe(self._release, group, outcome)
        if kme is None:
            time.sleep(FAILED_PAUSE_S)
        return kme

    def _kept(self, kme: Kme | None, store: Store) -> Kme | None:
        """Nothing to do; a store that others wait for hears that we are alive."""
        if kme is not None and isinstance(store, Leased):
            try:
                store.beat()
            except EnvironmentProblem as error:
                _log_failure(error, 0)
                return None
        return kme

    def _perform(self, job: _Job, kme: Kme, now_ns: int) -> None:
        """These are raised before anything changed; any other failure spoils the whole group."""
        try:
            job.result = job.operation(kme, now_ns)
        except (KeyDeliveryError, SimulatedKeyRefused, StreamRefused, InterworkError) as error:
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


def _is_due(deadline_ns: int | None, now_ns: int) -> bool:
    return deadline_ns is not None and deadline_ns <= now_ns


def _log_failure(error: Exception, count: int) -> None:
    what = f"a group of {count} could not be committed; the engine starts again from the store"
    if isinstance(error, (EnvironmentProblem, EntropyFailed)):  # the machine, not us: one line, since it comes again
        logging.error("%s: %s", what, " ".join(str(error).split()))  # noqa: TRY400
    else:
        logging.error(what, exc_info=error)
