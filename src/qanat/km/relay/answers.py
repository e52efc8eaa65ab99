"""What the far end, and nodes on the way, say of a relay: nothing is given out before it all fits."""

from __future__ import annotations

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, SiteId
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import open_hop
from qanat.km.books import Piece
from qanat.km.context import Context
from qanat.km.events import RelayAltered, RelayCompleted, RelayLost
from qanat.km.ledger import Fate
from qanat.km.messages import REASON_QUARANTINED, Gone, Have, RelayDone, RelayFailed, SharesDone, Trail
from qanat.km.relay.flights import Flight, Flights, Pace
from qanat.km.relay.trails import (
    MASK_BYTES,
    NOTHING,
    TAG_KEY_BYTES,
    Way,
    digest_of,
    provenance_of_path,
    provenance_of_shares,
    signed_words,
    sites_along,
    sources_of,
)


class Answers:
    """Confirmations and failures of one origin's relays.

    Args:
        flights, paces: Shared with ``Origin``.
    """

    def __init__(self, context: Context, flights: Flights, paces: dict[SiteId, Pace]) -> None:
        self._c = context
        self._flights = flights
        self._paces = paces

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
            fate = Fate.COMPROMISED if reason == REASON_QUARANTINED else Fate.DESTROYED
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
        self._c.channel.post(flight.target, Have(relay, piece.record.size_bytes, self._c.books.expires_ns(piece)))
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
