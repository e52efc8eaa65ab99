"""One KME: the engine that a host runs.

The host's part of the bargain:

1. Every method is called inside ``store.transaction()``; several calls may share one (group commit).
2. What a method returned, and what ``frames_to_send`` and ``events`` yield, leaves only after the commit.
3. ``KeyDeliveryError``, ``StreamRefused`` and ``SimulatedKeyRefused`` are raised before anything changed but what
   time alone had ended, so the host catches them inside the transaction. On any other exception, or when the
   commit fails, it throws this object away and builds a new one from the store. There is no other way to recover,
   hence none that is untested.
"""

from __future__ import annotations

from collections.abc import Sequence

from qanat.core.alarms import Command
from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.core.malformed import MALFORMED
from qanat.core.ports import Entropy
from qanat.core.records import KeyBlock
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.km.books import Books
from qanat.km.channel import Channel
from qanat.km.commands import Commands
from qanat.km.context import Context
from qanat.km.delivery import Delivery
from qanat.km.documents import KeyContainer, KeyRequest, Status
from qanat.km.events import KeysBurned, KmeEvent, PeerMisbehaved
from qanat.km.interwork.engine import Interwork
from qanat.km.interwork.outbox import Request
from qanat.km.links import Links
from qanat.km.messages import (
    REASON_EXPIRED,
    Condemned,
    Copies,
    Gone,
    Grant,
    Granted,
    Have,
    Hop,
    Lost,
    Message,
    RelayDone,
    RelayFailed,
    SharesDone,
    message_from_bytes,
)
from qanat.km.quotas import Quotas
from qanat.km.recovery import Recovery
from qanat.km.relay import Relay
from qanat.km.report import StoreReport
from qanat.km.reporting import Reporting
from qanat.km.store import Store
from qanat.km.stream_messages import StreamClosed, StreamOpen, StreamWanted
from qanat.km.stream_types import Chunk, StreamOpened, StreamQos, StreamRefused, StreamStatus
from qanat.km.streams import Streams
from qanat.km.supply import Supply

SWEEP_NS = 10 * NS_PER_S


