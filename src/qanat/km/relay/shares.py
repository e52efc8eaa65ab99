"""The target of a relay that came in shares: kept until enough fit together, then stored as one block, then confirmed.

One share per neighbour and block, since the hop's tag says who handed it over and paths that share no node end in
different neighbours: a liar can spoil his own share and no other. When all came, or some time after enough did, they
are put together; the shares are spent, the block is made. Until then a share is a piece of the account
``share/<origin>``, durable like everything else, and given out by nobody.
"""

from __future__ import annotations

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, SiteId
from qanat.core.provenance import joined
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.crypto.one_time_pad import seal_hop
from qanat.crypto.shared_block import Joined, SharesDisagree, block_from_shares
from qanat.km.books import Piece
from qanat.km.context import Context, relay_account, share_account
from qanat.km.events import RelayAltered
from qanat.km.ledger import Fate
from qanat.km.messages import HopHeader, RelayFailed, ShareCame, SharesDone, encoded, header_from_bytes
from qanat.km.relay.trails import (
    CONFIRM_BYTES,
    NOTHING,
    TAG_KEY_BYTES,
    provenance_of_shares,
    share_context,
    signed_words,
    sites_along,
    sources_of,
)
from qanat.km.store import PieceRecord, PieceState

GRACE_NS = 500 * NS_PER_MS  # for the last shares, once enough came: only all together can name who changed one
LIFE_NS = 60 * NS_PER_S  # the origin gives up after 5 s and says so; this is for an origin that lost its store

Held = list[tuple[Piece, HopHeader]]


