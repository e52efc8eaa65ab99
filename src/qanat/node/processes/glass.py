"""The glass: source, fibre, Eve and detectors of all links. SIMULATED: this process stands for nature.

It alone knows both what was sent and what was seen, as nature does; it gives the receivers' process what a
detector gives, and nobody else anything. Why it is a process of its own: docs/decisions/0003.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable
from typing import Any

from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock
from qanat.node.messages import GLASS, AttackOn, BlockWanted, Detections, HubMessage
from qanat.node.processes.config import ChildConfig, glass_socket, hub_socket
from qanat.node.processes.hub_client import HubClient
from qanat.node.wire import frames, served, write_frame
from qanat.physics.attack import Attack, attack_from_name
from qanat.sim.module import SimulatedGlass


def _glasses(config: ChildConfig) -> dict[LinkId, SimulatedGlass]:
    """One per link; the detectors' own luck is fresh in every run and independent of the settings."""
    network = config.network
    return {
        link.id: SimulatedGlass(
            link=link,
            fibre=network.fibres[link.fibre],
            key=bytes.fromhex(config.glass_keys[link.id]),
            stream_seed=os.urandom(16),
        )
        for link in network.links.values()
    }


def _attacks(descriptions: list[dict[str, Any]]) -> tuple[Attack, ...]:
    return tuple(attack_from_name(**entry) for entry in descriptions)


def _message(block: DetectionBlock) -> Detections:
    return Detections(
        link=block.link,
        number=block.number,
        start_ns=block.start_ns,
        n_pulses=block.n_pulses,
        index=block.index.tobytes(),
        basis=block.basis.tobytes(),
        bit=block.bit.tobytes(),
        double_click_count=block.double_click_count,
        health=block.health,
    )


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        os.nice(5)  # people and KMEs first
    glasses = _glasses(config)

    def on_message(message: HubMessage) -> None:
        if isinstance(message, AttackOn) and message.link in glasses:
            glasses[message.link].set_attacks(_attacks(message.attacks))
            logging.info("light of link %s: %s", message.link, message.attacks or "undisturbed")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for frame in frames(reader):
            wanted = GLASS.decode(frame)
            if isinstance(wanted, BlockWanted) and wanted.link in glasses:
                write_frame(writer, GLASS.encode(_message(glasses[wanted.link].next_block())))
                await writer.drain()

    hub = HubClient(config.sockets[hub_socket()], process="glass", on_message=on_message)
    server = await asyncio.start_unix_server(served(serve), config.sockets[glass_socket()])
    say_ready()
    async with server, asyncio.TaskGroup() as group:
        group.create_task(hub.run())
        group.create_task(server.serve_forever())
