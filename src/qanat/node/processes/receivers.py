"""The receivers' process: every Bob of the network, and nothing of any Alice.

It paces the whole network's link time: never faster than the wall clock, and as slow as the machine needs.
All links keep step, so that one stretch factor is true for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable

import numpy as np

from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock, Role
from qanat.node.messages import GLASS, BlockWanted, Detections
from qanat.node.processes.auth_reserve import AuthReserve, ReserveExhausted, reserve_path
from qanat.node.processes.config import ChildConfig, glass_socket, hub_socket
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.link_end import CLASSICAL, Frame, LinkEnd, Open, Opened
from qanat.node.processes.transmitters import outlets_of, wake_all
from qanat.node.statedir import StateDir
from qanat.node.wire import frames, keep_connected, write_frame

# A link may be this many pulse blocks ahead of the slowest one.
STEP_COUNT_MAX = 2
OPEN_AGAIN_S = 2.0


def _block_from_message(message: Detections, base_ns: int) -> DetectionBlock:
    return DetectionBlock(
        link=message.link,
        number=message.number,
        start_ns=base_ns + message.start_ns,
        n_pulses=message.n_pulses,
        index=np.frombuffer(message.index, dtype=np.int64),
        basis=np.frombuffer(message.basis, dtype=np.uint8),
        bit=np.frombuffer(message.bit, dtype=np.uint8),
        double_click_count=message.double_click_count,
        health=message.health,
    )


class Receivers:
    """All receiving ends and their two lines: the glass below, the classical channel beside."""

    def __init__(self, config: ChildConfig) -> None:
        self._config = config
        self.hub = HubClient(config.sockets[hub_socket()], process="receivers")
        self.outlets = outlets_of(config, {link.receiver_site for link in config.network.links.values()})
        state = StateDir(config.state)
        self.ends = {
            link.id: LinkEnd(
                link=link,
                role=Role.RECEIVER,
                reserve=AuthReserve(reserve_path(state, link.receiver_site, link.id)),
                outlet=self.outlets[link.receiver_site],
                hub=self.hub,
            )
            for link in config.network.links.values()
        }
        self._elapsed_ns = dict.fromkeys(self.ends, 0)  # link time of each link
        self._wanted: set[LinkId] = set()
        self._held: dict[LinkId, DetectionBlock] = {}  # come, not yet taken by their sessions
        self._asked_s: dict[LinkId, float] = {}

    async def talk_to_transmitters(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for end in self.ends.values():
            end.send = lambda frame: write_frame(writer, frame)
        opener = asyncio.create_task(self._open_links(writer))
        try:
            async for frame in frames(reader):
                message = CLASSICAL.decode(frame)
                known = self.ends.get(message.link)
                if known is not None and isinstance(message, Opened) and known.session is None:
                    known.open(message.epoch)
                elif known is not None and isinstance(message, Frame):
                    known.receive(message)
                await writer.drain()
        finally:
            opener.cancel()
            for end in self.ends.values():
                end.end()

    async def _open_links(self, writer: asyncio.StreamWriter) -> None:
        """Ask for a session on every link that has none; a failed session pauses before the next."""
        while True:
            for link, end in self.ends.items():
                if end.session is None and time.monotonic() - self._asked_s.get(link, -9.9) > OPEN_AGAIN_S:
                    self._asked_s[link] = time.monotonic()
                    write_frame(writer, CLASSICAL.encode(Open(link, end.next_epoch)))
            await asyncio.sleep(0.1)

    async def talk_to_glass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pacer = asyncio.create_task(self._pace(writer))
        try:
            async for frame in frames(reader):
                message = GLASS.decode(frame)
                if isinstance(message, Detections):
                    self._take(_block_from_message(message, self._config.link_time_base_ns))
        finally:
            pacer.cancel()

    def _take(self, block: DetectionBlock) -> None:
        end = self.ends[block.link]
        self._wanted.discard(block.link)
        self._elapsed_ns[block.link] += end.link.pulse_block_ns
        self._held[block.link] = block
        self._feed(block.link)

    def _feed(self, link: LinkId) -> None:
        """Hand a block that has come to its session, as soon as that has room: it may have filled meanwhile."""
        session = self.ends[link].session
        if session is None:
            del self._held[link]  # the light passed and nobody looked
        elif session.can_accept_block():
            session.add_detections(self._held.pop(link), time.time_ns())
            self.ends[link].pump()

    async def _pace(self, writer: asyncio.StreamWriter) -> None:
        self._wanted.clear()
        begun_ns = time.monotonic_ns()
        start_ns = min(self._elapsed_ns.values())
        while True:
            allowed_ns = start_ns + int((time.monotonic_ns() - begun_ns) * self._config.link_time_rate_max)
            for link in list(self._held):
                self._feed(link)
            for link in self._due(allowed_ns):
                self._wanted.add(link)
                write_frame(writer, GLASS.encode(BlockWanted(link)))
            await writer.drain()
            # Stretched time must not bank wall time: after a slow stretch the network does not race.
            begun_ns, start_ns = self._forget_debt(begun_ns, start_ns)
            await asyncio.sleep(0.005)

    def _due(self, allowed_ns: int) -> list[LinkId]:
        slowest_ns = min(self._elapsed_ns.values())
        return [
            link
            for link, end in self.ends.items()
            if link not in self._wanted
            and link not in self._held
            and self._elapsed_ns[link] + end.link.pulse_block_ns <= allowed_ns
            and self._elapsed_ns[link] <= slowest_ns + STEP_COUNT_MAX * end.link.pulse_block_ns
            # Without a session the light passes and nobody looks; link time goes on all the same.
            and (end.session is None or end.session.can_accept_block())
        ]

    def _forget_debt(self, begun_ns: int, start_ns: int) -> tuple[int, int]:
        now_ns = time.monotonic_ns()
        slowest_ns = min(self._elapsed_ns.values())
        behind_ns = start_ns + int((now_ns - begun_ns) * self._config.link_time_rate_max) - slowest_ns
        return (now_ns, slowest_ns) if behind_ns > 1_000_000_000 else (begun_ns, start_ns)


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    with contextlib.suppress(OSError):
        os.nice(5)
    receivers = Receivers(config)
    say_ready()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(receivers.hub.run())
            group.create_task(wake_all(receivers.ends))
            for outlet in receivers.outlets.values():
                group.create_task(outlet.run())
            group.create_task(
                keep_connected(
                    lambda: asyncio.open_connection("127.0.0.1", config.ports.classical),
                    receivers.talk_to_transmitters,
                )
            )
            group.create_task(
                keep_connected(
                    lambda: asyncio.open_unix_connection(config.sockets[glass_socket()]), receivers.talk_to_glass
                )
            )
    except* ReserveExhausted as group_error:
        raise group_error.exceptions[0] from None
