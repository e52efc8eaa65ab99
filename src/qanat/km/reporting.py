"""How a KME counts itself: the ``StoreReport`` of one instant. Reads only."""

from __future__ import annotations

from collections.abc import Iterable

from qanat.core.ids import LinkId, SiteId
from qanat.km.books import Piece
from qanat.km.context import Context, relay_account
from qanat.km.ledger import Account
from qanat.km.relay import Relay
from qanat.km.report import AccountReport, LinkStoreReport, PairReport, StoreReport
from qanat.km.store import PieceState


class Reporting:
    """The part of a KME that counts."""

    def __init__(self, context: Context, relay: Relay) -> None:
        self._c = context
        self._relay = relay

    def report(self, now_ns: int, *, burned_total: int, revision: int) -> StoreReport:
        books = self._c.books
        held = dict.fromkeys(books.ledger.accounts, 0)
        for piece in books.pieces.values():
            held[piece.record.account] += books.held_of(piece)
        peers = sorted({self._c.site, *self._relay.targets, *(piece.record.peer for piece in books.pieces.values())})
        return StoreReport(
            site=self._c.site,
            at_ns=now_ns,
            pairs=tuple(self._pair(peer) for peer in peers),
            links=tuple(self._link(link.id, held) for link in self._c.network.links_at(self._c.site)),
            accounts=tuple(_account(name, row, held[name]) for name, row in sorted(books.ledger.accounts.items())),
            burned_total=burned_total,
            revision=revision,
        )

    def _pair(self, peer: SiteId) -> PairReport:
        books, size_bytes = self._c.books, self._c.key_bytes
        here = [piece for piece in books.pieces.values() if piece.record.peer == peer]
        relayed = _keys(books.ready(peer, relay_account(peer)), size_bytes)
        stored = self._relay.stored_count(peer)
        return PairReport(
            peer=peer,
            stored_keys=stored,
            stored_keys_direct=stored - relayed,
            stored_keys_relayed=relayed,
            incoming_keys=_keys((piece for piece in here if _is_incoming(piece, self._c.site)), size_bytes),
            granted_keys=sum(len(piece.grants) for piece in here),
            route=self._relay.routes.get(peer, ()),
            relays_in_flight=self._relay.flights_to(peer),
            messages_waiting=self._c.channel.waiting_count(peer),
        )

    def _link(self, name: LinkId, held: dict[str, int]) -> LinkStoreReport:
        peer = self._c.network.links[name].other_end(self._c.site)
        state = self._c.links.state(name)
        return LinkStoreReport(
            link=name,
            peer=peer,
            held_bits=8 * held.get(name, 0),
            held_bits_own=8 * sum(piece.remaining_bytes for piece in self._c.books.ready(peer, name)),
            is_paused=state.is_paused,
            is_condemned=any(until is None for _, until in state.condemned),
        )


def _keys(pieces: Iterable[Piece], size_bytes: int) -> int:
    return sum(piece.remaining_bytes // size_bytes for piece in pieces)


def _account(name: str, row: Account, held_bytes: int) -> AccountReport:
    return AccountReport(
        account=name,
        held_bits=8 * held_bytes,
        made_bits=row.made,
        delivered_bits=row.delivered,
        spent_bits=row.spent,
        expired_bits=row.expired,
        compromised_bits=row.compromised,
        destroyed_bits=row.destroyed,
    )


def _is_incoming(piece: Piece, site: SiteId) -> bool:
    """A key that the other end gives out; shares of keys wait, and are none."""
    return piece.record.owner != site and piece.record.state is PieceState.READY
