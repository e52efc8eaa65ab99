"""One KME while it serves: its ports, certificate, store and thread. The process around it is ``kme.py``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import msgspec

from qanat.core.alarms import Command
from qanat.core.errors import EnvironmentProblem, QanatError
from qanat.core.ids import SiteId
from qanat.core.records import KeyBlock
from qanat.km.channel import patience_of
from qanat.km.kme import Kme
from qanat.node.access import RELOAD_S, Admission
from qanat.node.api.handshake_told import Handshake
from qanat.node.api.tls_seen import TlsSeen, protection
from qanat.node.audit.chains import turn_facts
from qanat.node.audit.opening import provide_trail
from qanat.node.entropy import SystemEntropy
from qanat.node.holders import KMES, OPERATORS
from qanat.node.instance import instances_of, site_of
from qanat.node.messages import (
    KQ1,
    KeyBlockStored,
    NewKeyBlock,
    Note,
    StoreStatus,
    key_block_from_message,
)
from qanat.node.pki import Credentials, admitting_ca, kme_credentials, peer_credentials
from qanat.node.processes.admin_desk import Desk
from qanat.node.processes.border import BorderLine
from qanat.node.processes.config import ChildConfig, hub_socket, kq1_socket
from qanat.node.processes.doors import Doors
from qanat.node.processes.gateway import Gateway, look_away
from qanat.node.processes.guests import Guests
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.peers import PeerLine, client_context, listen
from qanat.node.processes.pushers import Pushers
from qanat.node.processes.seal_door import SealDoor
from qanat.node.processes.telling import Telling
from qanat.node.processes.writer_thread import Outcome, StoreFailed, WriterThread
from qanat.node.sealing import AnySealing
from qanat.node.skip_psk import PskBook
from qanat.node.statedir import StateDir
from qanat.node.store.choice import choice_path
from qanat.node.store.opening import SiteStore, check_no_change, finish, open_store, rotate
from qanat.node.store.sqlite import SqliteStore
from qanat.node.store.waiting import Waiting, store_in_turn
from qanat.node.wire import frames, write_frame

REPORT_INTERVAL_S = 0.5
# How long a full disk is left alone before the next try.
STORE_RETRY_S = 1.0


class SiteKme:
    """One turn of an instance of a site's KME: the engine's thread and its four doors (SAEs, peers, QKD modules, hub).

    A site with one instance has one turn, as long as the process. ``kme.py`` says what lies between turns.
    """

    def __init__(self, config: ChildConfig, instance: SiteId, hub: HubClient, sealing: AnySealing) -> None:
        self._config, self._instance, self._hub, self._sealing = config, instance, hub, sealing
        self._site = site_of(instance)
        self._state = StateDir(config.state)
        self._credentials = kme_credentials(self._state, instance)
        self._peer_credentials = peer_credentials(self._state, instance, config.network.policy.pki)
        self._entropy = SystemEntropy()  # one for store and engine: what one finds broken, neither draws from
        self._one_rotation = asyncio.Lock()
        self._is_pq_required = config.network.policy.pq_tls == "required"
        self._told = Telling()
        self._commands: list[Command] = []
        self._commanded = asyncio.Event()
        self._deposed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.waiting = Waiting()
        self.is_serving = False
        self._tls = TlsSeen(on_refused=self._handshake_refused, on_peer=self._line_differs)
        self._admission, self._kmes = Admission(self._state), Admission(self._state, KMES)
        self._operators = Admission(self._state, OPERATORS)
        self._lines = self._make_lines()
        self._borders = self._make_borders()
        self.trail = provide_trail(self._state, instance, self._entropy, config.network.name)
        self.thread = WriterThread(
            name=instance,
            make_store=self._store,
            make_kme=self._engine,
            on_outcome=self._on_outcome,
            trail=self.trail,
        )
        self.gateway = Gateway(self.thread, self._sealing)
        self._pushers = self._make_pushers()
        self._doors = Doors(
            config=config,
            site=instance,
            credentials=self._credentials,
            gateway=self.gateway,
            pushers=self._pushers,
            admission=self._admission,
            operators=self._operators,
            entropy=self._entropy,
            psks=PskBook(self._state, instance),
            tls=self._tls,
            on_refused=self._refused,
        )
        self.https = self._doors.https(self._borders)

    @property
    def _is_one_of_several(self) -> bool:
        return self._config.network.sites[self._site].kme_count > 1

    def _make_lines(self) -> dict[SiteId, PeerLine]:
        context = client_context(self._peer_credentials, is_pq_required=self._is_pq_required)
        network, ports = self._config.network, self._config.ports.peers
        return {
            peer: PeerLine(
                peer,
                [ports[name] for name in instances_of(network, peer)],
                context,
                self._line_is_new,
                admits=self._kmes.admits,
                on_standing=self._tls.line_stands,
            )
            for peer in network.sites
            if peer != self._site
        }

    def _line_is_new(self, peer: SiteId) -> None:
        task = asyncio.ensure_future(self.thread.call(lambda kme, now_ns: kme.line_is_new(peer, now_ns)))
        task.add_done_callback(look_away)

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

    def _make_pushers(self) -> Pushers:
        """To applications at this site that the network file gives a place, by certificates of their CA alone."""
        files = Credentials(self._credentials.certfile, self._credentials.keyfile, admitting_ca(self._state))
        return Pushers(
            thread=self.thread,
            network=self._config.network,
            context=client_context(files, is_pq_required=self._is_pq_required),
            admits=self._admission.admits,
            tell=lambda text: self._hub.send(Note("note", f"{self._site}: {text}")),
        )

    async def _border_answered(self, number: int, status_code: int) -> None:
        await self.thread.call(lambda kme, _now_ns: kme.border.answered(number, status_code))

    def _store(self) -> SiteStore:
        """In the writer thread. With several instances it returns when our turn begins."""
        opened = partial(
            open_store,
            self._state,
            self._instance,
            root=self._sealing.root,
            next_root=self._sealing.next_root,
            entropy=self._entropy,
        )
        if self._is_one_of_several:
            in_turn = partial(opened, waiting=self.waiting, on_deposed=self._on_deposed)
            self._opened = store_in_turn(in_turn, self.waiting)
        else:
            self._opened = opened()
        self._sealing.settle()
        if not isinstance(self._opened, SqliteStore):
            self.trail.begin_turn(turn_facts(self._opened.facts("audit"), self._instance, self._opened.epoch))
        elif self._is_one_of_several:
            self._opened.close()
            raise EnvironmentProblem(
                f"site {self._site} has several KMEs (kme_count), and those share a database: name it in "
                f"{choice_path(self._state, self._site)}. The how-to guide on PostgreSQL shows how."
            )
        return self._opened

    def _on_deposed(self) -> None:
        self._loop.call_soon_threadsafe(self._deposed.set)

    async def rotate(self, pin: str) -> int:
        """Change the KEK between two groups of keys: what is being served waits for it, nothing is refused."""
        self.gateway.check_seal()
        if not self.is_serving:
            raise EnvironmentProblem(f"this instance of {self._site} waits for its turn; ask the one that serves.")
        return await asyncio.shield(asyncio.ensure_future(self._rotated(pin)))  # whoever asked may hang up

    async def _rotated(self, pin: str) -> int:
        async with self._one_rotation:
            check_no_change(self._state, self._instance)
            renewed = await asyncio.to_thread(self._sealing.renewed, pin, self._entropy)  # a token; served meanwhile
            store, (guard, root) = self._opened, renewed or (None, self._sealing.root)
            count = await self.thread.call(
                lambda _kme, _now_ns: rotate(self._state, self._instance, store, root, self._entropy, guard)
            )
            finish(self._state, self._instance)
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

    def _handshake_refused(self, door: str, reason: str, detail: str) -> None:
        """Nobody is known before the handshake: the audit counts by door."""
        self.trail.refusals.add("refused", f"TLS at {door}", reason, detail)

    def _line_differs(self, peer: str, handshake: Handshake) -> None:
        self._hub.send(Note("note", f"{self._site}: line to {peer}: {protection(handshake)}"))

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

    async def watch_access(self) -> None:
        """Also while sealed: operators come in then."""
        while True:
            await asyncio.sleep(RELOAD_S)
            for admission in (self._admission, self._kmes, self._operators):
                admission.look()
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
            more = {"audit": self.trail.counts(), "turned_away": turned_away, "tls": self._tls.counts()}
            more["push"] = self._pushers.report()
            self._hub.send(StoreStatus(self._site, msgspec.to_builtins(report, str_keys=True) | more))
            for kind, text in self._told.drain():
                self._hub.send(Note(kind, f"{self._site}: {text}"))
            await asyncio.sleep(REPORT_INTERVAL_S)

    async def serve(self, on_ready: Callable[[], None]) -> None:
        """Serve, as soon as it is our turn, until cancelled or until the turn is over."""
        watching = asyncio.create_task(self.watch_access())
        try:
            await self._until_our_turn(on_ready)
            await self._serve_turn(on_ready)
        finally:
            watching.cancel()
            self.is_serving = False
            await self.stop_https()  # before the thread: what was asked is still answered
            await self._pushers.stop()
            await self.thread.stop()

    async def _until_our_turn(self, on_ready: Callable[[], None]) -> None:
        opening = asyncio.ensure_future(self.thread.start())
        if self._is_one_of_several:
            on_ready()
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            self.waiting.give_up()
            await asyncio.wait({opening}, timeout=1.0)
            look_away(opening)
            raise

    def open_to_operators(self, seal_door: SealDoor) -> None:
        """The door for operators, where the network file gives the site one. Call it once, before the doors open."""
        if not self._config.network.sites[self._site].admin:
            return
        desk = Desk(
            site=self._site,
            thread=self.thread,
            trail=self.trail,
            sealing=self._sealing,
            seal_door=seal_door,
            hub=self._config.sockets[hub_socket()],
        )
        self.https += self._doors.admin(desk)

    async def start_https(self) -> None:
        for door in self.https:
            await door.start()

    async def stop_https(self) -> None:
        await asyncio.gather(*(door.stop() for door in self.https))

    async def _serve_turn(self, on_ready: Callable[[], None]) -> None:
        name = f" (instance {self._instance})" if self._is_one_of_several else ""
        guard = self._sealing.file.label
        self._hub.send(Note("note", f"{self._site}: key store open{name}, KEK guarded by {guard}"))
        if not any(door.is_open for door in self.https):
            await self.start_https()
        async with Guests() as guests:
            await self._open_doors(guests)
            self.is_serving = True
            on_ready()
            with suppress_group(TurnOver):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._report())
                    group.create_task(self._obey())
                    for line in self._lines.values():
                        group.create_task(line.run())
                    group.create_task(self._until_deposed())

    async def _open_doors(self, guests: Guests) -> None:
        peers = await listen(
            self._config.ports.peers[self._instance],
            self._peer_credentials,
            self._from_peer,
            guests=guests,
            on_came=self._peer_came,
            is_pq_required=self._is_pq_required,
            admits=self._kmes.admits,
            on_handshake=self._tls.at("peers"),
            turned_away=self._doors.turned_away.setdefault("peers", Counter()),
        )
        guests.come_by(peers)
        socket = self._config.sockets[kq1_socket(self._instance)]
        guests.come_by(await asyncio.start_unix_server(guests.served(self._take_blocks), socket))
        await self._doors.streams(guests)
        await self._pushers.resume()

    def _peer_came(self, peer: SiteId) -> None:
        if peer in self._lines:
            self._lines[peer].look_again()

    async def _until_deposed(self) -> None:
        await self._deposed.wait()
        raise TurnOver


class TurnOver(Exception):
    """Another instance serves now, or the database is away."""


@contextmanager
def suppress_group(kind: type[Exception]) -> Iterator[None]:
    """What a task group raises when one of its tasks ended it by this exception and nothing else went wrong."""
    try:
        yield
    except BaseExceptionGroup as error:
        if error.split(kind)[1] is not None:
            raise
