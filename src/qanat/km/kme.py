"""One KME: the engine that a host runs.

The host's part of the bargain:

1. Every method is called inside ``store.transaction()``; several calls may share one (group commit).
2. What a method returned, and what ``frames_to_send`` and ``events`` yield, leaves only after the commit.
3. ``KeyDeliveryError``, ``StreamRefused`` and ``SimulatedKeyRefused`` are raised before anything changed, so
   the host catches them inside the transaction. On any other exception, or when the commit fails, it throws
   this object away and builds a new one from the store. There is no other way to recover, hence none that is
   untested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from qanat.core.alarms import Action, Command
from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import KeyId, LinkId, SaeId, SiteId
from qanat.core.ports import Entropy
from qanat.core.records import KeyBlock
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.km.books import Books, Piece
from qanat.km.channel import Channel
from qanat.km.context import Context, relay_account
from qanat.km.delivery import Delivery
from qanat.km.documents import KeyContainer, KeyRequest, Status
from qanat.km.events import CommandApplied, CommandIgnored, KeysQuarantined, KmeEvent, PeerMisbehaved
from qanat.km.interwork.engine import Interwork
from qanat.km.ledger import Account, Fate
from qanat.km.links import Links
from qanat.km.messages import (
    REASON_QUARANTINED,
    Copies,
    Gone,
    Granted,
    Have,
    Hop,
    Message,
    RelayDone,
    RelayFailed,
    SharesDone,
    message_from_bytes,
)
from qanat.km.relay import Relay
from qanat.km.report import AccountReport, LinkStoreReport, PairReport, StoreReport
from qanat.km.store import PieceState, Store
from qanat.km.stream_messages import StreamClosed, StreamOpen, StreamWanted
from qanat.km.stream_types import Chunk, StreamOpened, StreamQos, StreamRefused
from qanat.km.streams import Streams
from qanat.km.supply import Supply

SWEEP_NS = 10 * NS_PER_S


class Kme:
    """The key management entity of one site, without I/O."""

    def __init__(self, *, site: SiteId, network: Network, store: Store, entropy: Entropy, kme_id: str) -> None:
        """Load everything from the store; writes nothing.

        Args:
            kme_id: As in the KME's certificate and in Status. The other KMEs' ids follow the same pattern.
        """
        if site not in network.sites:
            raise ValueError(f"site {site} is not in network {network.name}")
        snapshot = store.load()
        self.site = site
        self.kme_id = kme_id
        self._c = Context(
            site=site,
            network=network,
            store=store,
            entropy=entropy,
            books=Books(site, store, snapshot, left_over_bytes=network.policy.key_size_bits // 8),
            links=Links(store, snapshot),
            channel=Channel(store, entropy, snapshot),
        )
        self._supply = Supply(self._c, snapshot.facts)
        self._relay = Relay(self._c, snapshot.facts)
        self._delivery = Delivery(self._c, self._supply, self._relay, kme_id, snapshot.facts)
        self._streams = Streams(self._c, snapshot.facts)
        self.border = Interwork(self._c, snapshot.facts, kme_id)
        self._revision = _number(snapshot.facts.get(("kme", "revision")))
        self._burned_total = _number(snapshot.facts.get(("kme", "burned")))
        self._wake_ns: int = 0  # plan relays and sweep at once after a start
        self._relay_due_ns: int | None = None
        self._sweep_ns = 0

    # --- from the QKD modules

    def add_block(self, block: KeyBlock, now_ns: int) -> bool:
        """Take a key block of one of this site's links. The caller wipes its copy.

        Taking the same block twice, even after a restart, has no effect. It is refused, counted as
        destroyed and reported by ``BlockRefused`` when its link is paused, its light was condemned or the
        store is full.

        Returns:
            Whether it was stored now.

        Raises:
            SimulatedKeyRefused: simulated key, but the network is no simulation.
            LocalProtocolError: the link does not end here.
        """
        is_stored = self._supply.add_block(block, now_ns)
        self._wake_ns = now_ns
        return is_stored

    # --- from applications

    def status(self, caller: SaeId, slave: SaeId, now_ns: int) -> Status:
        """Get status of ETSI 014. Raises: KeyDeliveryError."""
        del now_ns  # the same shape as its siblings
        if self.border.partner_with(slave) is not None:
            return self.border.status(caller, slave)
        return self._delivery.status(caller, slave)

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        """Get key of ETSI 014: new keys for a master. Raises: KeyDeliveryError."""
        if self.border.partner_with(slave) is not None:
            container = self.border.enc_keys(caller, slave, request)
        else:
            container = self._delivery.enc_keys(caller, slave, request, now_ns)
        self._wake_ns = now_ns  # the buffer shrank
        return container

    def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId], now_ns: int) -> KeyContainer:
        """Get key with key IDs of ETSI 014: the same keys for the slave, all or none. Raises: KeyDeliveryError."""
        if self.border.partner_with(master) is not None:
            return self.border.dec_keys(caller, master, list(key_ids))
        return self._delivery.dec_keys(caller, master, key_ids, now_ns)

    def open_stream(
        self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None, now_ns: int
    ) -> StreamOpened:
        """OPEN_CONNECT of ETSI 004. Raises: StreamRefused."""
        return self._streams.open(caller, other, qos, stream, now_ns)

    def has_both_ends(self, stream: KeyId) -> bool:
        """Both applications of a stream have opened it."""
        return self._streams.has_both_ends(stream)

    def get_chunk(
        self, caller: SaeId, stream: KeyId, index: int | None, metadata_bytes: int, now_ns: int
    ) -> Chunk | StreamRefused:
        """GET_KEY of ETSI 004. What is missing is returned, not raised: asking the owner for it must be kept."""
        try:
            return self._streams.get_key(caller, stream, index, metadata_bytes, now_ns)
        except StreamRefused as refused:
            refused.timeout_ms = self._streams.timeout_ms(stream)
            return refused

    def close_stream(self, caller: SaeId, stream: KeyId) -> None:
        """CLOSE of ETSI 004. Raises: StreamRefused."""
        self._streams.close(caller, stream)

    def burned(self, count: int) -> None:
        """The host could not send an answer with so many keys: they are gone, and counted."""
        self._burned_total += count
        self._c.store.put_fact("kme", "burned", self._burned_total.to_bytes(8))

    # --- from other KMEs

    def receive(self, peer: SiteId, frame: bytes, now_ns: int) -> None:
        """A frame came from a KME whose identity the host has verified. Never raises on what it sent."""
        if peer not in self._c.network.sites or peer == self.site:
            self._misbehaved(peer, "frame from a site that is no peer")
            return
        try:
            messages = self._c.channel.receive(peer, frame)
        except msgspec.DecodeError as error:
            self._misbehaved(peer, f"frame cannot be read: {error}")
            return
        for data in messages:
            self._handle_or_report(peer, data, now_ns)
        if messages:
            self._wake_ns = now_ns

    def _handle_or_report(self, peer: SiteId, data: bytes, now_ns: int) -> None:
        try:
            self._handle(peer, message_from_bytes(data), now_ns)
        except msgspec.DecodeError as error:
            self._misbehaved(peer, f"message cannot be read: {error}")
        except RemoteProtocolError as error:
            self._misbehaved(peer, error.detail)

    def _handle(self, peer: SiteId, message: Message, now_ns: int) -> None:
        match message:
            case Granted():
                self._delivery.on_granted(peer, message, now_ns)
                for grant in message.grants:
                    self._streams.table.on_grant(grant)
            case StreamOpen():
                self._streams.on_open(peer, message, now_ns)
            case StreamWanted():
                self._streams.on_wanted(peer, message, now_ns)
            case StreamClosed():
                self._streams.on_closed(peer, message)
            case Have():
                self._supply.on_have(peer, message, now_ns)
            case Hop():
                self._relay.on_hop(peer, message, now_ns)
            case RelayDone() | SharesDone():
                self._relay.on_done(peer, message, now_ns)
            case RelayFailed():
                self._relay.on_failed(peer, message, now_ns)
            case Copies():
                self._delivery.arrivals.on_copies(peer, message, now_ns)
            case Gone():
                if self._delivery.copies.on_gone(peer, message):
                    return
                self._supply.on_gone(peer, message)
                self._relay.forget(message.parent, f"{peer}: {message.reason[:200]}")

    def _misbehaved(self, peer: SiteId, reason: str) -> None:
        self._c.events.append(PeerMisbehaved(peer=peer, reason=reason))

    def frames_to_send(self, now_ns: int) -> list[tuple[SiteId, bytes]]:
        """Frames for other KMEs. Call after every other call; a lost frame is sent again by itself."""
        return self._c.channel.frames_to_send(now_ns)

    # --- time

    def deadline_ns(self) -> int | None:
        """When to call ``on_deadline`` and then ``frames_to_send``; 0 for at once."""
        times = [self._wake_ns, self._sweep_ns, self._relay_due_ns, self._c.channel.deadline_ns()]
        return min(time for time in times if time is not None)

    def on_deadline(self, now_ns: int) -> None:
        """Sweep, give up what timed out, start relays."""
        if now_ns >= self._sweep_ns:
            self._supply.sweep(now_ns)
            self._delivery.sweep(now_ns)
            self._streams.table.sweep(now_ns)
            self._sweep_ns = now_ns + SWEEP_NS
        self.border.plan(now_ns)
        due = [self._relay.sweep(now_ns), self._relay.plan(now_ns)]
        self._relay_due_ns = min((time for time in due if time is not None), default=None)
        self._wake_ns = self._sweep_ns

    def events(self) -> list[KmeEvent]:
        """What happened since the last call, drained."""
        happened = list(self._c.events)
        self._c.events.clear()
        return happened

    # --- from the controller

    def apply(self, command: Command, now_ns: int) -> None:
        """Do what the controller wants, unless a newer command came before."""
        problem = self._problem(command)
        if problem is not None:
            self._c.events.append(CommandIgnored(command=command, reason=problem))
            return
        self._revision = command.revision
        self._c.store.put_fact("kme", "revision", command.revision.to_bytes(8))
        self._c.events.append(CommandApplied(command=command))
        _ACTIONS[command.action](self, command)
        self._wake_ns = now_ns

    def _problem(self, command: Command) -> str | None:
        if command.site != self.site:
            return f"it is for site {command.site}"
        if command.revision <= self._revision:
            return f"revision {command.revision} is not newer than {self._revision}"
        if command.action is Action.SET_ROUTE:
            return self._route_problem(command)
        if command.link not in self._c.network.links:
            return f"there is no link {command.link}"
        return None

    def _route_problem(self, command: Command) -> str | None:
        source, target = command.source, command.target
        if source is None or target is None or source == target or self.site not in (source, target):
            return "the route neither begins nor ends here"
        target, ways = self._outward(command)
        return self._relay.problem(target, ways) if command.links else None

    def _outward(self, command: Command) -> tuple[SiteId, tuple[tuple[LinkId, ...], ...]]:
        """The route's paths as they leave from here, and where they lead."""
        assert command.source is not None  # _route_problem looked
        assert command.target is not None
        ways = (command.links, *command.others)
        if command.source == self.site:
            return command.target, ways
        return command.source, tuple(way[::-1] for way in ways)

    def _set_route(self, command: Command) -> None:
        self._relay.set_route(*self._outward(command))

    def _pause(self, command: Command) -> None:
        self._c.links.pause(_link(command))

    def _resume(self, command: Command) -> None:
        self._c.links.resume(_link(command), command.since_ns)

    def _quarantine(self, command: Command) -> None:
        """Condemn the link's light since then: nothing that rests on it is delivered from now on, here or there."""
        link = _link(command)
        self._c.links.condemn(link, command.since_ns)
        suspects = [
            piece
            for piece in self._c.books.pieces.values()
            if any(source.link == link and source.end_ns >= command.since_ns for source in piece.record.sources)
        ]
        size_bits = 8 * sum(self._condemned(piece) for piece in suspects)
        self._delivery.copies.condemned()
        self._c.events.append(
            KeysQuarantined(
                link=link,
                since_ns=command.since_ns,
                count=size_bits // self._c.network.policy.key_size_bits,
                size_bits=size_bits,
                piece_count=len(suspects),
            )
        )

    def _condemned(self, piece: Piece) -> int:
        record = piece.record
        # Said once per block; copies of our own multicast lie here too, and their sites are told below.
        if len(self._c.books.of_parent(record.parent)) == 1 and record.peer != self.site:
            self._c.channel.post(record.peer, Gone(record.parent, REASON_QUARANTINED))
        size_bytes = self._c.books.drop(piece, Fate.QUARANTINED)
        self._relay.forget(record.parent, REASON_QUARANTINED)
        return size_bytes

    # --- for people

    def report(self, now_ns: int) -> StoreReport:
        """What this KME holds, in numbers."""
        books = self._c.books
        held = dict.fromkeys(books.ledger.accounts, 0)
        for piece in books.pieces.values():
            held[piece.record.account] += books.held_of(piece)
        peers = sorted({self.site, *self._relay.targets, *(piece.record.peer for piece in books.pieces.values())})
        return StoreReport(
            site=self.site,
            kme_id=self.kme_id,
            at_ns=now_ns,
            pairs=tuple(self._pair_report(peer) for peer in peers),
            links=tuple(self._link_report(link.id, held) for link in self._c.network.links_at(self.site)),
            accounts=tuple(
                _account_report(name, row, held[name]) for name, row in sorted(books.ledger.accounts.items())
            ),
            burned_total=self._burned_total,
            revision=self._revision,
        )

    def _pair_report(self, peer: SiteId) -> PairReport:
        books, size_bytes = self._c.books, self._c.key_bytes
        here = [piece for piece in books.pieces.values() if piece.record.peer == peer]
        relayed = _keys(books.ready(peer, relay_account(peer)), size_bytes)
        stored = self._relay.stored_count(peer)
        return PairReport(
            peer=peer,
            stored_keys=stored,
            stored_keys_direct=stored - relayed,
            stored_keys_relayed=relayed,
            incoming_keys=_keys((piece for piece in here if _is_incoming(piece, self.site)), size_bytes),
            granted_keys=sum(len(piece.grants) for piece in here),
            route=self._relay.routes.get(peer, ()),
            relays_in_flight=self._relay.flights_to(peer),
            messages_waiting=self._c.channel.waiting_count(peer),
        )

    def _link_report(self, name: LinkId, held: dict[str, int]) -> LinkStoreReport:
        peer = self._c.network.links[name].other_end(self.site)
        state = self._c.links.state(name)
        return LinkStoreReport(
            link=name,
            peer=peer,
            held_bits=8 * held.get(name, 0),
            held_bits_own=8 * sum(piece.remaining_bytes for piece in self._c.books.ready(peer, name)),
            is_paused=state.is_paused,
            is_condemned=any(until is None for _, until in state.condemned),
        )


_ACTIONS: dict[Action, Callable[[Kme, Command], None]] = {
    Action.SET_ROUTE: Kme._set_route,
    Action.QUARANTINE: Kme._quarantine,
    Action.PAUSE_LINK: Kme._pause,
    Action.RESUME_LINK: Kme._resume,
}


def _link(command: Command) -> LinkId:
    assert command.link is not None  # _problem looked
    return command.link


def _is_incoming(piece: Piece, site: SiteId) -> bool:
    """A key that the other end gives out; shares of keys wait, and are none."""
    return piece.record.owner != site and piece.record.state is PieceState.READY


def _number(data: bytes | None) -> int:
    return 0 if data is None else int.from_bytes(data)


def _keys(pieces: object, size_bytes: int) -> int:
    return sum(piece.remaining_bytes // size_bytes for piece in pieces)  # type: ignore[attr-defined]


def _account_report(name: str, row: Account, held_bytes: int) -> AccountReport:
    return AccountReport(
        account=name,
        held_bits=8 * held_bytes,
        made_bits=row.made,
        delivered_bits=row.delivered,
        spent_bits=row.spent,
        destroyed_bits=row.destroyed,
        quarantined_bits=row.quarantined,
    )
