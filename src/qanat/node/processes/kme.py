"""The KME process: key managers of one or more sites, each with its own ports, certificate, store and thread."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from qanat.core.alarms import Command
from qanat.core.errors import QanatError
from qanat.core.ids import SiteId
from qanat.core.records import KeyBlock
from qanat.km.channel import patience_of
from qanat.km.kme import Kme
from qanat.node.access import RELOAD_S, Admission
from qanat.node.api.server import HttpsServer
from qanat.node.audit.opening import provide_trail
from qanat.node.entropy import SystemEntropy
from qanat.node.messages import (
    KQ1,
    Commanded,
    HubMessage,
    KeyBlockStored,
    NewKeyBlock,
    Note,
    StoreStatus,
    key_block_from_message,
)
from qanat.node.pki import kme_credentials
from qanat.node.processes.border import BorderLine
from qanat.node.processes.config import ChildConfig, hub_socket, kq1_socket
from qanat.node.processes.doors import Doors
from qanat.node.processes.gateway import Gateway, look_away
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.peers import PeerLine, client_context, listen
from qanat.node.processes.seal_door import SealDoor, seal_socket
from qanat.node.processes.telling import Telling
from qanat.node.processes.writer_thread import Outcome, StoreFailed, WriterThread
from qanat.node.sealing import sealing_of
from qanat.node.skip_psk import PskBook
from qanat.node.statedir import StateDir
from qanat.node.store.opening import SiteStore, check_no_change, finish, open_store, rotate
from qanat.node.wire import frames, served, write_frame

REPORT_INTERVAL_S = 0.5
# How long a full disk is left alone before the next try.
STORE_RETRY_S = 1.0


class SiteKme:
    """One site's KME: the engine's thread and its four doors (SAEs, peers, QKD modules, hub)."""

    def __init__(self, config: ChildConfig, site: SiteId, hub: HubClient) -> None:
        self._config, self._site, self._hub = config, site, hub
        self._state = StateDir(config.state)
        self._credentials = kme_credentials(self._state, site)
        self._entropy = SystemEntropy()  # one for store and engine: what one finds broken, neither draws from
        self._sealing = sealing_of(self._state, site)
        self._one_rotation = asyncio.Lock()
        self._is_pq_required = config.network.policy.pq_tls == "required"
        self._told = Telling()
        self._commands: list[Command] = []
        self._commanded = asyncio.Event()
        context = client_context(self._credentials, is_pq_required=self._is_pq_required)
        self._lines = {peer: PeerLine(peer, port, context) for peer, port in config.ports.peers.items() if peer != site}
        self._admission = Admission(self._state)
        self._borders = self._make_borders()
        self.trail = provide_trail(self._state, site, self._entropy, config.network.name)
        self.thread = WriterThread(
            name=site,
            make_store=self._store,
            make_kme=self._engine,
            on_outcome=self._on_outcome,
            trail=self.trail,
        )
        self.gateway = Gateway(self.thread, self._sealing)
        self._doors = Doors(
            config=config,
            site=site,
            credentials=self._credentials,
            gateway=self.gateway,
            admission=self._admission,
            entropy=self._entropy,
            psks=PskBook(self._state, site),
            on_refused=self._refused,
        )

    def _make_borders(self) -> dict[str, BorderLine]:
        """One line per partner at this site whose CA is known."""
        lines = {}
        for partner in self._config.network.partners.values():
            cafile = self._state.partner_ca(partner.id)
            if partner.site != self._site:
                continue
            if not cafile.exists():
                self._hub.send(Note("note", f"{self._site}: partner {partner.id} waits for its CA file, {cafile}"))
                continue
            lines[partner.id] = BorderLine(partner, self._credentials, cafile, self._border_answered)
        return lines

    async def _border_answered(self, number: int, status_code: int) -> None:
        await self.thread.call(lambda kme, _now_ns: kme.border.answered(number, status_code))

    def _store(self) -> SiteStore:
        self._opened = open_store(
            self._state,
            self._site,
            root=self._sealing.root,
            next_root=self._sealing.next_root,
            entropy=self._entropy,
        )
        self._sealing.settle()
        return self._opened

    async def _rotate(self, pin: str) -> int:
        """Change the KEK between two groups of keys: what is being served waits for it, nothing is refused."""
        self.gateway.check_seal()
        return await asyncio.shield(asyncio.ensure_future(self._rotated(pin)))  # whoever asked may hang up

    async def _rotated(self, pin: str) -> int:
        async with self._one_rotation:
            check_no_change(self._state, self._site)
            renewed = await asyncio.to_thread(self._sealing.renewed, pin, self._entropy)  # a token; served meanwhile
            guard, root = renewed or (None, self._sealing.root)
            count = await self.thread.call(
                lambda _kme, _now_ns: rotate(self._state, self._site, self._opened, root, self._entropy, guard)
            )
            finish(self._state, self._site)
            if renewed is not None:
                await asyncio.to_thread(self._sealing.adopt, pin, renewed[1])
            return count

    def _engine(self, store: Any) -> Kme:
        return Kme(
            site=self._site,
            network=self._config.network,
            store=store,
            entropy=self._entropy,
            kme_id=f"kme-{self._site}",
        )

    def _on_outcome(self, outcome: Outcome) -> None:
        for peer, frame in outcome.frames:
            self._lines[peer].send(frame)
        for request in outcome.requests:
            if request.partner in self._borders:
                self._borders[request.partner].send(request)
        for event in outcome.events:
            self._told.note(event)

    def _refused(self, caller: str, status_code: int, message: str) -> None:
        self.trail.refusals.add("refused", caller, str(status_code), message)

    async def _take_blocks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Kq-1: answer a block only after it is durable, or refused for good."""
        async for frame in frames(reader):
            message = KQ1.decode(frame)
            if not isinstance(message, NewKeyBlock):
                continue
            block = key_block_from_message(message)
            try:
                await self._add(block)
            except StoreFailed:
                await asyncio.sleep(STORE_RETRY_S)
                return  # unanswered: the module keeps the block and sends it again on its next connection
            except QanatError as error:
                self._hub.send(Note("note", f"{self._site}: {error}"))
            finally:
                block.bits.wipe()
            write_frame(writer, KQ1.encode(KeyBlockStored(message.block)))
            await writer.drain()

    async def _add(self, block: KeyBlock) -> None:
        await self.thread.call(lambda kme, now_ns: kme.add_block(block, now_ns))

    def _from_peer(self, peer: SiteId, frame: bytes) -> None:
        receive = self.thread.call(lambda kme, now_ns: kme.receive(peer, frame, now_ns), patience_s=patience_of(frame))
        task = asyncio.ensure_future(receive)
        task.add_done_callback(look_away)

    def command(self, command: Command) -> None:
        self._commands.append(command)
        self._commanded.set()

    async def _obey(self) -> None:
        """Apply commands in their order. One that the store could not take is tried again: it may be a
        quarantine, and the disk may have room again before the controller speaks next."""
        while True:
            await self._commanded.wait()
            self._commanded.clear()
            try:
                for command in list(self._commands):
                    await self._apply(command)
                    self._commands.remove(command)
            except StoreFailed:
                await asyncio.sleep(STORE_RETRY_S)
                self._commanded.set()

    async def _apply(self, command: Command) -> None:
        await self.thread.call(lambda kme, now_ns: kme.apply(command, now_ns))

    async def _watch_access(self) -> None:
        while True:
            await asyncio.sleep(RELOAD_S)
            self._admission.look()
            self._doors.look()

    async def _report(self) -> None:
        while True:
            try:
                report = await self.thread.call(lambda kme, now_ns: kme.report(now_ns))
            except StoreFailed as error:
                self._hub.send(Note("note", f"{self._site}: the key store cannot be written: {error.detail}"))
                await asyncio.sleep(STORE_RETRY_S)
                continue
            turned_away = {door: dict(counts) for door, counts in self._doors.turned_away.items()}
            more = {"audit": self.trail.counts(), "turned_away": turned_away}
            self._hub.send(StoreStatus(self._site, msgspec.to_builtins(report, str_keys=True) | more))
            for kind, text in self._told.drain():
                self._hub.send(Note(kind, f"{self._site}: {text}"))
            await asyncio.sleep(REPORT_INTERVAL_S)

    async def run(self, started: asyncio.Event) -> None:
        """Open everything, then serve until cancelled. A sealed KME answers 503 until it is unsealed."""
        await asyncio.to_thread(self._sealing.start)
        operator_door = SealDoor(self._sealing, self._rotate)
        socket = self._state.socket_path(seal_socket(self._site))
        socket.unlink(missing_ok=True)  # of a process that was killed
        operator = await asyncio.start_unix_server(served(operator_door.serve), socket)
        doors = self._doors.https(self._borders)
        async with operator:
            try:
                if self._sealing.is_sealed:
                    await self._start_sealed(doors, started)
                await operator_door.opened.wait()
                await self._serve(doors, started)
            finally:
                await _stop(doors)

    async def _start_sealed(self, doors: list[HttpsServer], started: asyncio.Event) -> None:
        for door in doors:
            await door.start()
        self._hub.send(Note("note", f"{self._site}: sealed, {self._sealing.problem}"))
        started.set()

    async def _serve(self, doors: list[HttpsServer], started: asyncio.Event) -> None:
        await self.thread.start()
        try:
            await self._serve_open(doors, started)
        finally:
            await _stop(doors)  # before the thread: what was asked is still answered
            await self.thread.stop()

    async def _serve_open(self, doors: list[HttpsServer], started: asyncio.Event) -> None:
        self._hub.send(Note("note", f"{self._site}: key store open, KEK guarded by {self._sealing.file.label}"))
        if not started.is_set():
            for door in doors:
                await door.start()
        peers = await listen(
            self._config.ports.peers[self._site],
            self._credentials,
            self._from_peer,
            is_pq_required=self._is_pq_required,
            turned_away=self._doors.turned_away.setdefault("peers", Counter()),
        )
        modules = await asyncio.start_unix_server(
            served(self._take_blocks), self._config.sockets[kq1_socket(self._site)]
        )
        streams = await self._doors.streams()
        started.set()
        async with peers, modules, streams, asyncio.TaskGroup() as group:
            group.create_task(self._report())
            group.create_task(self._watch_access())
            group.create_task(self._obey())
            for line in self._lines.values():
                group.create_task(line.run())


async def _stop(doors: list[HttpsServer]) -> None:
    await asyncio.gather(*(door.stop() for door in doors))


async def main(config: ChildConfig, say_ready: Callable[[], None]) -> None:
    kmes: dict[SiteId, SiteKme] = {}

    def on_message(message: HubMessage) -> None:
        if isinstance(message, Commanded) and message.command.site in kmes:
            kmes[message.command.site].command(message.command)

    hub = HubClient(
        config.sockets[hub_socket()], process="kme " + " ".join(config.sites), sites=config.sites, on_message=on_message
    )
    async with asyncio.TaskGroup() as group:
        started = []
        for site in config.sites:
            kmes[site] = SiteKme(config, site, hub)
            event = asyncio.Event()
            started.append(event)
            group.create_task(kmes[site].run(event))
        for event in started:
            await event.wait()
        group.create_task(hub.run())
        logging.info("serving %s, process %d", ", ".join(config.sites), os.getpid())
        say_ready()
