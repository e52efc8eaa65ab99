"""The transmitters' process: every Alice of the network, and nothing of any Bob."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable

from qanat.core.ids import LinkId, SiteId
from qanat.core.records import Role
from qanat.node.instance import instances_of
from qanat.node.messages import AttackOn, HubMessage, Note
from qanat.node.processes.auth_reserve import AuthReserve, ReserveExhausted, reserve_path
from qanat.node.processes.config import ChildConfig, hub_socket, kq1_socket
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.key_outlet import KeyOutlet
from qanat.node.processes.link_end import CLASSICAL, Frame, LinkEnd, Open, Opened
from qanat.node.statedir import StateDir
from qanat.node.wire import frames, served, write_frame
from qanat.physics.attack import attack_from_name
from qanat.sim.module import SimulatedTransmitter

TICK_S = 0.02
# A receiver is ahead of us by the sessions that we forgot, which is none unless our disk lost something. Anybody
# may connect to the public channel; one false number must not spend the whole pre-shared secret.
EPOCH_LEAD_MAX = 8


async def wake_all(ends: dict[LinkId, LinkEnd]) -> None:
    """Let deadlines pass; engines never wait by themselves."""
    while True:
        for end in ends.values():
            end.wake()
        await asyncio.sleep(TICK_S)


def outlets_of(config: ChildConfig, sites: set[SiteId]) -> dict[SiteId, KeyOutlet]:
    return {
        site: KeyOutlet([config.sockets[kq1_socket(name)] for name in instances_of(config.network, site)], site)
        for site in sorted(sites)
    }


def _modules(config: ChildConfig) -> dict[LinkId, SimulatedTransmitter]:
    return {
        link.id: SimulatedTransmitter(link=link, key=bytes.fromhex(config.glass_keys[link.id]))
        for link in config.network.links.values()
    }


def _ends(
    config: ChildConfig,
    hub: HubClient,
    outlets: dict[SiteId, KeyOutlet],
    modules: dict[LinkId, SimulatedTransmitter],
) -> dict[LinkId, LinkEnd]:
    state = StateDir(config.state)
    return {
        link.id: LinkEnd(
            link=link,
            role=Role.TRANSMITTER,
            reserve=AuthReserve(reserve_path(state, link.transmitter_site, link.id)),
            outlet=outlets[link.transmitter_site],
            hub=hub,
            transmitter=modules[link.id],
        )
        for link in config.network.links.values()
    }


def _open(end: LinkEnd, message: Open, writer: asyncio.StreamWriter, hub: HubClient) -> None:
    """Begin the session that the receiver asks for, and speak on its connection from now on."""
    if message.epoch > end.next_epoch + EPOCH_LEAD_MAX:
        problem = f"session {message.epoch} was asked for, the next is {end.next_epoch}"
        hub.send(Note("note", f"link {message.link}: {problem}; not begun"))
        return
    try:
        end.open(max(message.epoch, end.next_epoch))
    except ReserveExhausted as error:
        hub.send(Note("note", f"link {message.link}: {error.summary}"))
        return
    # Only now: whoever merely connects must not draw a link's frames to itself.
    end.send = lambda data: write_frame(writer, data)
    write_frame(writer, CLASSICAL.encode(Opened(message.link, end.epoch)))


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        os.nice(5)
    modules = _modules(config)

    def on_message(message: HubMessage) -> None:
        if isinstance(message, AttackOn) and message.link in modules:
            modules[message.link].set_attacks(tuple(attack_from_name(**entry) for entry in message.attacks))

    hub = HubClient(config.sockets[hub_socket()], process="transmitters", on_message=on_message)
    outlets = outlets_of(config, {link.transmitter_site for link in config.network.links.values()})
    ends = _ends(config, hub, outlets, modules)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            message = CLASSICAL.decode(frame)
            if message.link not in ends:
                continue
            end = ends[message.link]
            if isinstance(message, Open):
                _open(end, message, writer, hub)
            elif isinstance(message, Frame):
                end.receive(message)
            await writer.drain()

    server = await asyncio.start_server(served(serve), "127.0.0.1", config.ports.classical)
    say_ready()
    async with server, asyncio.TaskGroup() as group:
        group.create_task(hub.run())
        group.create_task(wake_all(ends))
        for outlet in outlets.values():
            group.create_task(outlet.run())
