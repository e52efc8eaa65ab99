"""Key blocks go to the KME until it says that they are stored, each kept until then and wiped after."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.records import KeyBlock
from qanat.core.secret import SecretBits
from qanat.node.messages import KQ1, KeyBlockStored, NewKeyBlock
from qanat.node.processes import key_outlet
from qanat.node.processes.guests import Guests
from qanat.node.processes.key_outlet import WAITING_COUNT_MAX, KeyOutlet
from qanat.node.wire import frames, write_frame

PROVENANCE = Provenance(
    origin=Origin.QKD,
    links=(LinkId("a-b"),),
    authentication=Authentication.PRE_SHARED,
    epsilon_total=1e-10,
    simulated=True,
)


def block(number: int) -> KeyBlock:
    return KeyBlock(
        link=LinkId("a-b"),
        block=BlockId(f"a-b/1/{number}"),
        start_ns=number,
        end_ns=number + 1,
        bits=SecretBits(number.to_bytes(4) * 8),
        provenance=PROVENANCE,
    )


class Module:
    """The KME's end of Kq-1: takes blocks, says so only while ``is_storing``."""

    def __init__(self) -> None:
        self.is_storing = True
        self.taken: list[NewKeyBlock] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            message = KQ1.decode(frame)
            assert isinstance(message, NewKeyBlock)
            self.taken.append(message)
            if not self.is_storing:
                break
            write_frame(writer, KQ1.encode(KeyBlockStored(message.block)))
        writer.close()

    def names(self) -> list[str]:
        return [message.block for message in self.taken]


async def until(is_true: Any) -> None:
    for _ in range(250):
        if is_true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not become true")


def test_blocks_made_before_the_kme_is_there_arrive_in_order_and_are_wiped_once_stored(tmp_path: Path) -> None:
    async def run() -> None:
        outlet, module = KeyOutlet([str(tmp_path / "s")], SiteId("a")), Module()
        blocks = [block(number) for number in range(1, 6)]
        for item in blocks:
            outlet.put(item)
        line = asyncio.create_task(outlet.run())
        async with await asyncio.start_unix_server(module.serve, str(tmp_path / "s")):
            await until(lambda: not outlet._waiting)
            late = block(6)
            outlet.put(late)
            await until(lambda: not outlet._waiting)
        line.cancel()
        assert module.names() == [f"a-b/1/{number}" for number in range(1, 7)]
        assert module.taken[0].bits == (1).to_bytes(4) * 8
        for item in [*blocks, late]:
            assert item.bits.size_bits == 0 or not any(item.bits.reveal())

    asyncio.run(run())


def test_a_block_that_was_not_confirmed_is_sent_again_on_the_next_connection(tmp_path: Path) -> None:
    async def run() -> None:
        outlet, module = KeyOutlet([str(tmp_path / "s")], SiteId("a")), Module()
        module.is_storing = False
        line = asyncio.create_task(outlet.run())
        async with await asyncio.start_unix_server(module.serve, str(tmp_path / "s")):
            outlet.put(block(1))
            await until(lambda: len(module.taken) >= 2)
            module.is_storing = True
            await until(lambda: not outlet._waiting)
        line.cancel()
        assert set(module.names()) == {"a-b/1/1"}
        assert {message.bits for message in module.taken} == {(1).to_bytes(4) * 8}

    asyncio.run(run())


def test_what_waits_is_bounded_and_the_oldest_is_given_up_and_wiped() -> None:
    outlet = KeyOutlet(["nowhere"], SiteId("a"))
    first = block(1)
    outlet.put(first)
    for number in range(2, WAITING_COUNT_MAX + 4):
        outlet.put(block(number))
    assert len(outlet._waiting) == WAITING_COUNT_MAX
    assert outlet.given_up_count == 3
    assert first.block not in outlet._waiting


def test_blocks_go_to_whichever_instance_listens_and_leave_one_that_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_outlet, "SILENCE_S", 0.2)

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async def run() -> None:
        outlet, module = KeyOutlet([str(tmp_path / "frozen"), str(tmp_path / "s")], SiteId("a")), Module()
        line = asyncio.create_task(outlet.run())
        async with Guests() as guests:
            guests.come_by(await asyncio.start_unix_server(guests.served(module.serve), str(tmp_path / "s")))
            outlet.put(block(1))
            await until(lambda: not outlet._waiting)  # nobody listens at the first socket
        async with await asyncio.start_unix_server(silence, str(tmp_path / "frozen")):
            outlet.put(block(2))
            await asyncio.sleep(0.3)
            assert outlet.waiting_count == 1
            async with await asyncio.start_unix_server(module.serve, str(tmp_path / "s")):
                await until(lambda: not outlet._waiting)
        line.cancel()
        assert module.names() == ["a-b/1/1", "a-b/1/2"]

    asyncio.run(run())
