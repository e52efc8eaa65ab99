"""The origin of relays: keeps a buffer of keys for every site that demands pair this one with."""

from __future__ import annotations

import uuid

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.secret import SecretBits
from qanat.core.trust import RelayRule
from qanat.crypto.one_time_pad import open_hop
from qanat.crypto.shared_block import CHECK_BYTES, shares_from_block
from qanat.km import pads as pads_
from qanat.km.books import Piece
from qanat.km.context import Context, relay_account
from qanat.km.events import RelayAltered, RelayCompleted, RelayLost
from qanat.km.ledger import Fate
from qanat.km.messages import (
    REASON_QUARANTINED,
    Gone,
    HopHeader,
    RelayDone,
    RelayFailed,
    Share,
    SharesDone,
    Trail,
)
from qanat.km.relay.flights import FLIGHTS_MAX, KEYS_MIN, Flight, Flights, Pace
from qanat.km.relay.sending import emit
from qanat.km.relay.trails import (
    CONFIRM_BYTES,
    MASK_BYTES,
    NOTHING,
    TAG_KEY_BYTES,
    Way,
    check_way,
    check_ways,
    digest_of,
    name_of_relay,
    provenance_of_path,
    provenance_of_shares,
    share_context,
    signed_words,
    sites_along,
    sources_of,
)
from qanat.km.store import PieceRecord, PieceState

Planned = list[tuple[int, Way, pads_.Pads]]  # point, path, pads of its first hop


