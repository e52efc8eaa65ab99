"""Commands of the controller: in their order, each until the store has taken it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qanat.node.processes import orders
from qanat.node.processes.orders import Orders
from qanat.node.processes.writer_thread import StoreFailed


class Disk:
    """A writer thread whose disk is full for the first few tries."""

    def __init__(self, failures: int) -> None:
        self.failures, self.applied = failures, []  # type: ignore[var-annotated]

    async def call(self, operation: Any) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise StoreFailed("no space left")
        operation(self, 0)

    def apply(self, command: str, _now_ns: int) -> None:
        self.applied.append(command)


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_a_full_disk_delays_commands_and_neither_loses_nor_repeats_nor_turns_them_round(
    failures: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orders, "STORE_RETRY_S", 0.01)

    async def run() -> list[str]:
        disk = Disk(failures)
        given = Orders(disk)  # type: ignore[arg-type]
        task = asyncio.create_task(given.run())
        for name in "abc":
            given.give(name)  # type: ignore[arg-type]
            await asyncio.sleep(0)
        for name in "de":
            given.give(name)  # type: ignore[arg-type]
        for _ in range(500):
            if len(disk.applied) == 5:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert not task.done()
        task.cancel()
        return disk.applied

    assert asyncio.run(run()) == ["a", "b", "c", "d", "e"]
