"""The origin of relays: keeps a buffer of keys for every site that demands pair this one with."""

from __future__ import annotations

import uuid

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.secret import SecretBits
from qanat.core.trust import RelayRule
from qanat.crypto.shared_block import CHECK_BYTES, shares_from_block
from qanat.km import pads as pads_
from qanat.km.context import Context, relay_account
from qanat.km.messages import (
    HopHeader,
    Share,
    Trail,
)
from qanat.km.relay.flights import FLIGHTS_MAX, KEYS_MIN, Flight, Flights, Pace
from qanat.km.relay.sending import emit
from qanat.km.relay.trails import (
    CONFIRM_BYTES,
    Way,
    check_way,
    check_ways,
    name_of_relay,
    provenance_of_path,
    provenance_of_shares,
    share_context,
    sites_along,
    sources_of,
)
from qanat.km.store import PieceRecord, PieceState

Planned = list[tuple[int, Way, pads_.Pads]]  # point, path, pads of its first hop


class Origin:
    """Decides what to relay. What the far end answers: ``answers.py``."""

    def __init__(
        self, context: Context, facts: dict[tuple[str, str], bytes], flights: Flights, paces: dict[SiteId, Pace]
    ) -> None:
        self._c = context
        self.ways: dict[SiteId, tuple[Way, ...]] = {
            SiteId(name): msgspec.msgpack.decode(value, type=tuple[tuple[LinkId, ...], ...])
            for (kind, name), value in facts.items()
            if kind == "ways"
        }
        pairs = [pair for pair in context.network.km_pairs() if context.site in pair]
        self.targets = [b if a == context.site else a for a, b in pairs]
        self._paces = paces
        self._flights = flights
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
