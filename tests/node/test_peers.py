"""KME to KME over mutual TLS: the sender is who its certificate says, and nobody else gets a word in."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from live_network import TINY

from qanat.cli.check import load_network
from qanat.core.ids import SaeId, SiteId
from qanat.node.access import Admission
from qanat.node.enrolment import enrol
from qanat.node.holders import KMES
from qanat.node.pki import Credentials, kme_credentials, provision, sae_credentials
from qanat.node.processes.guests import Guests
from qanat.node.processes.peers import PeerLine, client_context, listen
from qanat.node.revocation import revoke
from qanat.node.statedir import StateDir
from qanat.node.supervisor import free_ports
from qanat.node.wire import write_frame

MITTE, MOABIT, WEDDING = SiteId("mitte"), SiteId("moabit"), SiteId("wedding")


def provisioned(folder: Path) -> StateDir:
    state = StateDir(folder)
    state.prepare()
    provision(state, load_network(TINY), datetime.now(UTC))
    return state


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> StateDir:
    return provisioned(tmp_path_factory.mktemp("peers"))


async def until(is_true: Callable[[], object]) -> None:
    for _ in range(250):
        if is_true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not become true")


def test_frames_arrive_in_order_with_the_name_on_the_certificate(state: StateDir) -> None:
    async def run() -> None:
        heard: list[tuple[SiteId, bytes]] = []
        port = next(free_ports())
        line = PeerLine(MOABIT, [port], client_context(kme_credentials(state, MITTE)), lambda _peer: None)
        task = asyncio.create_task(line.run())
        line.send(b"before anybody listens")
        async with await listen(port, kme_credentials(state, MOABIT), lambda peer, frame: heard.append((peer, frame))):
            await until(lambda: len(heard) == 1)
            for number in range(100):
                line.send(b"%d" % number)
            await until(lambda: len(heard) == 101)
            task.cancel()
        assert heard == [(MITTE, b"before anybody listens"), *((MITTE, b"%d" % number) for number in range(100))]

    asyncio.run(run())


def test_a_line_does_not_speak_to_a_kme_of_another_site(state: StateDir) -> None:
    async def run() -> None:
        heard: list[bytes] = []
        port = next(free_ports())
        async with await listen(port, kme_credentials(state, WEDDING), lambda _peer, frame: heard.append(frame)):
            line = PeerLine(MOABIT, [port], client_context(kme_credentials(state, MITTE)), lambda _peer: None)
            task = asyncio.create_task(line.run())
            line.send(b"for moabit only")
            await asyncio.sleep(0.6)
            task.cancel()
        assert heard == []

    asyncio.run(run())


@pytest.mark.parametrize("who", ["nobody", "an SAE", "a KME of another CA"])
def test_a_stranger_says_nothing_here(state: StateDir, tmp_path: Path, who: str) -> None:
    def context() -> ssl.SSLContext:
        own = kme_credentials(state, MOABIT)
        if who == "nobody":
            return ssl.create_default_context(cafile=own.cafile)
        if who == "an SAE":
            return client_context(sae_credentials(state, SaeId("alice")))
        stranger = kme_credentials(provisioned(tmp_path), MITTE)
        return client_context(Credentials(stranger.certfile, stranger.keyfile, own.cafile))

    async def run() -> None:
        heard: list[bytes] = []
        port = next(free_ports())
        async with await listen(port, kme_credentials(state, MOABIT), lambda _peer, frame: heard.append(frame)):
            try:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=context(), server_hostname="127.0.0.1"
                )
                write_frame(writer, b"let me in")
                assert await asyncio.wait_for(reader.read(), 5) == b""
                writer.close()
            except OSError:
                pass  # refused with an alert: as good
            await asyncio.sleep(0.1)
        assert heard == []

    asyncio.run(run())


def test_a_connection_of_a_peer_ends_with_its_certificate(state: StateDir, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        heard: list[bytes] = []
        port = next(free_ports())
        async with await listen(port, kme_credentials(state, MOABIT), lambda _peer, frame: heard.append(frame)):
            context = client_context(kme_credentials(state, MITTE))
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
            write_frame(writer, b"while it is good")
            await until(lambda: heard)
            monkeypatch.setattr("qanat.node.processes.peers.time", SimpleNamespace(time=lambda: 4e9))  # year 2096
            write_frame(writer, b"after its end")
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
        assert heard == [b"while it is good"]

    asyncio.run(run())


def test_a_revoked_kme_is_cut_off_on_both_open_lines_and_let_in_again_with_a_new_certificate(tmp_path: Path) -> None:
    state = provisioned(tmp_path)

    async def run() -> None:
        heard: list[bytes] = []
        here, there = free_ports(), Admission(state, KMES)
        port = next(here)
        async with await listen(
            port, kme_credentials(state, MOABIT), lambda _peer, frame: heard.append(frame), admits=there.admits
        ):
            context = client_context(kme_credentials(state, MITTE))
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
            line = PeerLine(MOABIT, [port], context, admits=there.admits)
            task = asyncio.create_task(line.run())
            write_frame(writer, b"idle from now on")
            line.send(b"a line of ours")
            await until(lambda: len(heard) == 2)
            assert revoke(state, MITTE, KMES) == 1
            there.look()
            assert await asyncio.wait_for(reader.read(), 1) == b""  # though it says nothing
            again, other = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="127.0.0.1")
            write_frame(other, b"on a new connection")
            with suppress(ConnectionError):
                assert await asyncio.wait_for(again.read(), 1) == b""
            enrol(state, MITTE, KMES, days=30, folder=None, csr=None, hosts=["127.0.0.1"])
            fresh = client_context(kme_credentials(state, MITTE))
            _, back = await asyncio.open_connection("127.0.0.1", port, ssl=fresh, server_hostname="127.0.0.1")
            write_frame(back, b"renewed")
            await until(lambda: len(heard) == 3)
            task.cancel()
            for each in (writer, other, back):
                each.close()
        assert heard == [b"idle from now on", b"a line of ours", b"renewed"]

    asyncio.run(run())


def test_nothing_more_is_said_to_a_peer_whose_certificate_was_taken_back(tmp_path: Path) -> None:
    state = provisioned(tmp_path)

    async def run() -> None:
        heard: list[bytes] = []
        port, here = next(free_ports()), Admission(state, KMES)
        async with await listen(port, kme_credentials(state, MOABIT), lambda _peer, frame: heard.append(frame)):
            line = PeerLine(MOABIT, [port], client_context(kme_credentials(state, MITTE)), admits=here.admits)
            task = asyncio.create_task(line.run())
            line.send(b"while it is good")
            await until(lambda: heard)
            revoke(state, MOABIT, KMES)
            here.look()
            line.send(b"not for it any more")
            await asyncio.sleep(0.6)
            task.cancel()
        assert heard == [b"while it is good"]

    asyncio.run(run())


def test_a_line_finds_the_instance_that_listens_and_says_that_it_is_new(state: StateDir) -> None:
    async def run() -> None:
        heard: list[bytes] = []
        connected: list[SiteId] = []
        free = free_ports()
        ports = [next(free), next(free)]
        line = PeerLine(MOABIT, ports, client_context(kme_credentials(state, MITTE)), connected.append)
        task = asyncio.create_task(line.run())
        for number, port in enumerate([ports[1], ports[0], ports[1]]):
            async with Guests() as guests:
                guests.come_by(
                    await listen(
                        port, kme_credentials(state, MOABIT), lambda _peer, frame: heard.append(frame), guests=guests
                    )
                )
                await until(lambda number=number: len(connected) == number + 1)
                line.send(b"%d" % number)
                await until(lambda number=number: len(heard) == number + 1)
        task.cancel()
        assert heard == [b"0", b"1", b"2"]
        assert set(connected) == {MOABIT}

    asyncio.run(run())


def test_a_line_to_a_frozen_instance_is_left_when_another_one_comes_to_us(state: StateDir) -> None:
    async def run() -> None:
        heard: dict[int, list[bytes]] = {}
        free = free_ports()
        ports = [next(free), next(free)]
        line = PeerLine(MOABIT, ports, client_context(kme_credentials(state, MITTE)), lambda _peer: None)
        task = asyncio.create_task(line.run())

        async def served(guests: Guests, port: int) -> None:
            receive = heard.setdefault(port, []).append
            files = kme_credentials(state, MOABIT)
            guests.come_by(await listen(port, files, lambda _peer, frame: receive(frame), guests=guests))

        async with Guests() as guests:
            await served(guests, ports[0])
            line.send(b"to the first")
            await until(lambda: heard[ports[0]])
            await served(guests, ports[1])  # the first one is still there, and says nothing
            line.look_again()
            await asyncio.sleep(0.3)
            line.send(b"to the second")
            await until(lambda: heard[ports[1]])
            task.cancel()
        assert heard == {ports[0]: [b"to the first"], ports[1]: [b"to the second"]}

    asyncio.run(run())


def test_guests_are_sent_away_when_a_turn_is_over(state: StateDir) -> None:
    async def run() -> None:
        free = next(free_ports())
        async with Guests() as guests:
            guests.come_by(
                await listen(free, kme_credentials(state, MOABIT), lambda _peer, _frame: None, guests=guests)
            )
            context = client_context(kme_credentials(state, MITTE))
            reader, writer = await asyncio.open_connection("127.0.0.1", free, ssl=context, server_hostname="127.0.0.1")
            write_frame(writer, b"hello")
            await asyncio.sleep(0.2)
        assert await asyncio.wait_for(reader.read(), 3) == b""
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", free)
        writer.close()

    asyncio.run(run())


def a_line(state: StateDir) -> tuple[PeerLine, int]:
    """From mitte to moabit, which listens at that port or does not."""
    port = next(free_ports())
    return PeerLine(MOABIT, [port], client_context(kme_credentials(state, MITTE))), port


def test_frames_overtake_none_when_the_connection_is_slow(state: StateDir) -> None:
    """What is written at once goes behind what waits; a peer that reads slowly gets all of it, in order."""

    async def run() -> None:
        heard: list[bytes] = []
        line, port = a_line(state)
        task = asyncio.create_task(line.run())

        def receive(_peer: SiteId, frame: bytes) -> None:
            time.sleep(0.005)  # the whole loop: nothing is read meanwhile, and the sender's buffer fills
            heard.append(frame[:4])

        async with await listen(port, kme_credentials(state, MOABIT), receive):
            line.send(b"0000")
            await until(lambda: heard)
            for number in range(1, 200):
                line.send(b"%04d" % number + bytes(200_000))  # more than the kernel takes at once
            assert line._queue, "some of them had to wait"
            await until(lambda: len(heard) == 200)
            task.cancel()
        assert heard == [b"%04d" % number for number in range(200)]

    asyncio.run(run())


def test_a_frame_for_a_lost_connection_waits_for_the_next_one(state: StateDir) -> None:
    async def run() -> None:
        heard: list[bytes] = []
        line, port = a_line(state)
        task = asyncio.create_task(line.run())

        def receive(_peer: SiteId, frame: bytes) -> None:
            heard.append(frame)

        async with Guests() as guests:
            guests.come_by(await listen(port, kme_credentials(state, MOABIT), receive, guests=guests))
            line.send(b"one")
            await until(lambda: heard == [b"one"])
        await until(lambda: line._open is None)
        line.send(b"two")
        async with await listen(port, kme_credentials(state, MOABIT), receive):
            await until(lambda: heard == [b"one", b"two"])
            task.cancel()

    asyncio.run(run())
