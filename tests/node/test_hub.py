"""The hub's lines over a real Unix socket: who is up, what is told, what nonsense does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from qanat.cli.check import load_network
from qanat.core.alarms import Action
from qanat.core.ids import LinkId, SiteId
from qanat.core.report import LinkReport
from qanat.core.topology import Network
from qanat.node.messages import (
    HUB,
    AdminReply,
    AdminRequest,
    AttackOn,
    Commanded,
    HubMessage,
    Note,
    Reported,
    StoreStatus,
)
from qanat.node.processes.config import ChildConfig, Ports
from qanat.node.processes.hub import Hub
from qanat.node.processes.hub_client import HubClient
from qanat.node.statedir import StateDir
from qanat.node.wire import read_frame, served, write_frame

NETWORKS = Path(__file__).parents[2] / "networks"


@pytest.fixture(scope="module")
def tiny() -> Network:
    return load_network(NETWORKS / "tiny.toml")


def config_of(network: Network, state: StateDir) -> ChildConfig:
    state.prepare()
    ports = Ports(dashboard=0, classical=0, key_delivery={}, peers={})
    sockets = {"hub": str(state.path / "h")}
    return ChildConfig(process="hub", network=network, state=str(state.path), ports=ports, sockets=sockets)


@contextlib.asynccontextmanager
async def serving(config: ChildConfig) -> AsyncIterator[Hub]:
    hub = Hub(config)
    hub.loop.begin()
    async with await asyncio.start_unix_server(served(hub.serve), config.sockets["hub"]):
        yield hub


async def until(is_true: Any) -> None:
    for _ in range(250):
        if is_true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not become true")


async def asked(path: str, verb: str, **arguments: Any) -> AdminReply:
    reader, writer = await asyncio.open_unix_connection(path)
    write_frame(writer, HUB.encode(AdminRequest(verb, arguments)))
    frame = await read_frame(reader)
    writer.close()
    assert frame is not None
    reply = HUB.decode(frame)
    assert isinstance(reply, AdminReply)
    return reply


def test_a_kme_that_joins_hears_its_routes_and_is_shown_as_up(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        heard: list[HubMessage] = []
        async with serving(config) as hub:
            client = HubClient(
                config.sockets["hub"], process="kme mitte", sites=[SiteId("mitte")], on_message=heard.append
            )
            line = asyncio.create_task(client.run())
            await until(lambda: len(heard) >= 2)
            assert all(isinstance(message, Commanded) and message.command.site == "mitte" for message in heard)
            sites = {site["id"]: site["is_up"] for site in hub.view.snapshot()["sites"]}
            assert sites == {"mitte": True, "moabit": False, "wedding": False}
            line.cancel()
            await until(lambda: not any(site["is_up"] for site in hub.view.snapshot()["sites"]))

    asyncio.run(run())


def test_commands_of_a_site_go_to_the_instance_that_announced_it_last(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config, mitte = config_of(tiny, StateDir(tmp_path)), SiteId("mitte")
        heard: list[list[HubMessage]] = [[], []]
        async with serving(config) as hub:
            clients = [
                HubClient(config.sockets["hub"], process=name, sites=[], on_message=heard[index].append)
                for index, name in enumerate(["kme mitte", "kme mitte@2"])
            ]
            lines = [asyncio.create_task(client.run()) for client in clients]
            await until(lambda: any("kme mitte@2 is up" in entry.text for entry in hub.journal.newest))
            assert heard == [[], []]
            for index in (0, 1):
                clients[index].announce([mitte])
                await until(lambda index=index: heard[index])
            clients[0].announce([])  # it hears late that its turn is over: the other one stays where it is
            clients[0].send(Note("note", "the end of the first"))
            await until(lambda: any("the end of the first" in entry.text for entry in hub.journal.newest))
            assert mitte in hub.view.sites_up
            before = [len(messages) for messages in heard]
            hub.loop.on_site(mitte)
            await until(lambda: len(heard[1]) > before[1])
            assert len(heard[0]) == before[0]
            for line in lines:
                line.cancel()

    asyncio.run(run())


def test_what_was_said_while_the_hub_was_away_arrives_when_it_is_back(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        client = HubClient(config.sockets["hub"], process="glass")
        client.send(Note("note", "said into the dark"))
        line = asyncio.create_task(client.run())
        await asyncio.sleep(0.1)
        async with serving(config) as hub:
            await until(lambda: any("said into the dark" in entry.text for entry in hub.journal.newest))
        line.cancel()

    asyncio.run(run())


def test_an_attack_reaches_the_glass_also_when_the_glass_comes_later(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        heard: list[HubMessage] = []
        async with serving(config):
            reply = await asked(config.sockets["hub"], "attack_start", link="mitte-moabit", name="tap")
            assert reply.error is None
            glass = HubClient(config.sockets["hub"], process="glass", on_message=heard.append)
            line = asyncio.create_task(glass.run())
            await until(lambda: AttackOn(LinkId("mitte-moabit"), [{"name": "tap"}]) in heard)
            await asked(config.sockets["hub"], "attack_stop", link="mitte-moabit")
            await until(lambda: heard[-1] == AttackOn(LinkId("mitte-moabit"), []))
            line.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(
    "nonsense", [b"\xff" * 64, b"\x00\x00\x00\x03abc", b"\x00\x00\x00\x00", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x01"]
)
def test_nonsense_ends_its_own_connection_and_nothing_else(tiny: Network, tmp_path: Path, nonsense: bytes) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        async with serving(config):
            reader, writer = await asyncio.open_unix_connection(config.sockets["hub"])
            writer.write(nonsense)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            reply = await asked(config.sockets["hub"], "snapshot")
            assert reply.data["network"]["name"] == "tiny"

    asyncio.run(run())


def test_a_store_report_that_makes_no_sense_does_not_stop_the_hub(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        async with serving(config):
            _, writer = await asyncio.open_unix_connection(config.sockets["hub"])
            write_frame(writer, HUB.encode(StoreStatus(SiteId("mitte"), {"links": 7})))
            write_frame(writer, HUB.encode(StoreStatus(SiteId("nowhere"), {})))
            await asyncio.sleep(0.1)
            writer.close()
            assert (await asked(config.sockets["hub"], "snapshot")).error is None

    asyncio.run(run())


def report_of(link: str, number: int) -> Reported:
    return Reported(
        LinkReport(
            link=LinkId(link), number=number, start_ns=number * 50_000_000, duration_ns=50_000_000, n_pulses=10**7,
            detection_count=10**4, double_click_count=0, sifted_counts=((90, 10),), error_counts_z=(2,), made_at_ns=0,
        )
    )  # fmt: skip


def test_the_end_of_a_process_moves_routes_off_its_links_at_once(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        heard: list[HubMessage] = []

        def newest_route() -> list[LinkId]:
            routes = [m.command for m in heard if isinstance(m, Commanded) and m.command.action is Action.SET_ROUTE]
            return [list(route.links) for route in routes if route.target == "wedding"][-1]

        async with serving(config) as hub:
            client = HubClient(
                config.sockets["hub"], process="kme mitte", sites=[SiteId("mitte")], on_message=heard.append
            )
            line = asyncio.create_task(client.run())
            modules = HubClient(config.sockets["hub"], process="receivers")
            modules.send(report_of("mitte-wedding", 0))
            talking = asyncio.create_task(modules.run())
            await until(lambda: hub.view.links[LinkId("mitte-wedding")].reports and len(heard) >= 2)
            assert newest_route() == ["mitte-wedding"]
            talking.cancel()
            await until(lambda: newest_route() == ["mitte-moabit", "moabit-wedding"])
            line.cancel()

    asyncio.run(run())


def test_a_kme_that_hangs_is_gone_around_and_no_link_is_paused(tiny: Network, tmp_path: Path) -> None:
    async def run() -> None:
        config = config_of(tiny, StateDir(tmp_path))
        async with serving(config) as hub:
            frozen = HubClient(config.sockets["hub"], process="kme moabit", sites=[SiteId("moabit")])
            line = asyncio.create_task(frozen.run())
            await until(lambda: hub.view.sites_up)
            looking = asyncio.create_task(hub.tick())
            await until(lambda: hub.loop.controller._absent.sites == {"moabit"})
            assert not any(view.is_paused for view in hub.loop.controller.links.values())
            looking.cancel()
            line.cancel()

    asyncio.run(run())
