"""The hub: watcher, controller, journal, live page, metrics, and the door for the command line.

Key delivery goes on without it: KMEs keep serving from their stores while the hub is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec

from qanat.core.alarms import Command
from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import SiteId
from qanat.km.report import StoreReport
from qanat.node.dashboard.app import create_dashboard
from qanat.node.messages import (
    HUB,
    AdminRequest,
    AttackOn,
    BlockEnded,
    Commanded,
    Hello,
    HubMessage,
    Note,
    Reported,
    StoreStatus,
)
from qanat.node.processes.admin import Admin
from qanat.node.processes.config import ChildConfig, hub_socket
from qanat.node.processes.journal import Journal
from qanat.node.processes.loop import Loop
from qanat.node.processes.page import PageServer
from qanat.node.processes.view import NetworkView
from qanat.node.statedir import StateDir
from qanat.node.wire import frames, served, write_frame

TICK_S = 0.25
LIGHTS = ("glass", "transmitters")  # who hears of attacks
PAGE_INTERVAL_S = 1.0


class Hub:
    """Everything that the hub's connections feed."""

    def __init__(self, config: ChildConfig) -> None:
        self.journal = Journal(StateDir(config.state).logs / "journal.jsonl")
        self.loop = Loop(config.network, self.journal, self._command)
        self.view = NetworkView(config.network, self.loop)
        self.admin = Admin(self.view, self.journal, self._to_light)
        self._kmes: dict[SiteId, asyncio.StreamWriter] = {}
        self._lights: set[asyncio.StreamWriter] = set()
        self._newer = asyncio.Condition()
        self._page: dict[str, Any] = {}

    def _command(self, command: Command) -> None:
        """To its KME; one that is away hears everything that holds when it comes back (resync)."""
        writer = self._kmes.get(command.site)
        if writer is not None:
            write_frame(writer, HUB.encode(Commanded(command)))

    def _to_light(self, message: AttackOn) -> None:
        """To the glass, and to the transmitters, whose meters an attack may move."""
        for writer in self._lights:
            write_frame(writer, HUB.encode(message))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One process's or one command's connection."""
        hello: Hello | None = None
        try:
            async for frame in frames(reader):
                message = HUB.decode(frame)
                self.loop.presence.heard(writer, time.monotonic_ns())
                if isinstance(message, Hello):
                    before, hello = hello, message
                    if before is None:
                        self._joined(message, writer)
                    else:
                        self._serves_no_more([site for site in before.sites if site not in message.sites], writer)
                        self._serves([site for site in message.sites if site not in before.sites], writer)
                else:
                    self._handle(message, writer)
        finally:
            self.loop.presence.closed(writer)
            if hello is not None:
                self._left(hello, writer)

    def _joined(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        self.journal.write("note", f"{hello.process} is up (process {hello.pid})")
        if hello.process in LIGHTS:
            self._lights.add(writer)
            for link in self.view.network.links:
                self.admin.shine(link)
        self._serves(hello.sites, writer)

    def _serves(self, sites: list[SiteId], writer: asyncio.StreamWriter) -> None:
        for site in sites:
            self._kmes[site] = writer
            self.view.sites_up.add(site)
            self.loop.presence.serves(writer, site, time.monotonic_ns())
            self.loop.on_site(site)

    def _serves_no_more(self, sites: list[SiteId], writer: asyncio.StreamWriter) -> None:
        for site in sites:
            if self._kmes.get(site) is writer:  # else another instance has taken over already
                del self._kmes[site]
                self.view.sites_up.discard(site)
                self.loop.presence.serves_no_more(writer, site)

    def _left(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        self.journal.write("note", f"{hello.process} has gone (process {hello.pid})")
        self._lights.discard(writer)
        self._serves_no_more(hello.sites, writer)
        self.loop.go_around()  # at once: whoever was killed will not say so

    def _handle(self, message: HubMessage, writer: asyncio.StreamWriter) -> None:
        match message:
            case Reported(report=report) if report.link in self.view.links:
                self.loop.presence.link_heard(writer, report.link, time.monotonic_ns())
                self.view.on_report(report)
                self.loop.on_report(report)
            case BlockEnded(report=block) if block.link in self.view.links:
                self.view.links[block.link].on_block(block)
                self.loop.on_block(block)
            case StoreStatus(site=site, report=store) if site in self.view.network.sites:
                held = {item.link: item.held_bits for item in _store_report(store).links}
                self.view.stores[site] = store
                self.loop.on_stores([SimpleNamespace(site=site, link_bits=held)])
            case Note(kind=kind, text=text):
                self.journal.write(kind, text)
            case AdminRequest():
                write_frame(writer, HUB.encode(self.admin.answer(message)))
            case _:
                logging.warning("a %s has no business here", type(message).__name__)

    async def tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.loop.tick()

    async def refresh_page(self) -> None:
        while True:
            async with self._newer:
                self._page = self.view.snapshot()
                self._newer.notify_all()
            await asyncio.sleep(PAGE_INTERVAL_S)

    # The live page's SnapshotSource.
    def snapshot(self) -> dict[str, Any]:
        return self._page

    async def wait_next(self, last: int) -> int:
        async with self._newer:
            await self._newer.wait_for(lambda: self._page.get("sequence", 0) > last)
            return int(self._page["sequence"])


def _store_report(store: dict[str, Any]) -> StoreReport:
    """Raises: RemoteProtocolError."""
    try:
        return msgspec.convert(store, StoreReport)
    except msgspec.ValidationError as error:
        raise RemoteProtocolError(f"a store report cannot be read: {error}") from None


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    hub = Hub(config)
    hub.loop.begin()
    server = await asyncio.start_unix_server(served(hub.serve), config.sockets[hub_socket()])
    page = PageServer(create_dashboard(hub), port=config.ports.dashboard)
    await page.start()
    try:
        async with server, asyncio.TaskGroup() as group:
            group.create_task(hub.tick())
            group.create_task(hub.refresh_page())
            say_ready()
    finally:
        with contextlib.suppress(Exception):
            await page.stop()
