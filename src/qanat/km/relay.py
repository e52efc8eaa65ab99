"""Key relay: keys for two sites without a link of their own, through trusted nodes, ahead of demand.

The origin draws a block from its entropy and sends it hop by hop, on each hop under a one-time pad and a
one-time tag taken from that link's key. The target stores it and confirms with a key that came inside the
payload; only then does the origin give keys of it out. Every node between sees the keys in clear for the
length of one transaction and never stores them; the trail names every block that the key rests on.

    origin  --Hop-->  node  --Hop-->  target        (each over its neighbour's channel)
    origin  <------------RelayDone / RelayFailed--  (straight back, over any network)
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import msgspec

from qanat.core.errors import AuthenticationFailed, RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Provenance, joined
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.crypto.one_time_pad import MAC_TAG_BYTES, open_hop, seal_hop
from qanat.km import pads as pads_
from qanat.km.context import Context, relay_account
from qanat.km.events import PeerMisbehaved, RelayCompleted, RelayForwarded, RelayLost
from qanat.km.ledger import Fate
from qanat.km.messages import (
    REASON_QUARANTINED,
    Gone,
    Have,
    Hop,
    HopHeader,
    RelayDone,
    RelayFailed,
    Trail,
    encoded,
    header_from_bytes,
)
from qanat.km.store import PieceRecord, PieceState, Source

CONFIRM_KEY_BYTES = 32
KEYS_MIN, KEYS_FIRST, KEYS_MAX = 4, 8, 32  # per relay: overhead is 64 bytes a hop, 6 % of 32 keys of 256 bits
FLIGHTS_MAX = 4  # to one target at once
TIMEOUT_NS = 5 * NS_PER_S
PAUSE_NS, PAUSE_NS_MAX = 250 * NS_PER_MS, 4 * NS_PER_S
_NOTHING = SecretBits(b"")


@dataclass(slots=True)
class _Flight:
    target: SiteId
    route: tuple[LinkId, ...]
    started_ns: int | None  # None after a restart, until the clock is seen
    key_count: int


@dataclass(slots=True)
class _Pace:
    """How much to send to one target at once, and when to try again."""

    key_count: int = KEYS_FIRST
    pause_ns: int = PAUSE_NS
    not_before_ns: int = 0


class Relay:
    """The relay part of one KME: origin, node between and target."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self.routes: dict[SiteId, tuple[LinkId, ...]] = {
            SiteId(name): msgspec.msgpack.decode(value, type=tuple[LinkId, ...])
            for (kind, name), value in facts.items()
            if kind == "route"
        }
        pairs = [pair for pair in context.network.km_pairs() if context.site in pair]
        self.targets = [b if a == context.site else a for a, b in pairs]
        self._paces: dict[SiteId, _Pace] = {}
        self._flights: dict[BlockId, _Flight] = {}
        for piece in context.books.pieces.values():
            record = piece.record
            if record.state is PieceState.WAITING and record.parent.startswith("relay/"):
                self._flights[record.piece] = _Flight(record.peer, (), None, record.size_bytes // context.key_bytes)

    # --- at the origin

    def set_route(self, target: SiteId, links: tuple[LinkId, ...]) -> None:
        self.routes[target] = links
        self._paces.pop(target, None)
        self._c.store.put_fact("route", target, msgspec.msgpack.encode(links))

    def flights_to(self, target: SiteId) -> int:
        return sum(1 for flight in self._flights.values() if flight.target == target)

    def stored_count(self, target: SiteId) -> int:
        """Keys of the default size that this site may give out for the pair now."""
        books, size_bytes = self._c.books, self._c.key_bytes
        return sum(
            piece.remaining_bytes // size_bytes
            for account in self._c.accounts_to(target)
            for piece in books.ready(target, account)
        )

    def plan(self, now_ns: int) -> int | None:
        """Start the relays that are due.

        Returns:
            When to look again without anything new having come, or None.
        """
        wakes = [self._plan_target(target, now_ns) for target in self.targets if len(self.routes.get(target, ())) > 1]
        return min((wake for wake in wakes if wake is not None), default=None)

    def _plan_target(self, target: SiteId, now_ns: int) -> int | None:
        route, pace = self.routes[target], self._paces.setdefault(target, _Pace())
        # A relay still out on an abandoned route is not counted: it may never arrive.
        flights = [flight for flight in self._flights.values() if flight.target == target and flight.route == route]
        missing = self._c.network.policy.buffer_keys - self.stored_count(target)
        missing -= sum(flight.key_count for flight in flights)
        slots = FLIGHTS_MAX - len(flights)
        # A refill waits for a worthwhile size, unless the buffer itself is smaller.
        while slots > 0 and missing >= min(KEYS_MIN, self._c.network.policy.buffer_keys):
            if now_ns < pace.not_before_ns:
                return pace.not_before_ns
            key_count = self._start(target, route, min(missing, pace.key_count), now_ns)
            if not key_count:
                pace.not_before_ns = now_ns + pace.pause_ns
                return pace.not_before_ns
            missing -= key_count
            slots -= 1
        return None

    def _start(self, target: SiteId, route: tuple[LinkId, ...], key_count: int, now_ns: int) -> int:
        """Send one block of keys, fewer if the first link is short. Returns the number of keys, 0 for none."""
        node = self._c.network.links[route[0]].other_end(self._c.site)
        while key_count:
            size_bytes = key_count * self._c.key_bytes
            pads = pads_.planned(route[0], self._c.books.ready(node, route[0]), size_bytes + CONFIRM_KEY_BYTES)
            if pads is not None:
                break
            key_count //= 2
        if not key_count or pads is None:
            return 0
        relay = BlockId(f"relay/{uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)}")
        payload = SecretBits(self._c.entropy.random_bytes(size_bytes + CONFIRM_KEY_BYTES))
        self._c.books.add(
            self._record(relay, target, self._c.site, size_bytes, PieceState.WAITING, (pads.trail,), now_ns), payload
        )
        self._flights[relay] = _Flight(target, route, now_ns, key_count)
        header = HopHeader(
            relay, self._c.site, target, route, payload.size_bytes, (pads.trail,), pads.pads, pads.tag_key
        )
        self._emit(node, header, pads, payload)
        payload.wipe()
        return key_count

    def _emit(self, node: SiteId, header: HopHeader, pads: pads_.Pads, payload: SecretBits) -> None:
        secrets = pads_.read(self._c.books, pads)
        data = encoded(header)
        sealed = seal_hop(payload, secrets.pad, secrets.tag_key, data)
        secrets.wipe()
        pads_.spend(self._c.books, pads)
        self._c.channel.post(node, Hop(data, sealed))

    def _record(
        self,
        relay: BlockId,
        peer: SiteId,
        owner: SiteId,
        size_bytes: int,
        state: PieceState,
        trail: tuple[Trail, ...],
        now_ns: int,
    ) -> PieceRecord:
        return PieceRecord(
            piece=relay,
            parent=relay,
            account=relay_account(peer),
            peer=peer,
            owner=owner,
            size_bytes=size_bytes,
            state=state,
            sources=_sources(trail),
            provenance=_provenance(trail, self._sites(owner, tuple(hop.link for hop in trail))[1:-1]),
            made_ns=now_ns,
        )

    def on_done(self, peer: SiteId, message: RelayDone, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        piece = self._c.books.pieces.get(message.relay)
        if piece is None or message.relay not in self._flights or piece.record.peer != peer:
            return  # given up meanwhile; the target was told so
        confirm_key = self._c.books.tail(piece)
        try:
            open_hop(message.tag, _NOTHING, confirm_key, _confirmed(message.relay, message.trail))
        finally:
            confirm_key.wipe()
        links = tuple(hop.link for hop in message.trail)
        sites = self._sites(self._c.site, links)
        if sites[-1] != peer:
            raise RemoteProtocolError(f"the trail of {message.relay} does not lead to {peer}")
        if self._c.links.condemned_link(_sources(message.trail)) is not None:
            self._c.channel.post(peer, Gone(message.relay, REASON_QUARANTINED))
            self._c.books.drop(piece, Fate.COMPROMISED)
            self.forget(message.relay, REASON_QUARANTINED)
            return
        trail = message.trail
        self._c.books.confirm(piece, sources=_sources(trail), provenance=_provenance(trail, sites[1:-1]))
        self._c.channel.post(peer, Have(message.relay, piece.record.size_bytes, self._c.books.expires_ns(piece)))
        self._completed(message.relay, piece.record, links, now_ns)

    def _completed(self, relay: BlockId, record: PieceRecord, links: tuple[LinkId, ...], now_ns: int) -> None:
        flight = self._flights.pop(relay)
        self._paces[flight.target] = _Pace(key_count=min(KEYS_MAX, 2 * max(KEYS_MIN, flight.key_count)))
        self._c.events.append(
            RelayCompleted(
                relay=relay,
                target=flight.target,
                size_bits=8 * record.size_bytes,
                links=links,
                duration_ns=now_ns - record.made_ns,
            )
        )

    def on_failed(self, peer: SiteId, message: RelayFailed, now_ns: int) -> None:
        """A node on the way gave up; any site may say so, since only those on the way know the name."""
        if message.relay in self._flights:
            self._lose(message.relay, f"{peer}: {message.reason[:200]}", now_ns)

    def _lose(self, relay: BlockId, reason: str, now_ns: int) -> None:
        self._c.books.drop(self._c.books.pieces[relay], Fate.DESTROYED)
        target = self._flights[relay].target
        pace = self._paces.setdefault(target, _Pace())
        pace.key_count = max(KEYS_MIN, pace.key_count // 2)
        pace.not_before_ns = now_ns + pace.pause_ns
        pace.pause_ns = min(2 * pace.pause_ns, PAUSE_NS_MAX)
        self.forget(relay, reason)

    def forget(self, relay: BlockId, reason: str) -> None:
        """The piece of this relay is gone."""
        flight = self._flights.pop(relay, None)
        if flight is not None:
            self._c.events.append(RelayLost(relay=relay, target=flight.target, reason=reason))

    def sweep(self, now_ns: int) -> int | None:
        """Give up relays that nobody confirmed. Returns when the next one is due."""
        due: list[int] = []
        for relay, flight in list(self._flights.items()):
            if flight.started_ns is None:
                flight.started_ns = now_ns
            if now_ns - flight.started_ns < TIMEOUT_NS:
                due.append(flight.started_ns + TIMEOUT_NS)
                continue
            self._c.channel.post(flight.target, Gone(relay, "timed out"))
            self._lose(relay, "no confirmation in time", now_ns)
        return min(due, default=None)

    # --- at a node between, and at the target

    def on_hop(self, peer: SiteId, message: Hop, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        try:
            header = header_from_bytes(message.header)
        except msgspec.DecodeError as error:
            raise RemoteProtocolError(f"header of a relayed key: {error}") from None
        index = self._checked_index(peer, header, len(message.sealed))
        pads = pads_.Pads(tag_key=header.tag_key, pads=header.pads, trail=header.trail[-1])
        try:
            pads_.checked(self._c.books, pads, header.route[index], peer, header.size_bytes)
            payload = self._opened(pads, message)
        except (pads_.PadsGone, AuthenticationFailed) as error:
            self._fail(header, "a hop could not be opened")
            self._c.events.append(PeerMisbehaved(peer=peer, reason=error.detail))
            return
        pads_.spend(self._c.books, pads)
        condemned = self._c.links.condemned_link(_sources(header.trail))
        if condemned is not None:
            self._fail(header, f"link {condemned} is condemned by an alarm")
        elif header.target == self._c.site:
            self._arrive(header, payload, now_ns)
        else:
            self._forward(header, payload, header.route[index + 1])
        payload.wipe()

    def _opened(self, pads: pads_.Pads, message: Hop) -> SecretBits:
        secrets = pads_.read(self._c.books, pads)
        try:
            return open_hop(message.sealed, secrets.pad, secrets.tag_key, message.header)
        finally:
            secrets.wipe()

    def _checked_index(self, peer: SiteId, header: HopHeader, sealed_bytes: int) -> int:
        """Which hop of the route just ended here; every field is consistent with our network file."""
        nodes_max = self._c.network.policy.max_trusted_nodes
        if not 1 <= len(header.trail) <= len(header.route) <= nodes_max + 1:
            raise RemoteProtocolError(f"a relay over {len(header.route)} links; policy allows {nodes_max + 1}")
        sites = self._sites(header.origin, header.route)
        index = len(header.trail) - 1
        if sites[-1] != header.target or sites[index : index + 2] != [peer, self._c.site]:
            raise RemoteProtocolError(f"the route of {header.relay[:64]} does not come from {peer} to us")
        if tuple(hop.link for hop in header.trail) != header.route[: index + 1]:
            raise RemoteProtocolError(f"the trail of {header.relay[:64]} is not its route")
        if any(hop.provenance.links != (hop.link,) for hop in header.trail):
            raise RemoteProtocolError(f"the trail of {header.relay[:64]} names other links than its hops")
        if not self._c.network.is_simulation and any(hop.provenance.simulated for hop in header.trail):
            raise RemoteProtocolError(f"{header.relay[:64]} rests on simulated key, but this is no simulation")
        if not header.relay.startswith("relay/") or len(header.relay) > 64:
            raise RemoteProtocolError("a relay with a name that no KME gives")
        keys_bytes = header.size_bytes - CONFIRM_KEY_BYTES
        if not 0 < keys_bytes <= KEYS_MAX * self._c.key_bytes or sealed_bytes != header.size_bytes + MAC_TAG_BYTES:
            raise RemoteProtocolError(f"{header.relay} has an impossible size")
        return index

    def _sites(self, origin: SiteId, links: tuple[LinkId, ...]) -> list[SiteId]:
        """The sites along a route; those between must be trusted.

        Raises:
            RemoteProtocolError: it is no path of our network file, or crosses a site that is not trusted.
        """
        sites = [origin]
        for name in links:
            link = self._c.network.links.get(name)
            if link is None or sites[-1] not in link.sites:
                raise RemoteProtocolError(f"link {name[:64]} does not go on from {sites[-1][:64]}")
            sites.append(link.other_end(sites[-1]))
        if len(set(sites)) != len(sites):
            raise RemoteProtocolError("a relay that visits a site twice")
        distrusted = [site for site in sites[1:-1] if not self._c.network.sites[site].is_trusted]
        if distrusted:
            raise RemoteProtocolError(f"site {distrusted[0]} is not trusted to relay keys")
        return sites

    def _forward(self, header: HopHeader, payload: SecretBits, link: LinkId) -> None:
        node = self._c.network.links[link].other_end(self._c.site)
        pads = pads_.planned(link, self._c.books.ready(node, link), header.size_bytes)
        if pads is None:
            self._fail(header, f"too little key on link {link}")
            return
        onward = msgspec.structs.replace(
            header, trail=(*header.trail, pads.trail), pads=pads.pads, tag_key=pads.tag_key
        )
        self._emit(node, onward, pads, payload)
        size_bits = 8 * (payload.size_bytes - CONFIRM_KEY_BYTES)
        self._c.events.append(
            RelayForwarded(relay=header.relay, origin=header.origin, target=header.target, size_bits=size_bits)
        )

    def _arrive(self, header: HopHeader, payload: SecretBits, now_ns: int) -> None:
        if self._c.books.has_seen(header.relay):
            return  # given up by its origin before it came
        size_bytes = header.size_bytes - CONFIRM_KEY_BYTES
        account = relay_account(header.origin)
        if self._c.books.booked_bits(account) + 8 * size_bytes > self._c.network.policy.store_bits_max:
            self._fail(header, "the target's store is full")
            return
        keys = payload.take(0, size_bytes)
        confirm_key = payload.take(size_bytes, CONFIRM_KEY_BYTES)
        self._c.books.add(
            self._record(
                header.relay, header.origin, header.origin, size_bytes, PieceState.READY, header.trail, now_ns
            ),
            keys,
        )
        tag = seal_hop(_NOTHING, _NOTHING, confirm_key, _confirmed(header.relay, header.trail))
        keys.wipe()
        confirm_key.wipe()
        self._c.channel.post(header.origin, RelayDone(header.relay, header.trail, tag))

    def _fail(self, header: HopHeader, reason: str) -> None:
        self._c.channel.post(header.origin, RelayFailed(header.relay, reason))


def _sources(trail: tuple[Trail, ...]) -> tuple[Source, ...]:
    return tuple(source for hop in trail for source in hop.sources)


def _provenance(trail: tuple[Trail, ...], trusted_nodes: list[SiteId]) -> Provenance:
    return joined(tuple(hop.provenance for hop in trail), tuple(trusted_nodes))


def _confirmed(relay: BlockId, trail: tuple[Trail, ...]) -> bytes:
    """What a confirmation says: an empty sealed hop is a one-time tag over this header."""
    return b"qanat relay stored" + encoded((relay, trail))