class Origin:
    """Decides what to relay, and gives keys out only after the far end confirmed."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self.ways: dict[SiteId, tuple[Way, ...]] = {
            SiteId(name): msgspec.msgpack.decode(value, type=tuple[tuple[LinkId, ...], ...])
            for (kind, name), value in facts.items()
            if kind == "ways"
        }
        pairs = [pair for pair in context.network.km_pairs() if context.site in pair]
        self.targets = [b if a == context.site else a for a, b in pairs]
        self._paces: dict[SiteId, Pace] = {}
        self._flights = Flights(context.store, facts)
        for piece in context.books.pieces.values():
            record = piece.record
            if record.state is PieceState.WAITING and record.account == relay_account(record.peer):
                self._flights.restore(record.piece, record.peer, record.size_bytes // context.key_bytes)

    def set_ways(self, target: SiteId, ways: tuple[Way, ...]) -> None:
        self.ways[target] = ways
        self._paces.pop(target, None)
        self._c.store.put_fact("ways", target, msgspec.msgpack.encode(ways))

    def problem(self, target: SiteId, ways: tuple[Way, ...]) -> str | None:
        """Why keys for this site may not go these ways; None when they may."""
        network, site = self._c.network, self._c.site
        rule = network.relay_rule(site, target)
        try:
            if rule.is_shared and len(ways[0]) > 1:  # a link of their own crosses nobody
                check_ways(network, site, target, ways, rule)
            else:
                sites = sites_along(network, site, ways[0])
                check_way(network, sites, rule)
                return None if sites[-1] == target else f"the route ends at {sites[-1]}"
        except RemoteProtocolError as error:
            return error.detail
        return None

    def flights_to(self, target: SiteId) -> int:
        return len(self._flights.to(target))

    def stored_count(self, target: SiteId) -> int:
        books, size_bytes = self._c.books, self._c.key_bytes
        return sum(
            piece.remaining_bytes // size_bytes
            for account in self._c.accounts_to(target)
            for piece in books.ready(target, account)
        )

    # --- ahead of demand

    def plan(self, now_ns: int) -> int | None:
        wakes = [
            self._plan_target(target, now_ns) for target in self.targets if len(self.ways.get(target, ((),))[0]) > 1
        ]
        return min((wake for wake in wakes if wake is not None), default=None)

    def _plan_target(self, target: SiteId, now_ns: int) -> int | None:
        ways, pace = self.ways[target], self._paces.setdefault(target, Pace())
        # A relay still out on abandoned paths is not counted: it may never arrive.
        flights = self._flights.to(target, ways)
        missing = self._c.network.policy.buffer_keys - self.stored_count(target)
        missing -= sum(flight.key_count for flight in flights)
        slots = FLIGHTS_MAX - len(flights)
        # A refill waits for a worthwhile size, unless the buffer itself is smaller.
        while slots > 0 and missing >= min(KEYS_MIN, self._c.network.policy.buffer_keys):
            if now_ns < pace.not_before_ns:
                return pace.not_before_ns
            key_count = self._start(target, ways, min(missing, pace.key_count), now_ns)
            if not key_count:
                pace.not_before_ns = now_ns + pace.pause_ns
                return pace.not_before_ns
            missing -= key_count
            slots -= 1
        return None

    def _start(self, target: SiteId, ways: tuple[Way, ...], key_count: int, now_ns: int) -> int:
        """Send one block of keys, fewer if a first link is short. Returns the number of keys, 0 for none."""
        rule = self._c.network.relay_rule(self._c.site, target)
        ways = ways if rule.is_shared else ways[:1]
        if self.problem(target, ways) is not None:
            return 0  # the network file changed since the route was set
        key_count, planned = self._planned(ways, rule, key_count)
        if not key_count:
            return 0
        relay = name_of_relay(self._c.site, uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4))
        block = SecretBits(self._c.entropy.random_bytes(key_count * self._c.key_bytes + CONFIRM_BYTES))
        trails = tuple((pads.trail,) for _, _, pads in planned)
        self._c.books.add(self._waiting(relay, target, key_count, ways, rule, trails, now_ns), block)
        self._flights.start(relay, Flight(target, ways, now_ns, key_count))
        if rule.is_shared:
            self._send_shares(relay, target, ways, rule, planned, block)
        else:
            self._send(self._header(relay, target, block, *planned[0][1:], share=None), planned[0][2], block)
        block.wipe()
        return key_count

    def _planned(self, ways: tuple[Way, ...], rule: RelayRule, key_count: int) -> tuple[int, Planned]:
        """Pads for every path; where one has no key at its start, for as many as the threshold needs."""
        for least in sorted({len(ways), min(rule.threshold, len(ways))}, reverse=True):
            count = key_count
            while count:
                size_bytes = count * self._c.key_bytes + CONFIRM_BYTES + (CHECK_BYTES if rule.is_shared else 0)
                found = [(point, way, self._pads(way, size_bytes)) for point, way in enumerate(ways, 1)]
                ready = [(point, way, pads) for point, way, pads in found if pads is not None]
                if len(ready) >= max(1, least):
                    return count, ready
                count //= 2
        return 0, []

    def _pads(self, way: Way, size_bytes: int) -> pads_.Pads | None:
        node = self._c.network.links[way[0]].other_end(self._c.site)
        return pads_.planned(way[0], self._c.books.ready(node, way[0]), size_bytes)

    def _send_shares(
        self,
        relay: BlockId,
        target: SiteId,
        ways: tuple[Way, ...],
        rule: RelayRule,
        planned: Planned,
        block: SecretBits,
    ) -> None:
        context = share_context(
            self._header(relay, target, block, *planned[0][1:], share=Share(1, rule.threshold, ways))
        )
        shares = shares_from_block(
            block,
            threshold=rule.threshold,
            count=len(ways),
            random_bytes=self._c.entropy.random_bytes,
            context=context,
        )
        for point, way, pads in planned:
            share = shares[point - 1]
            header = self._header(relay, target, share, way, pads, share=Share(point, rule.threshold, ways))
            self._send(header, pads, share)
        for share in shares:
            share.wipe()

    def _header(
        self, relay: BlockId, target: SiteId, payload: SecretBits, way: Way, pads: pads_.Pads, *, share: Share | None
    ) -> HopHeader:
        return HopHeader(
            relay, self._c.site, target, way, payload.size_bytes, (pads.trail,), pads.pads, pads.tag_key, share
        )

    def _send(self, header: HopHeader, pads: pads_.Pads, payload: SecretBits) -> None:
        emit(self._c, self._c.network.links[header.route[0]].other_end(self._c.site), header, pads, payload)

    def _waiting(
        self,
        relay: BlockId,
        target: SiteId,
        key_count: int,
        ways: tuple[Way, ...],
        rule: RelayRule,
        trails: tuple[tuple[Trail, ...], ...],
        now_ns: int,
    ) -> PieceRecord:
        """What is known before anybody answered; the rest comes with the confirmation."""
        network, site = self._c.network, self._c.site
        return PieceRecord(
            piece=relay,
            parent=relay,
            account=relay_account(target),
            peer=target,
            owner=site,
            size_bytes=key_count * self._c.key_bytes,
            state=PieceState.WAITING,
            sources=sources_of(trails),
            provenance=provenance_of_shares(network, site, ways, rule.threshold, trails)
            if rule.is_shared
            else provenance_of_path(network, site, trails[0]),
            made_ns=now_ns,
        )

    # --- what others say

    def on_done(self, peer: SiteId, message: RelayDone | SharesDone, now_ns: int) -> None:
        flight, piece = self._flights.get(message.relay), self._c.books.pieces.get(message.relay)
        if flight is None or piece is None:
            # Given up meanwhile, or sent by somebody in our name: either way nobody will ever give it out.
            self._c.channel.post(peer, Gone(message.relay, "not awaited"))
            return
        if flight.target != peer:
            raise RemoteProtocolError(f"{peer} confirms a relay that went to {flight.target}")
        self._authenticate(piece, message)
        trails = (message.trail,) if isinstance(message, RelayDone) else tuple(came.trail for came in message.came)
        reason = self._objection(flight, piece, message, trails)
        if reason is not None:
            fate = Fate.QUARANTINED if reason == REASON_QUARANTINED else Fate.DESTROYED
            self._c.channel.post(peer, Gone(message.relay, reason))
            self._lose(message.relay, reason, now_ns, fate)
            return
        self._release(message.relay, flight, piece, message, trails, now_ns)

    def _authenticate(self, piece: Piece, message: RelayDone | SharesDone) -> None:
        """Raises: AuthenticationFailed: the tag was not made with the key inside the block."""
        tail = self._c.books.tail(piece)
        key = tail.take(0, TAG_KEY_BYTES)
        try:
            open_hop(message.tag, NOTHING, key, signed_words(message))
        finally:
            key.wipe()
            tail.wipe()

    def _objection(
        self, flight: Flight, piece: Piece, message: RelayDone | SharesDone, trails: tuple[tuple[Trail, ...], ...]
    ) -> str | None:
        """Why keys that the target holds are not given out; None when they are."""
        points = [1] if isinstance(message, RelayDone) else [came.point for came in message.came]
        rule = self._c.network.relay_rule(self._c.site, flight.target)
        if isinstance(message, SharesDone) is not rule.is_shared:
            return "it did not go as the policy wants"
        ways = dict(enumerate(flight.ways, 1))
        if len(set(points)) != len(points) or len(points) < rule.threshold:
            return "too few shares"
        if any(
            tuple(hop.link for hop in trail) != ways.get(point) for point, trail in zip(points, trails, strict=True)
        ):
            self._tell(piece, flight, [p for p in points if p in ways])
            return "it did not go the way it was sent"
        if isinstance(message, RelayDone) and not self._came_unchanged(piece, message):
            self._tell(piece, flight, [1])
            return "it was changed on its way"
        if isinstance(message, SharesDone):
            self._name(piece, flight, message.altered)
        return REASON_QUARANTINED if self._c.links.condemned_link(sources_of(trails)) is not None else None

    def _came_unchanged(self, piece: Piece, message: RelayDone) -> bool:
        keys = self._c.books.take(piece, 0, piece.record.size_bytes)
        tail = self._c.books.tail(piece)
        mask = tail.take(TAG_KEY_BYTES, MASK_BYTES)
        try:
            expected = digest_of(keys, message.point, mask) if len(message.point) == MASK_BYTES else b""
            return SecretBits(expected) == SecretBits(message.digest)
        finally:
            for secret in (keys, tail, mask):
                secret.wipe()

    def _name(self, piece: Piece, flight: Flight, altered: tuple[SiteId, ...]) -> None:
        """Shares that the target found changed, by the neighbour that handed each over."""
        last = {self._between(way)[-1]: point for point, way in enumerate(flight.ways, 1) if len(way) > 1}
        for neighbour in altered:
            if neighbour in last:
                self._tell(piece, flight, [last[neighbour]])
            elif neighbour in self._c.network.sites:  # on no path of ours: it made the share up
                self._altered(piece, flight, (neighbour,), is_certain=True)

    def _tell(self, piece: Piece, flight: Flight, points: list[int]) -> None:
        if not points:
            return  # from before a restart of an older version
        suspects = tuple(site for point in points for site in self._between(flight.ways[point - 1]))
        self._altered(piece, flight, suspects, is_certain=len(points) == 1)

    def _altered(self, piece: Piece, flight: Flight, suspects: tuple[SiteId, ...], *, is_certain: bool) -> None:
        self._c.events.append(
            RelayAltered(
                relay=piece.record.piece,
                origin=self._c.site,
                target=flight.target,
                suspects=suspects,
                is_certain=is_certain,
            )
        )

    def _between(self, way: Way) -> list[SiteId]:
        return sites_along(self._c.network, self._c.site, way)[1:-1]

    def _release(
        self,
        relay: BlockId,
        flight: Flight,
        piece: Piece,
        message: RelayDone | SharesDone,
        trails: tuple[tuple[Trail, ...], ...],
        now_ns: int,
    ) -> None:
        network, site = self._c.network, self._c.site
        if isinstance(message, RelayDone):
            provenance = provenance_of_path(network, site, message.trail)
        else:
            threshold = network.relay_rule(site, flight.target).threshold
            provenance = provenance_of_shares(network, site, flight.ways, threshold, trails)
        self._c.books.confirm(piece, sources=sources_of(trails), provenance=provenance)
        self._flights.end(relay)
        self._paces[flight.target] = self._paces.get(flight.target, Pace()).sped_up(flight.key_count)
        self._c.events.append(
            RelayCompleted(
                relay=relay,
                target=flight.target,
                size_bits=8 * piece.record.size_bytes,
                links=provenance.links,
                duration_ns=now_ns - piece.record.made_ns,
                silent_paths=len(flight.ways) - len(trails),
            )
        )

    def on_failed(self, peer: SiteId, message: RelayFailed, now_ns: int) -> None:
        """A node on the way, or the target, gave up."""
        flight = self._flights.get(message.relay)
        if flight is None:
            return
        reason = f"{peer}: {message.reason[:200]}"
        if peer == flight.target:
            self._lose(message.relay, reason, now_ns)
            return
        points = {point for point, way in enumerate(flight.ways, 1) if peer in self._between(way)}
        if not points:
            raise RemoteProtocolError(f"{peer} gives up a relay that never went its way")
        flight.failed |= points
        if len(flight.ways) - len(flight.failed) < self._c.network.relay_rule(self._c.site, flight.target).threshold:
            # It may have lied, and passed the block on: what the target holds would lie there for ever.
            self._c.channel.post(flight.target, Gone(message.relay, "a node on the way gave up"))
            self._lose(message.relay, reason, now_ns)

    def _lose(self, relay: BlockId, reason: str, now_ns: int, fate: Fate = Fate.DESTROYED) -> None:
        flight, piece = self._flights.get(relay), self._c.books.pieces.get(relay)
        if piece is not None:
            self._c.books.drop(piece, fate)
        if flight is not None:
            self._paces.setdefault(flight.target, Pace()).slow_down(now_ns)
        self.forget(relay, reason)

    def forget(self, relay: BlockId, reason: str) -> None:
        flight = self._flights.end(relay)
        if flight is not None:
            self._c.events.append(RelayLost(relay=relay, target=flight.target, reason=reason))

    def sweep(self, now_ns: int) -> int | None:
        """Give up relays that nobody confirmed. Returns when the next one is due."""
        late, due_ns = self._flights.overdue(now_ns)
        for relay, flight in late:
            self._c.channel.post(flight.target, Gone(relay, "timed out"))
            self._lose(relay, "no confirmation in time", now_ns)
        return due_ns