class Kme:
    """The key management entity of one site, without I/O."""

    def __init__(self, *, site: SiteId, network: Network, store: Store, entropy: Entropy) -> None:
        """Load everything from the store; writes nothing. Its KME ID is the site's: so its certificate says."""
        if site not in network.sites:
            raise ValueError(f"site {site} is not in network {network.name}")
        snapshot = store.load()
        self.site = site
        self._c = Context(
            site=site,
            network=network,
            store=store,
            entropy=entropy,
            books=Books(
                site,
                store,
                snapshot,
                left_over_bytes=network.policy.key_size_bits // 8,
                ttl_ns=round(network.policy.key_ttl_s * NS_PER_S),
            ),
            links=Links(store, snapshot),
            channel=Channel(store, entropy, snapshot),
            quotas=Quotas(network, site),
        )
        self._recovery = Recovery(self._c, snapshot)
        self._supply = Supply(self._c, snapshot.facts)
        self._relay = Relay(self._c, snapshot.facts)
        self._delivery = Delivery(self._c, self._supply, self._relay, snapshot.facts)
        self._commands = Commands(self._c, self._relay, self._delivery.copies, snapshot.facts)
        self._reporting = Reporting(self._c, self._relay)
        self._burned_total = int.from_bytes(snapshot.facts.get(("kme", "burned"), b""))
        self._streams = Streams(self._c, snapshot.facts)
        self.border = Interwork(self._c, snapshot.facts)
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
        self._recovery.tell_peers()
        is_stored = self._supply.add_block(block, now_ns)
        self._wake_ns = now_ns
        return is_stored

    # --- from applications

    def status(self, caller: SaeId, slave: SaeId, now_ns: int) -> Status:
        """Get status of ETSI 014. Raises: KeyDeliveryError."""
        self._begin(now_ns)
        if self.border.partner_with(slave) is not None:
            return self.border.status(caller, slave)
        return self._delivery.status(caller, slave)

    def enc_keys(self, caller: SaeId, slave: SaeId, request: KeyRequest, now_ns: int) -> KeyContainer:
        """Get key of ETSI 014: new keys for a master. Raises: KeyDeliveryError."""
        self._recovery.check()
        self._begin(now_ns)
        if self.border.partner_with(slave) is not None:
            container = self.border.enc_keys(caller, slave, request)
        else:
            container = self._delivery.enc_keys(caller, slave, request, now_ns)
        self._wake_ns = now_ns  # the buffer shrank
        return container

    def dec_keys(self, caller: SaeId, master: SaeId, key_ids: Sequence[KeyId], now_ns: int) -> KeyContainer:
        """Get key with key IDs of ETSI 014: the same keys for the slave, all or none. Raises: KeyDeliveryError."""
        self._recovery.check()
        self._begin(now_ns)
        if self.border.partner_with(master) is not None:
            return self.border.dec_keys(caller, master, list(key_ids))
        return self._delivery.dec_keys(caller, master, key_ids, now_ns)

    def open_stream(
        self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None, now_ns: int
    ) -> StreamOpened:
        """OPEN_CONNECT of ETSI 004. Raises: StreamRefused."""
        if self._recovery.is_stopped:
            raise _old_copy()
        self._begin(now_ns)
        return self._streams.open(caller, other, qos, stream, now_ns)

    def has_both_ends(self, stream: KeyId) -> bool:
        """Both applications of a stream have opened it."""
        return self._streams.has_both_ends(stream)

    def get_chunk(
        self, caller: SaeId, stream: KeyId, index: int | None, metadata_bytes: int, now_ns: int
    ) -> Chunk | StreamRefused:
        """GET_KEY of ETSI 004. What is missing is returned, not raised: asking the owner for it must be kept."""
        if self._recovery.is_stopped:
            return _old_copy()
        self._begin(now_ns)
        try:
            return self._streams.get_key(caller, stream, index, metadata_bytes, now_ns)
        except StreamRefused as refused:
            refused.timeout_ms = self._streams.timeout_ms(stream)
            return refused

    def start_push(self, caller: SaeId, stream: KeyId, index: int) -> StreamRefused | None:
        """GET_KEY of ETSI 004 in push mode. What is refused is returned, with the stream's time-out."""
        if self._recovery.is_stopped:
            return _old_copy()
        try:
            self._streams.start_push(caller, stream, index)
        except StreamRefused as refused:
            refused.timeout_ms = self._streams.timeout_ms(stream)
            return refused
        return None

    def pushed_streams(self) -> list[tuple[SaeId, KeyId]]:
        """Streams whose chunks are to be pushed, and to whom."""
        return self._streams.pushed()

    def pushed_since(self, stream: KeyId) -> int | None:
        """When this stream began, if its chunks are pushed; tells two of one name apart."""
        return self._streams.pushed_since(stream)

    def next_pushed(self, stream: KeyId, now_ns: int) -> Chunk | StreamRefused:
        """The next chunk to push, gone from the store. What is missing is returned, as by ``get_chunk``."""
        if self._recovery.is_stopped:
            return _old_copy()
        self._begin(now_ns)
        try:
            return self._streams.next_pushed(stream, now_ns)
        except StreamRefused as refused:
            return refused

    def close_stream(self, caller: SaeId, stream: KeyId) -> None:
        """CLOSE of ETSI 004. Raises: StreamRefused."""
        self._streams.close(caller, stream)

    def burned(self, count: int) -> None:
        """The host could not send an answer with so many keys: they are gone, and counted."""
        self._burned_total += count
        self._c.store.put_fact("kme", "burned", self._burned_total.to_bytes(8))
        self._c.events.append(KeysBurned(count=count))

    # --- from other KMEs

    def receive(self, peer: SiteId, frame: bytes, now_ns: int) -> None:
        """A frame came from a KME whose identity the host has verified. Never raises on what it sent."""
        if peer not in self._c.network.sites or peer == self.site:
            self._misbehaved(peer, "frame from a site that is no peer")
            return
        self._begin(now_ns)
        try:
            messages = self._c.channel.receive(peer, frame)
        except MALFORMED as error:
            self._misbehaved(peer, f"frame cannot be read: {error}")
            return
        self._recovery.note(peer)
        for data in messages:
            self._handle_or_report(peer, data, now_ns)
        if messages:
            self._wake_ns = now_ns

    def _handle_or_report(self, peer: SiteId, data: bytes, now_ns: int) -> None:
        try:
            self._handle(peer, message_from_bytes(data), now_ns)
        except MALFORMED as error:
            self._misbehaved(peer, f"message cannot be read: {error}")
        except RemoteProtocolError as error:
            self._misbehaved(peer, error.detail)

    def _handle(self, peer: SiteId, message: Message, now_ns: int) -> None:
        match message:
            case Granted():
                for grant in message.grants:
                    self._on_grant(peer, grant, now_ns)
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
            case Condemned():
                self._commands.on_condemned(peer, message)
            case Lost():
                self._streams.on_lost(peer)
                for parent in self._recovery.on_lost(peer, message):
                    self._relay.forget(parent, f"{peer} lost its store")
                self._supply.forget_early_of(peer)
            case Gone():
                if self._delivery.copies.on_gone(peer, message):
                    return
                self._supply.on_gone(peer, message)
                self._relay.forget(message.parent, f"{peer}: {message.reason[:200]}")

    def _on_grant(self, peer: SiteId, grant: Grant, now_ns: int) -> None:
        """Each is judged alone: one message has the keys of several applications."""
        try:
            self._delivery.on_grant(peer, grant, now_ns)
        except RemoteProtocolError as error:
            self._misbehaved(peer, error.detail)
        else:
            self._streams.table.on_grant(grant)

    def _misbehaved(self, peer: SiteId, reason: str) -> None:
        self._c.events.append(PeerMisbehaved(peer=peer, reason=reason))

    def line_is_new(self, peer: SiteId, now_ns: int) -> None:
        """The host has a new connection to this KME: maybe to another instance of it, after an outage."""
        self._c.channel.line_is_new(peer, now_ns)

    def frames_to_send(self, now_ns: int) -> list[tuple[SiteId, bytes]]:
        """Frames for other KMEs. Call after every other call; a lost frame is sent again by itself."""
        return [] if self._recovery.is_stopped else self._c.channel.frames_to_send(now_ns)

    # --- time

    def deadline_ns(self) -> int | None:
        """When to call ``on_deadline`` and then ``frames_to_send``; 0 for at once."""
        if self._recovery.is_stopped:
            return None
        times = [self._wake_ns, self._sweep_ns, self._relay_due_ns, self._c.books.next_expiry_ns]
        times.append(self._c.channel.deadline_ns())
        return min(time for time in times if time is not None)

    def on_deadline(self, now_ns: int) -> None:
        """Sweep, give up what timed out, start relays."""
        if self._recovery.is_stopped:
            return
        self._begin(now_ns)
        if now_ns >= self._sweep_ns:
            self._supply.sweep(now_ns)
            self._delivery.sweep(now_ns)
            self._streams.sweep(now_ns)
            self._sweep_ns = now_ns + SWEEP_NS
        self.border.plan(now_ns)
        due = [self._relay.sweep(now_ns), self._relay.plan(now_ns)]
        self._relay_due_ns = min((time for time in due if time is not None), default=None)
        self._wake_ns = self._sweep_ns

    def _begin(self, now_ns: int) -> None:
        """Before anything is asked for or said: peers hear that keys were lost, what has come to its end is gone."""
        self._recovery.tell_peers()
        if self._c.books.next_expiry_ns is not None and now_ns >= self._c.books.next_expiry_ns:
            for parent in self._supply.expire(now_ns):
                self._relay.forget(parent, REASON_EXPIRED)

    def events(self) -> list[KmeEvent]:
        """What happened since the last call, drained."""
        happened = list(self._c.events)
        self._c.events.clear()
        return happened

    def requests_to_send(self, now_ns: int) -> list[Request]:
        """Requests for other operators' systems. Call after every other call, as ``frames_to_send``."""
        return [] if self._recovery.is_stopped else self.border.requests_to_send(now_ns)

    # --- from the controller

    def apply(self, command: Command, now_ns: int) -> None:
        """Do what the controller wants, unless a newer command came before."""
        self._recovery.tell_peers()
        if self._commands.apply(command):
            self._wake_ns = now_ns

    # --- for people

    def report(self, now_ns: int) -> StoreReport:
        """What this KME holds, in numbers."""
        return self._reporting.report(now_ns, burned_total=self._burned_total, revision=self._commands.revision)


def _old_copy() -> StreamRefused:
    return StreamRefused(StreamStatus.NO_QKD_CONNECTION, "this KME's key store is an old copy", is_ours=True)