class Shares:
    """Shares of blocks that are not complete yet."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self._headers: dict[BlockId, HopHeader] = {
            BlockId(name): header_from_bytes(value) for (kind, name), value in facts.items() if kind == "share"
        }

    def arrive(self, peer: SiteId, header: HopHeader, payload: SecretBits, now_ns: int) -> None:
        """One share came to its end.

        Raises:
            RemoteProtocolError: the neighbour hands over a second share of one block.
        """
        books, name = self._c.books, BlockId(f"{header.relay}/{peer}")
        held = self._held(header.relay)
        if books.has_seen(header.relay) and not held:
            return  # given up, or put together without it
        if name in books.pieces:
            raise RemoteProtocolError(f"{peer} hands over a second share of {header.relay}")
        account = share_account(header.origin)
        if books.booked_bits(account) + 8 * payload.size_bytes > self._c.network.policy.store_bits_max:
            self._c.channel.post(header.origin, RelayFailed(header.relay, "the target's store is full"))
            return
        books.add(self._record(name, header, now_ns), payload)
        self._headers[name] = header
        self._c.store.put_fact("share", name, encoded(header))
        held = self._held(header.relay)
        assert header.share is not None
        if len(held) >= max(len(h.share.ways) for _, h in held if h.share is not None):
            self._join(held, now_ns, is_last_chance=False)

    def _record(self, name: BlockId, header: HopHeader, now_ns: int) -> PieceRecord:
        return PieceRecord(
            piece=name,
            parent=header.relay,
            account=share_account(header.origin),
            peer=header.origin,
            owner=header.origin,
            size_bytes=header.size_bytes,
            state=PieceState.WAITING,
            sources=sources_of((header.trail,)),
            provenance=joined(
                tuple(hop.provenance for hop in header.trail),
                tuple(sites_along(self._c.network, header.origin, header.route)[1:-1]),
            ),
            made_ns=now_ns,
        )

    def _held(self, relay: BlockId) -> Held:
        found = [(piece, self._headers.get(piece.record.piece)) for piece in self._c.books.of_parent(relay)]
        return [(piece, header) for piece, header in found if header is not None]

    def sweep(self, now_ns: int) -> int | None:
        """Put together what waited long enough, give up what waited too long. Returns when the next is due."""
        for name in [name for name in self._headers if name not in self._c.books.pieces]:
            self._forget(name)  # quarantined, or given up by its origin
        due: list[int] = []
        for relay in {header.relay: None for header in self._headers.values()}:
            held = self._held(relay)
            at_ns = self._due_ns(held)
            if now_ns < at_ns:
                due.append(at_ns)
            elif len(held) >= self._threshold(held[0][1]):
                self._join(held, now_ns, is_last_chance=True)
            else:
                self._drop(held, Fate.DESTROYED)
        return min(due, default=None)

    def _due_ns(self, held: Held) -> int:
        made = sorted(piece.record.made_ns for piece, _ in held)
        threshold = self._threshold(held[0][1])
        return made[threshold - 1] + GRACE_NS if len(made) >= threshold else made[0] + LIFE_NS

    def _threshold(self, header: HopHeader) -> int:
        return self._c.network.relay_rule(header.origin, header.target).threshold

    # --- putting together

    def _join(self, held: Held, now_ns: int, *, is_last_chance: bool) -> None:
        """Liars below the threshold cannot make up a group of their own, so groups that agree are tried one by one."""
        groups: dict[tuple[bytes, int], Held] = {}
        for piece, header in held:
            groups.setdefault((share_context(header), header.size_bytes), []).append((piece, header))
        for (context, _), group in groups.items():
            threshold = self._threshold(group[0][1])
            if len(group) < threshold:
                continue
            try:
                found = self._joined(group, threshold, context)
            except SharesDisagree:
                continue
            self._store(held, group, found, now_ns)
            return
        if is_last_chance:
            self._refuse(held)

    def _joined(self, group: Held, threshold: int, context: bytes) -> Joined:
        shares = [self._c.books.take(piece, 0, piece.record.size_bytes) for piece, _ in group]
        try:
            points = [header.share.point for _, header in group if header.share is not None]
            return block_from_shares(points, shares, threshold=threshold, context=context)
        finally:
            for share in shares:
                share.wipe()

    def _store(self, held: Held, group: Held, found: Joined, now_ns: int) -> None:
        header = group[0][1]
        sound = [h for index, (_, h) in enumerate(group) if index not in found.altered | found.doubtful]
        sound_names = {f"{h.relay}/{self._neighbour(h)}" for h in sound}
        altered = tuple(
            self._neighbour(h)
            for index, (_, h) in enumerate(held)
            if f"{h.relay}/{self._neighbour(h)}" not in sound_names and not self._is_doubtful(h, group, found)
        )
        size_bytes = found.block.size_bytes - CONFIRM_BYTES
        keys, tag_key = found.block.take(0, size_bytes), found.block.take(size_bytes, TAG_KEY_BYTES)
        for piece, h in held:
            if any(h is each for each in sound):
                self._c.books.confirm(piece)  # what fits is what the other end sent; from here it may be used, once
        self._drop(held, Fate.SPENT)
        self._c.books.add(self._whole(header, size_bytes, sound, now_ns), keys)
        came = tuple(ShareCame(h.share.point, h.trail) for h in sound if h.share is not None)
        said = SharesDone(header.relay, came, altered, b"")
        tag = seal_hop(NOTHING, NOTHING, tag_key, signed_words(said))
        for secret in (keys, tag_key, found.block):
            secret.wipe()
        self._c.channel.post(header.origin, SharesDone(said.relay, said.came, said.altered, tag))
        for neighbour in altered:
            self._tell(header, self._path_through(header, neighbour), is_certain=True)

    @staticmethod
    def _is_doubtful(header: HopHeader, group: Held, found: Joined) -> bool:
        return any(other is header for index, (_, other) in enumerate(group) if index in found.doubtful)

    def _whole(self, header: HopHeader, size_bytes: int, sound: list[HopHeader], now_ns: int) -> PieceRecord:
        assert header.share is not None
        trails = [h.trail for h in sound]
        return PieceRecord(
            piece=header.relay,
            parent=header.relay,
            account=relay_account(header.origin),
            peer=header.origin,
            owner=header.origin,
            size_bytes=size_bytes,
            state=PieceState.READY,
            sources=sources_of(trails),
            provenance=provenance_of_shares(
                self._c.network, header.origin, header.share.ways, header.share.threshold, trails
            ),
            made_ns=now_ns,
        )

    def _refuse(self, held: Held) -> None:
        """Too many were changed to say by whom: more than the spare ones."""
        header = held[0][1]
        suspects = tuple(dict.fromkeys(site for _, h in held for site in self._between(h)))
        self._drop(held, Fate.DESTROYED)
        self._c.channel.post(header.origin, RelayFailed(header.relay, "the shares do not fit together"))
        self._tell(header, suspects, is_certain=False)

    # --- who

    def _between(self, header: HopHeader) -> list[SiteId]:
        return sites_along(self._c.network, header.origin, header.route)[1:-1]

    def _neighbour(self, header: HopHeader) -> SiteId:
        """Who handed it over: ``hops.py`` held the route against that."""
        return self._between(header)[-1]

    def _path_through(self, header: HopHeader, neighbour: SiteId) -> tuple[SiteId, ...]:
        """The sites of the true path that ends at this neighbour; him alone where none does: he made the share up."""
        assert header.share is not None
        for way in header.share.ways:
            between = sites_along(self._c.network, header.origin, way)[1:-1]
            if between[-1] == neighbour:
                return tuple(between)
        return (neighbour,)

    def _tell(self, header: HopHeader, suspects: tuple[SiteId, ...], *, is_certain: bool) -> None:
        self._c.events.append(
            RelayAltered(
                relay=header.relay,
                origin=header.origin,
                target=header.target,
                suspects=suspects,
                is_certain=is_certain,
            )
        )

    def _drop(self, held: Held, fate: Fate) -> None:
        for piece, header in held:
            # A share that does not fit was of no use: it is destroyed, whatever becomes of the others.
            is_used = fate is not Fate.SPENT or piece.record.state is PieceState.READY
            self._c.books.drop(piece, fate if is_used else Fate.DESTROYED)
            self._forget(BlockId(f"{header.relay}/{self._neighbour(header)}"))

    def _forget(self, name: BlockId) -> None:
        del self._headers[name]
        self._c.store.put_fact("share", name, None)
