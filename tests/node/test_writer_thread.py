"""The writer thread: answers after their commit, none after a failed one, and an engine from the store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from qanat.core.errors import EnvironmentProblem
from qanat.crypto.randomness.health import HealthTestedEntropy
from qanat.km.documents import KeyDeliveryError
from qanat.node.processes.writer_thread import Outcome, StoreFailed, WriterThread
from qanat.node.store.leased import LeaseLost


class Disk:
    """A store that counts; it fails while ``is_full``, and keeps what a commit brought."""

    def __init__(self) -> None:
        self.committed = 0
        self.pending = 0
        self.commit_count = 0
        self.is_full = False
        self.is_unreadable = False
        self.is_closed = False
        self.gate = threading.Event()
        self.gate.set()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.pending = self.committed
        yield
        self.gate.wait(5)
        if self.is_full:
            raise EnvironmentProblem("no space left on the device")
        self.committed = self.pending
        self.commit_count += 1

    def close(self) -> None:
        self.is_closed = True


class Engine:
    """Counts in memory what it wrote; a real one mirrors its store in the same way."""

    def __init__(self, disk: Disk) -> None:
        if disk.is_unreadable:
            raise EnvironmentProblem("the disk cannot be read")
        self.disk = disk
        self.value = disk.committed
        self.said: list[Any] = []
        self.due_ns: int | None = None

    def add(self) -> int:
        self.value += 1
        self.disk.pending = self.value
        self.said.append(self.value)
        return self.value

    def deadline_ns(self) -> int | None:
        return self.due_ns

    def on_deadline(self, now_ns: int) -> None:
        self.due_ns = None
        self.said.append("deadline")

    def requests_to_send(self, now_ns: int) -> list[object]:
        return []

    def frames_to_send(self, now_ns: int) -> list[Any]:
        return []

    def events(self) -> list[Any]:
        said, self.said = self.said, []
        return said


class Bench:
    """One thread on one disk, and what left it."""

    def __init__(self) -> None:
        self.disk = Disk()
        self.engines: list[Engine] = []
        self.events: list[Any] = []
        self.thread = WriterThread(
            name="test",
            make_store=lambda: self.disk,  # type: ignore[arg-type, return-value]
            make_kme=self._engine,  # type: ignore[arg-type]
            on_outcome=self._on_outcome,
        )

    def _engine(self, disk: Any) -> Engine:
        self.engines.append(Engine(disk))
        return self.engines[-1]

    def _on_outcome(self, outcome: Outcome) -> None:
        self.events += outcome.events

    async def add(self) -> int:
        return await self.thread.call(lambda kme, _now_ns: kme.add())  # type: ignore[attr-defined, no-any-return]


def test_many_callers_share_few_commits_and_each_gets_its_own_answer() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        bench.disk.gate.clear()
        asked = [asyncio.ensure_future(bench.add()) for _ in range(100)]
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in asked)  # nothing is answered before its commit
        assert bench.events == []
        bench.disk.gate.set()
        assert sorted(await asyncio.gather(*asked)) == list(range(1, 101))
        assert bench.disk.commit_count <= 3
        assert bench.disk.committed == 100
        assert bench.events == list(range(1, 101))
        await bench.thread.stop()
        assert bench.disk.is_closed

    asyncio.run(run())


def test_a_failed_commit_fails_every_answer_of_its_group_and_the_engine_starts_from_the_store() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        assert await bench.add() == 1
        bench.disk.is_full = True
        results = await asyncio.gather(*(bench.add() for _ in range(10)), return_exceptions=True)
        assert all(isinstance(result, StoreFailed) for result in results)
        assert "no space left" in str(results[0])
        assert bench.events == [1]  # what a failed group would have told, nobody heard
        bench.disk.is_full = False
        assert await bench.add() == 2  # not 12: memory that was ahead of the disk is gone
        assert len(bench.engines) >= 2
        await bench.thread.stop()

    asyncio.run(run())


def test_a_store_that_cannot_even_be_read_again_is_tried_until_it_can() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        bench.disk.is_full = bench.disk.is_unreadable = True
        for _ in range(3):
            with pytest.raises(StoreFailed):
                await asyncio.wait_for(bench.add(), 5)
        bench.disk.is_full = bench.disk.is_unreadable = False
        assert await asyncio.wait_for(bench.add(), 5) == 1
        await bench.thread.stop()

    asyncio.run(run())


def test_a_refusal_is_answered_alone_and_spoils_nobody() -> None:
    def refuse(_kme: Any, _now_ns: int) -> None:
        raise KeyDeliveryError(400, "not yours")

    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        bench.disk.gate.clear()
        before, refused, after = (
            asyncio.ensure_future(bench.add()),
            asyncio.ensure_future(bench.thread.call(refuse)),
            asyncio.ensure_future(bench.add()),
        )
        await asyncio.sleep(0.05)
        bench.disk.gate.set()
        assert (await before, await after) == (1, 2)
        with pytest.raises(KeyDeliveryError):
            await refused
        await bench.thread.stop()

    asyncio.run(run())


def test_a_bug_in_one_operation_spoils_its_group_but_not_the_thread() -> None:
    def broken(kme: Any, _now_ns: int) -> None:
        kme.add()
        raise ZeroDivisionError

    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        with pytest.raises(StoreFailed):
            await bench.thread.call(broken)
        assert await bench.add() == 1
        await bench.thread.stop()

    asyncio.run(run())


def test_a_broken_random_source_is_named_in_one_line_of_the_log_each_time(caplog: pytest.LogCaptureFixture) -> None:
    class Zeros:
        def random_bytes(self, size_bytes: int) -> bytes:
            return bytes(size_bytes)

    entropy = HealthTestedEntropy(Zeros(), min_entropy_bits=8, alpha_log2=-80)

    def draw(kme: Any, _now_ns: int) -> None:
        kme.add()
        entropy.random_bytes(32)

    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        with pytest.raises(StoreFailed, match="random source: 11 equal bytes in a row"):
            await bench.thread.call(draw)
        with pytest.raises(StoreFailed, match="random source failed before"):
            await bench.thread.call(draw)
        assert bench.disk.committed == 0
        assert await bench.add() == 1  # what draws nothing goes on
        await bench.thread.stop()

    asyncio.run(run())
    assert [record.exc_info for record in caplog.records if "random source" in record.getMessage()] == [None, None]


class SharedDisk(Disk):
    """One that another instance can take away."""

    def __init__(self) -> None:
        super().__init__()
        self.beat_count = 0
        self.is_lost = False

    def beat(self) -> None:
        self.beat_count += 1
        if self.is_lost:
            self.is_full = self.is_unreadable = True
            raise LeaseLost("another instance serves")


def test_an_idle_thread_beats_and_one_that_lost_its_lease_begins_again_from_the_store(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        bench = Bench()
        bench.disk = disk = SharedDisk()
        await bench.thread.start()
        await asyncio.sleep(0.2)
        assert disk.beat_count >= 2
        assert len(bench.engines) == 1
        disk.is_lost = True
        await asyncio.sleep(0.3)
        with pytest.raises(StoreFailed):
            await asyncio.wait_for(bench.add(), 5)
        disk.committed = 40  # what the other instance did meanwhile
        disk.is_lost = disk.is_full = disk.is_unreadable = False
        assert await asyncio.wait_for(bench.add(), 5) == 41
        assert len(bench.engines) == 2
        await bench.thread.stop()

    asyncio.run(run())
    assert "another instance serves" in caplog.text


def test_deadlines_pass_without_anybody_asking() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        bench.engines[0].due_ns = 0
        await asyncio.sleep(0.3)
        assert bench.events == ["deadline"]
        await bench.thread.stop()

    asyncio.run(run())


def test_what_was_asked_before_the_stop_is_answered_and_nothing_hangs_after_it() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        asked = [asyncio.ensure_future(bench.add()) for _ in range(600)]  # more than one group
        await asyncio.sleep(0)
        await bench.thread.stop()
        assert sorted(await asyncio.gather(*asked)) == list(range(1, 601))
        with pytest.raises(StoreFailed, match="stopping"):
            await asyncio.wait_for(bench.add(), 2)

    asyncio.run(run())


def test_a_store_that_does_not_open_says_why() -> None:
    async def run() -> None:
        bench = Bench()
        bench.disk.is_unreadable = True
        with pytest.raises(EnvironmentProblem, match="cannot be read"):
            await bench.thread.start()

    asyncio.run(run())


def test_a_caller_who_went_away_does_not_hurt_the_others() -> None:
    async def run() -> None:
        bench = Bench()
        await bench.thread.start()
        bench.disk.gate.clear()
        gone, stays = asyncio.ensure_future(bench.add()), asyncio.ensure_future(bench.add())
        await asyncio.sleep(0.05)
        gone.cancel()
        bench.disk.gate.set()
        assert await stays == 2
        await bench.thread.stop()

    asyncio.run(run())
