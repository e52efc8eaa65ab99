"""The KME process: key managers of one or more sites, each with its own ports, certificate, store and thread."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

import msgspec

from qanat.core.alarms import Command
from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.core.records import KeyBlock
from qanat.km.channel import patience_of
from qanat.km.documents import KeyContainer, KeyDeliveryError, KeyRequest, Status
from qanat.km.interwork.documents import AckContainer, Transfer, VoidBody
from qanat.km.kme import Kme
from qanat.km.stream_types import Chunk, StreamOpened, StreamQos, StreamRefused, StreamStatus
from qanat.node.access import RELOAD_S, Admission
from qanat.node.api.app import create_app
from qanat.node.api.etsi004 import StreamDoor
from qanat.node.api.etsi020 import create_border_app
from qanat.node.api.server import HANDSHAKE_TIMEOUT_S, HttpsServer, serve, server_context
from qanat.node.api.skip import create_skip_app
from qanat.node.audit.opening import provide_trail
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import kek_path
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
from qanat.node.pki import admitting_ca, kme_credentials
from qanat.node.processes.border import BorderLine
from qanat.node.processes.config import ChildConfig, hub_socket, kq1_socket
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.peers import PeerLine, client_context, listen
from qanat.node.processes.seal_door import SealDoor, seal_socket
from qanat.node.processes.telling import Telling
from qanat.node.processes.writer_thread import Outcome, StoreFailed, WriterThread
from qanat.node.sealing import Sealing
from qanat.node.statedir import StateDir
from qanat.node.store.opening import SiteStore, finish, open_store, rotate
from qanat.node.wire import frames, served, write_frame

REPORT_INTERVAL_S = 0.5
# A slave may ask before the master's grant has crossed the network: wait for it this long, looking this often.
GRANT_WAIT_S = 0.5
GRANT_LOOK_S = 0.02
# How long a full disk is left alone before the next try.
STORE_RETRY_S = 1.0


class SiteKme:
    """One site's KME: the engine's thread and its four doors (SAEs, peers, QKD modules, hub)."""

    def __init__(self, config: ChildConfig, site: SiteId, hub: HubClient) -> None:
        self._config, self._site, self._hub = config, site, hub
        self._state = StateDir(config.state)
        self._credentials = kme_credentials(self._state, site)
        self._entropy = SystemEntropy()  # one for store and engine: what one finds broken, neither draws from
        self._sealing = Sealing(site, kek_path(self._state, site))
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

    # The gateway of the ETSI 020 interface.
    async def take_transfer(self, partner: str, transfer: Transfer) -> None:
        await self.thread.call(lambda kme, now_ns: kme.border.on_ext_keys(partner, transfer, now_ns))

    async def take_void(self, partner: str, void: VoidBody) -> None:
        await self.thread.call(lambda kme, _now_ns: kme.border.on_void(partner, void))

    async def take_acks(self, partner: str, containers: list[AckContainer]) -> None:
        await self.thread.call(lambda kme, _now_ns: kme.border.on_acks(partner, containers))

    def _store(self) -> SiteStore:
        self._opened = open_store(self._state, self._site, root=self._sealing.root, entropy=self._entropy)
        return self._opened

    async def _rotate(self) -> int:
        """Change the KEK between two groups of keys: what is being served waits for it, nothing is refused."""
        self._check_seal()
        return await asyncio.shield(asyncio.ensure_future(self._rotated()))  # whoever asked may hang up

    async def _rotated(self) -> int:
        async with self._one_rotation:
            count = await self.thread.call(
                lambda _kme, _now_ns: rotate(self._state, self._site, self._opened, self._sealing.root, self._entropy)
            )
            finish(self._state, self._site)
            return count

    def _check_seal(self) -> None:
        """Raises: KeyDeliveryError."""
        if self._sealing.is_sealed:
            raise KeyDeliveryError(503, f"this KME is sealed: {self._sealing.missing} shares are missing")

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

    # The gateway of the ETSI 014 interface.
    async def status(self, caller: SaeId, slave: SaeId) -> Status:
        self._check_seal()
        return await self.thread.call(lambda kme, now_ns: kme.status(caller, slave, now_ns))

    async def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest) -> KeyContainer:
        self._check_seal()
        return await self.thread.call(lambda kme, now_ns: kme.enc_keys(caller, slave, request, now_ns))

    async def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId]) -> KeyContainer:
        self._check_seal()
        patience = int(GRANT_WAIT_S / GRANT_LOOK_S)
        while True:
            try:
                return await self.thread.call(lambda kme, now_ns: kme.dec_keys(caller, master, key_ids, now_ns))
            except KeyDeliveryError as error:
                if not error.grant_pending or patience == 0:
                    raise
            patience -= 1
            await asyncio.sleep(GRANT_LOOK_S)

    # The gateway of the ETSI 004 interface.
    async def open_stream(self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None) -> StreamOpened:
        opened = await self.thread.call(lambda kme, now_ns: kme.open_stream(caller, other, qos, stream, now_ns))
        if stream is None:
            return opened  # the other application cannot know the name yet
        patience_s = opened.qos.timeout_ms / 1000
        while opened.status is not StreamStatus.OK and patience_s > 0:
            await asyncio.sleep(GRANT_LOOK_S)
            patience_s -= GRANT_LOOK_S
            if await self.thread.call(lambda kme, _now_ns: kme.has_both_ends(opened.stream)):
                return msgspec.structs.replace(opened, status=StreamStatus.OK)
        return opened

    async def get_chunk(self, caller: SaeId, stream: KeyId, index: int | None, metadata_bytes: int) -> Chunk:
        begin_s = time.monotonic()
        while True:
            found = await self.thread.call(
                lambda kme, now_ns: kme.get_chunk(caller, stream, index, metadata_bytes, now_ns)
            )
            if isinstance(found, Chunk):
                return found
            if not found.is_pending or found.timeout_ms == 0:
                raise found
            if time.monotonic() - begin_s > found.timeout_ms / 1000:
                raise StreamRefused(StreamStatus.TIMEOUT, f"no chunk within {found.timeout_ms} ms") from found
            await asyncio.sleep(GRANT_LOOK_S)

    async def close_stream(self, caller: SaeId, stream: KeyId) -> None:
        await self.thread.call(lambda kme, _now_ns: kme.close_stream(caller, stream))

    def _burned(self, count: int) -> None:
        """Keys made durable as delivered whose caller was gone when they were ready: counted, never reused."""

        def book(kme: Kme, _now_ns: int) -> None:
            kme.burned(count)

        task = asyncio.ensure_future(self.thread.call(book))
        task.add_done_callback(_look_away)

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
        task.add_done_callback(_look_away)

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

    async def _report(self) -> None:
        while True:
            try:
                report = await self.thread.call(lambda kme, now_ns: kme.report(now_ns))
            except StoreFailed as error:
                self._hub.send(Note("note", f"{self._site}: the key store cannot be written: {error.detail}"))
                await asyncio.sleep(STORE_RETRY_S)
                continue
            self._hub.send(
                StoreStatus(self._site, msgspec.to_builtins(report, str_keys=True) | {"audit": self.trail.counts()})
            )
            for kind, text in self._told.drain():
                self._hub.send(Note(kind, f"{self._site}: {text}"))
            await asyncio.sleep(REPORT_INTERVAL_S)

    async def run(self, started: asyncio.Event) -> None:
        """Open everything, then serve until cancelled. A sealed KME answers 503 until it is unsealed."""
        operator_door = SealDoor(self._sealing, self._rotate)
        socket = self._state.socket_path(seal_socket(self._site))
        socket.unlink(missing_ok=True)  # of a process that was killed
        operator = await asyncio.start_unix_server(served(operator_door.serve), socket)
        doors = self._doors()
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
        self._hub.send(Note("note", f"{self._site}: sealed, {self._sealing.missing} shares are missing"))
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
        )
        modules = await asyncio.start_unix_server(
            served(self._take_blocks), self._config.sockets[kq1_socket(self._site)]
        )
        streams = await self._listen_for_streams()
        started.set()
        async with peers, modules, streams, asyncio.TaskGroup() as group:
            group.create_task(self._report())
            group.create_task(self._watch_access())
            group.create_task(self._obey())
            for line in self._lines.values():
                group.create_task(line.run())

    async def _listen_for_streams(self) -> AbstractAsyncContextManager[object]:
        """ETSI 004, where it has a port."""
        port = self._config.ports.streams.get(self._site)
        if port is None:
            return nullcontext()
        door, files = (
            StreamDoor(self, kme_id=f"kme-{self._site}", on_burned=self._burned, admits=self._admission.admits),
            self._credentials,
        )
        cafile = admitting_ca(self._state)
        context = server_context(
            certfile=files.certfile, keyfile=files.keyfile, cafile=cafile, is_pq_required=self._is_pq_required
        )
        return await asyncio.start_server(
            served(door.serve), "127.0.0.1", port, ssl=context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
        )

    def _doors(self) -> list[HttpsServer]:
        """The interfaces to applications: ETSI 014, and SKIP where it has a port."""
        name, ports = f"kme-{self._site}", self._config.ports
        app = create_app(
            self,
            kme_id=name,
            calls_per_s=self._config.network.policy.calls_per_s,
            on_burned=self._burned,
            on_refused=self._refused,
            redelivery_s=self._config.network.policy.redelivery_s,
        )
        apps = {ports.key_delivery[self._site]: app}
        if self._site in ports.skip:
            apps[ports.skip[self._site]] = create_skip_app(
                self,
                kme_id=name,
                network=self._config.network,
                entropy=self._entropy,
                calls_per_s=self._config.network.policy.calls_per_s,
                on_burned=self._burned,
            )
        files, cafile = self._credentials, admitting_ca(self._state)
        doors = [
            serve(
                app,
                host="127.0.0.1",
                port=port,
                certfile=files.certfile,
                keyfile=files.keyfile,
                cafile=cafile,
                admits=self._admission.admits,
                is_pq_required=self._is_pq_required,
            )
            for port, app in apps.items()
        ]
        return doors + [self._border_door(name, partner) for partner in self._borders]

    def _border_door(self, name: str, partner: str) -> HttpsServer:
        """ETSI 020 for one partner, at the port that the network file tells it."""
        return serve(
            create_border_app(self, kme_id=name, partner=partner),
            host="127.0.0.1",
            port=urlsplit(self._config.network.partners[partner].own_url).port or 443,
            certfile=self._credentials.certfile,
            keyfile=self._credentials.keyfile,
            cafile=self._state.partner_ca(partner),
        )


async def _stop(doors: list[HttpsServer]) -> None:
    await asyncio.gather(*(door.stop() for door in doors))


def _look_away(task: asyncio.Future[Any]) -> None:
    """A failed group on a peer's frame: already logged; the peer sends the frame again."""
    if not task.cancelled():
        task.exception()


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
