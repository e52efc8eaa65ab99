"""One KME while it serves: its ports, certificate, store and thread. The process around it is ``kme.py``."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.km.kme import Kme
from qanat.node.access import RELOAD_S, Admission
from qanat.node.api.handshake_told import Handshake
from qanat.node.api.tls_seen import TlsSeen, protection
from qanat.node.audit.opening import provide_trail
from qanat.node.entropy import SystemEntropy
from qanat.node.holders import KMES, OPERATORS
from qanat.node.instance import site_of
from qanat.node.messages import Note, StoreStatus
from qanat.node.pki import Credentials, admitting_ca, kme_credentials
from qanat.node.processes.admin_desk import Desk
from qanat.node.processes.block_intake import block_intake
from qanat.node.processes.config import ChildConfig, hub_socket, kq1_socket
from qanat.node.processes.doors import Doors
from qanat.node.processes.gateway import Gateway, look_away
from qanat.node.processes.guests import Guests
from qanat.node.processes.hub_client import HubClient
from qanat.node.processes.neighbours import Neighbours
from qanat.node.processes.orders import Orders
from qanat.node.processes.own_store import OwnStore, TurnOver
from qanat.node.processes.peers import client_context
from qanat.node.processes.pushers import Pushers
from qanat.node.processes.seal_door import SealDoor
from qanat.node.processes.telling import Telling
from qanat.node.processes.writer_thread import STORE_RETRY_S, Outcome, StoreFailed, WriterThread
from qanat.node.sealing import AnySealing
from qanat.node.skip_psk import PskBook
from qanat.node.statedir import StateDir
from qanat.node.store.waiting import Waiting

REPORT_INTERVAL_S = 0.5


class SiteKme:
    """One turn of an instance of a site's KME: the engine's thread and its four doors (SAEs, peers, QKD modules, hub).

    A site with one instance has one turn, as long as the process. ``kme.py`` says what lies between turns.
    """

    def __init__(self, config: ChildConfig, instance: SiteId, hub: HubClient, sealing: AnySealing) -> None:
        self._config, self._instance, self._hub, self._sealing = config, instance, hub, sealing
        self._site = site_of(instance)
        self._state = StateDir(config.state)
        self._credentials = kme_credentials(self._state, instance)
        self._entropy = SystemEntropy()  # one for store and engine: what one finds broken, neither draws from
        self._is_pq_required = config.network.policy.pq_tls == "required"
        self._told = Telling()
        self.is_serving = False
        self._tls = TlsSeen(on_refused=self._handshake_refused, on_peer=self._line_differs)
        self._admission, self._kmes = Admission(self._state), Admission(self._state, KMES)
        self._operators = Admission(self._state, OPERATORS)
        self.trail = provide_trail(self._state, instance, self._entropy, config.network.name)
        self._store = OwnStore(
            self._state,
            instance,
            sealing=sealing,
            entropy=self._entropy,
            trail=self.trail,
            is_one_of_several=self._is_one_of_several,
        )
        self.thread = WriterThread(
            name=instance,
            make_store=self._store.open,
            make_kme=self._engine,
            on_outcome=self._on_outcome,
            trail=self.trail,
        )
        self._neighbours = Neighbours(
            config, instance, thread=self.thread, kmes=self._kmes, tls=self._tls, tell=self._tell
        )
        self.orders = Orders(self.thread)
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
        self.https = self._doors.https(self._neighbours.partners)

    @property
    def _is_one_of_several(self) -> bool:
        return self._config.network.sites[self._site].kme_count > 1

    def _make_pushers(self) -> Pushers:
        """To applications at this site that the network file gives a place, by certificates of their CA alone."""
        files = Credentials(self._credentials.certfile, self._credentials.keyfile, admitting_ca(self._state))
        return Pushers(
            thread=self.thread,
            network=self._config.network,
            context=client_context(files, is_pq_required=self._is_pq_required),
            admits=self._admission.admits,
            tell=self._tell,
        )

    @property
    def waiting(self) -> Waiting:
        return self._store.waiting

    async def rotate(self, pin: str) -> int:
        """As ``OwnStore.rotate``. Raises: KeyDeliveryError, sealed; EnvironmentProblem, another instance serves."""
        self.gateway.check_seal()
        if not self.is_serving:
            raise EnvironmentProblem(f"this instance of {self._site} waits for its turn; ask the one that serves.")
        return await self._store.rotate(self.thread, pin)

    def _tell(self, text: str) -> None:
        """To the journal."""
        self._hub.send(Note("note", f"{self._site}: {text}"))

    def _engine(self, store: Any) -> Kme:
        return Kme(
            site=self._site,
            network=self._config.network,
            store=store,
            entropy=self._entropy,
        )

    def _on_outcome(self, outcome: Outcome) -> None:
        self._neighbours.deliver(outcome)
        for event in outcome.events:
            self._told.note(event)

    def _refused(self, caller: str, status_code: int, message: str) -> None:
        self.trail.refusals.add("refused", caller, str(status_code), message)

    def _handshake_refused(self, door: str, reason: str, detail: str) -> None:
        """Nobody is known before the handshake: the audit counts by door."""
        self.trail.refusals.add("refused", f"TLS at {door}", reason, detail)

    def _line_differs(self, peer: str, handshake: Handshake) -> None:
        self._tell(f"line to {peer}: {protection(handshake)}")

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
                self._tell(f"the key store cannot be written: {error.detail}")
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
        self._tell(f"key store open{name}, KEK guarded by {guard}")
        if not any(door.is_open for door in self.https):
            await self.start_https()
        async with Guests() as guests:
            await self._open_doors(guests)
            self.is_serving = True
            on_ready()
            with suppress_group(TurnOver):
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._report())
                    group.create_task(self.orders.run())
                    for line in self._neighbours.lines.values():
                        group.create_task(line.run())
                    group.create_task(self._store.until_deposed())

    async def _open_doors(self, guests: Guests) -> None:
        turned_away = self._doors.turned_away.setdefault("peers", Counter())
        guests.come_by(await self._neighbours.listen(guests, turned_away))
        socket = self._config.sockets[kq1_socket(self._instance)]
        guests.come_by(await asyncio.start_unix_server(guests.served(block_intake(self.thread, self._tell)), socket))
        await self._doors.streams(guests)
        await self._pushers.resume()


@contextmanager
def suppress_group(kind: type[Exception]) -> Iterator[None]:
    """What a task group raises when one of its tasks ended it by this exception and nothing else went wrong."""
    try:
        yield
    except BaseExceptionGroup as error:
        if error.split(kind)[1] is not None:
            raise
