"""Which bytes a Get key would use, for all its slave sites or for none. Planning changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.core.ids import LinkId, SiteId
from qanat.core.provenance import Origin
from qanat.km import pads as pads_
from qanat.km.books import Cut, Piece
from qanat.km.context import Context
from qanat.km.copies import Plan
from qanat.km.documents import MANDATORY_UNMET, KeyDeliveryError
from qanat.km.extensions import ANY, ROUTE_TYPES, Wishes
from qanat.km.local import LOCAL_PROVENANCE, refill_local
from qanat.km.relay import Relay
from qanat.km.supply import Supply

RETRY_AFTER_MS = 1000


@dataclass(slots=True)
class Ask:
    """One Get key: for slaves at which sites, how much, and of what kind."""

    sites: tuple[SiteId, ...]
    size_bytes: int
    count: int
    wishes: Wishes
    now_ns: int


class Reserving:
    """Finds key for a request."""

    def __init__(self, context: Context, supply: Supply, relay: Relay) -> None:
        self._c, self._supply, self._relay = context, supply, relay

    def plan(self, ask: Ask) -> Plan:
        """Cuts for the lead site and a pad for every other slave site.

        Raises:
            KeyDeliveryError: 503 not enough for some site now, 400 never of the kind that must be.
        """
        lead = self._lead(ask)
        cuts = self._cuts(lead, ask, ask.wishes)
        if lead == self._c.site and len(cuts) < ask.count and ask.wishes.accept(LOCAL_PROVENANCE):
            refill_local(self._c, self._supply, ask.now_ns, ask.size_bytes * ask.count)
            cuts = self._cuts(lead, ask, ask.wishes)
        if len(cuts) < ask.count:
            raise self._shortage(lead, ask, len(cuts))
        plan = Plan(lead, cuts, {}, [piece for piece, _ in cuts])
        for site in self._padded(ask):
            pads, used = self._pads(site, ask, ask.wishes)
            if pads is None:
                raise self._shortage(site, ask, self._pad_count(site, ask))
            plan.pads[site] = pads
            plan.used.extend(used)
        return plan

    def can_meet(self, ask: Ask, wishes: Wishes) -> bool:
        """Is there enough of this kind now?"""
        lead = self._lead(ask)
        if lead == self._c.site:
            return wishes.accept(LOCAL_PROVENANCE)  # drawn on demand
        is_enough = len(self._cuts(lead, ask, wishes)) == ask.count
        return is_enough and all(self._pads(site, ask, wishes)[0] is not None for site in self._padded(ask))

    def _lead(self, ask: Ask) -> SiteId:
        """The first slave site that is not ours; ours when all slaves are here."""
        return next((site for site in ask.sites if site != self._c.site), self._c.site)

    def _padded(self, ask: Ask) -> list[SiteId]:
        lead = self._lead(ask)
        return [site for site in ask.sites if site not in (lead, self._c.site)]

    def _fits(self, piece: Piece, wishes: Wishes, now_ns: int) -> bool:
        return wishes.accept(piece.record.provenance, now_ns - piece.record.made_ns)

    def _cuts(self, site: SiteId, ask: Ask, wishes: Wishes) -> list[Cut]:
        pieces = (piece for account in self._c.accounts_to(site) for piece in self._c.books.ready(site, account))
        if wishes is ANY:
            return self._c.books.plan(pieces, ask.size_bytes, ask.count)
        return self._c.books.plan(
            pieces, ask.size_bytes, ask.count, lambda piece: self._fits(piece, wishes, ask.now_ns)
        )

    def _pads(self, site: SiteId, ask: Ask, wishes: Wishes) -> tuple[pads_.Pads | None, list[Piece]]:
        """From one account alone: the slave site finds its end of a pad by the account of its pieces."""
        for account in self._c.accounts_to(site):
            pieces = [piece for piece in self._c.books.ready(site, account) if self._fits(piece, wishes, ask.now_ns)]
            pads = pads_.planned(LinkId(account), pieces, ask.size_bytes * ask.count)
            if pads is not None:
                names = {part.piece for part in pads.ranges}
                return pads, [piece for piece in pieces if piece.record.piece in names]
        return None, []

    def _pad_count(self, site: SiteId, ask: Ask) -> int:
        held = [
            sum(
                piece.remaining_bytes
                for piece in self._c.books.ready(site, account)
                if self._fits(piece, ask.wishes, ask.now_ns)
            )
            for account in self._c.accounts_to(site)
        ]
        return min(ask.count - 1, max(0, max(held, default=0) - pads_.TAG_KEY_BYTES) // ask.size_bytes)

    def _shortage(self, site: SiteId, ask: Ask, available: int) -> KeyDeliveryError:
        if not self._is_possible(site, ask.wishes):
            return KeyDeliveryError(400, MANDATORY_UNMET)
        details = [{"available": available, "requested": ask.count, "retry_after_ms": RETRY_AFTER_MS}]
        pair = "this pair of SAEs" if len(ask.sites) == 1 else "every pair of SAEs"
        message = f"not enough keys of {8 * ask.size_bytes} bits are stored for {pair}"
        return KeyDeliveryError(503, message, details, RETRY_AFTER_MS)

    def _is_possible(self, site: SiteId, wishes: Wishes) -> bool:
        """Such keys may come one day, by links and routes as they are now."""
        if site == self._c.site:
            return wishes.accept(LOCAL_PROVENANCE)
        if Origin.QKD not in wishes.origins:
            return False
        has_link = bool(self._c.network.links_between(self._c.site, site))
        has_relay = len(self._relay.routes.get(site, ())) > 1
        is_open = wishes.route_types == ROUTE_TYPES  # no wish at all: a missing route is a matter of time
        return (
            is_open
            or ("direct" in wishes.route_types and has_link)
            or ("relayed" in wishes.route_types and (has_relay or not has_link))
        )
