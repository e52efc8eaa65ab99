"""Every bit's way through one KME: pieces come in, their bytes go out once, the ledger follows.

The owner of a piece gives its bytes out from first to last. Its peer hears of each range in the same order
(``channel.py``), so one offset per piece and end is all that must agree, and a byte before the offset is
never used again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from qanat.core.errors import LocalProtocolError
from qanat.core.ids import BlockId, KeyId, SaeId, SiteId
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_S
from qanat.km.ledger import Fate, Ledger
from qanat.km.lifecycle import PIECE_STATES, KeyEvent, KeyState, after, check_step
from qanat.km.store import GrantRecord, PieceRecord, PieceState, Snapshot, Store

# Names of blocks that may not come back. A relay or block lives for minutes; at ten a second this is hours.
SEEN_MAX = 100_000
# A slave must have time to fetch what its master got, and clocks differ: so long before its end a key is given to no
# master any more. A tenth of the lifetime, at most this.
GIVE_MARGIN_NS_MAX = 600 * NS_PER_S
EXPIRED_MAX = 10_000  # key IDs whose slave still reads "expired" rather than "not found"; forgotten by a restart


class Piece:
    """One stored piece in memory."""

    __slots__ = ("_bits", "extension", "grants", "offset", "record")

    def __init__(self, record: PieceRecord, offset: int) -> None:
        self.record = record
        self.offset = offset
        self.grants: set[KeyId] = set()
        self.extension: dict[str, Any] | None = None  # what answers say of its keys, once one was given
        self._bits: SecretBits | None = None

    @property
    def remaining_bytes(self) -> int:
        return self.record.size_bytes - self.offset

    @property
    def state(self) -> KeyState:
        """Of the bytes that nobody was given yet."""
        return PIECE_STATES[self.record.state]

    def bits(self, store: Store) -> SecretBits:
        """The piece's bits, read from the store once; the piece owns them."""
        if self._bits is None:
            self._bits = store.read_bits(self.record.piece)
        return self._bits

    def wipe(self) -> None:
        if self._bits is not None:
            self._bits.wipe()
            self._bits = None


Cut = tuple[Piece, int]  # a piece and the offset at which a key begins


class Books:
    """Pieces, grants and the ledger of one KME."""

    def __init__(self, site: SiteId, store: Store, snapshot: Snapshot, *, left_over_bytes: int, ttl_ns: int) -> None:
        """
        Args:
            ttl_ns: Lifetime of a piece whose record names no end.
            left_over_bytes: A piece with fewer bytes left is used up: the rest is destroyed, or pieces too
                short for a key of the default size would fill the store.
        """
        self._left_over_bytes = left_over_bytes
        self._ttl_ns = ttl_ns
        self._give_margin_ns = min(ttl_ns // 10, GIVE_MARGIN_NS_MAX)
        self.next_expiry_ns: int | None = None
        self._expired: OrderedDict[KeyId, tuple[SaeId, ...]] = OrderedDict()
        self._site = site
        self._store = store
        self.ledger = Ledger(store, snapshot)
        self.pieces: dict[BlockId, Piece] = {}
        self.grants: dict[KeyId, GrantRecord] = {}
        self._parents: dict[BlockId, list[BlockId]] = {}
        self._pools: dict[tuple[SiteId, str], dict[BlockId, Piece]] = {}
        self._seen: dict[BlockId, None] = dict.fromkeys(snapshot.seen)
        for record, offset in snapshot.pieces:
            self._index(Piece(record, offset))
        for grant in snapshot.grants:
            self.grants[grant.key_id] = grant
            self.pieces[grant.piece].grants.add(grant.key_id)

    def _index(self, piece: Piece) -> None:
        record = piece.record
        self.pieces[record.piece] = piece
        self._parents.setdefault(record.parent, []).append(record.piece)
        if record.owner == self._site:
            self._pools.setdefault((record.peer, record.account), {})[record.piece] = piece
        self._note_expiry(piece)

    # --- what is there

    def has_seen(self, parent: BlockId) -> bool:
        return parent in self._seen

    def mark_seen(self, parent: BlockId) -> None:
        """This name never comes in again."""
        if parent in self._seen:
            return
        self._seen[parent] = None
        self._store.put_seen(parent)
        if len(self._seen) > SEEN_MAX:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            self._store.delete_seen(oldest)

    def of_parent(self, parent: BlockId) -> list[Piece]:
        return [self.pieces[name] for name in self._parents.get(parent, ())]

    def ready(self, peer: SiteId, account: str) -> Iterator[Piece]:
        """Pieces that this site may give out now, oldest first. Give nothing out before the last is taken."""
        pool = self._pools.get((peer, account), {})
        return (piece for piece in pool.values() if piece.record.state is PieceState.READY)

    def held_bytes(self, account: str) -> int:
        """Bytes of an account in the store, granted but unfetched ones included; from the pieces, not the ledger."""
        return sum(self.held_of(piece) for piece in self.pieces.values() if piece.record.account == account)

    def booked_bits(self, account: str) -> int:
        """Bits of an account that must still be held, by the ledger: no walk over the pieces."""
        row = self.ledger.accounts.get(account)
        return row.held if row is not None else 0

    def held_of(self, piece: Piece) -> int:
        return piece.remaining_bytes + sum(self.grants[key_id].size_bytes for key_id in piece.grants)

    # --- coming in

    def add(self, record: PieceRecord, bits: SecretBits) -> None:
        """Store a new piece. ``bits`` may be longer than the piece: the rest is not given out as key."""
        if record.expires_ns is None:
            record = replace(record, expires_ns=record.made_ns + self._ttl_ns)
        self._store.put_piece(record, bits)
        self.mark_seen(record.parent)
        self._index(Piece(record, 0))
        self.ledger.add(record.account, Fate.MADE, record.size_bytes)

    def confirm(self, piece: Piece, **changes: object) -> None:
        """The other end holds it too: it may be given out."""
        after(piece.state, KeyEvent.CONFIRM)
        piece.extension = None
        piece.record = replace(piece.record, state=PieceState.READY, **changes)  # type: ignore[arg-type]
        self._store.update_piece(piece.record)

    # --- going out

    def plan(
        self, pieces: Iterable[Piece], size_bytes: int, count: int, fits: Callable[[Piece], bool] | None = None
    ) -> list[Cut]:
        """Where up to ``count`` keys would be cut, one ``advance`` or ``grant`` each; changes nothing."""
        cuts: list[Cut] = []
        for piece in pieces:
            if fits is not None and not fits(piece):
                continue
            # A key that leaves too little behind uses the piece up at both ends: it is the last one there.
            before_the_last = max(0, piece.remaining_bytes - self._left_over_bytes) // size_bytes
            whole = min(count - len(cuts), piece.remaining_bytes // size_bytes, before_the_last + 1)
            cuts += [(piece, piece.offset + index * size_bytes) for index in range(whole)]
            if len(cuts) == count:
                break
        return cuts

    def take(self, piece: Piece, offset: int, size_bytes: int) -> SecretBits:
        """A copy of a range; ``advance`` beyond it in the same transaction."""
        return piece.bits(self._store).take(offset, size_bytes)

    def tail(self, piece: Piece) -> SecretBits:
        """What was stored behind the piece's own bytes."""
        bits = piece.bits(self._store)
        return bits.take(piece.record.size_bytes, bits.size_bytes - piece.record.size_bytes)

    def advance(self, piece: Piece, offset: int, size_bytes: int, fate: Fate | None) -> None:
        """The bytes up to ``offset + size_bytes`` are used; a gap before ``offset`` is lost.

        Args:
            fate: Of the range; None when it stays held as a grant.
        """
        if offset < piece.offset or offset + size_bytes > piece.record.size_bytes:
            raise LocalProtocolError(f"{offset}+{size_bytes} is not free in piece {piece.record.piece}")
        check_step(piece.state, KeyState.GRANTED if fate is None else KeyState(fate.value))
        lost = offset - piece.offset
        piece.offset = offset + size_bytes
        if piece.remaining_bytes < self._left_over_bytes:
            lost += piece.remaining_bytes
            piece.offset = piece.record.size_bytes
        if fate is not None:
            self.ledger.add(piece.record.account, fate, size_bytes)
        self.ledger.add(piece.record.account, Fate.DESTROYED, lost)
        self._store.set_offset(piece.record.piece, piece.offset)
        self._erase_if_used(piece)

    def grant(self, grant: GrantRecord) -> None:
        """A range now belongs to one slave at this site."""
        piece = self.pieces[grant.piece]
        piece.grants.add(grant.key_id)
        self.grants[grant.key_id] = grant
        self._store.put_grant(grant)
        self.advance(piece, grant.offset, grant.size_bytes, None)

    def fetched(self, key_id: KeyId, sae: SaeId) -> None:
        """One of its slaves has the key; the last one ends the grant."""
        grant = self.grants[key_id]
        if grant.waiting == (sae,):
            self.settle(key_id, Fate.DELIVERED)
            return
        self.grants[key_id] = replace(grant, fetched=(*grant.fetched, sae))
        self._store.put_grant(self.grants[key_id])

    def settle(self, key_id: KeyId, fate: Fate) -> None:
        """A granted key was fetched by the last of its slaves or is given up.

        Bits that one of several slaves has did leave: they count as delivered whatever became of the others.
        """
        grant = self.grants.pop(key_id)
        if grant.fetched:
            fate = Fate.DELIVERED
        check_step(KeyState.GRANTED, KeyState(fate.value))
        piece = self.pieces[grant.piece]
        if fate is Fate.EXPIRED:
            self._expired[key_id] = grant.waiting
            if len(self._expired) > EXPIRED_MAX:
                self._expired.popitem(last=False)
        piece.grants.discard(key_id)
        self._store.delete_grant(key_id)
        self.ledger.add(piece.record.account, fate, grant.size_bytes)
        self._erase_if_used(piece)

    def drop(self, piece: Piece, fate: Fate) -> int:
        """Give up a piece with all its unfetched grants.

        Returns:
            Bytes that met this fate.
        """
        size_bytes = self.held_of(piece)
        self.drop_rest(piece, fate)
        for key_id in list(piece.grants):
            self.settle(key_id, fate)
        return size_bytes

    def drop_rest(self, piece: Piece, fate: Fate) -> None:
        """Give up what is not granted yet."""
        check_step(piece.state, KeyState(fate.value))
        self.ledger.add(piece.record.account, fate, piece.remaining_bytes)
        piece.offset = piece.record.size_bytes
        self._store.set_offset(piece.record.piece, piece.offset)
        self._erase_if_used(piece)

    def _erase_if_used(self, piece: Piece) -> None:
        name = piece.record.piece
        if piece.grants or piece.remaining_bytes or name not in self.pieces:
            return
        self._store.delete_piece(name)
        piece.wipe()
        del self.pieces[name]
        siblings = self._parents[piece.record.parent]
        siblings.remove(name)
        if not siblings:
            del self._parents[piece.record.parent]
        self._pools.get((piece.record.peer, piece.record.account), {}).pop(name, None)

    # --- its time

    def expires_ns(self, piece: Piece) -> int:
        """When the piece ends: both sites hold the same instant once each has told its own."""
        expires_ns = piece.record.expires_ns
        return piece.record.made_ns + self._ttl_ns if expires_ns is None else expires_ns

    def agree_expiry(self, piece: Piece, expires_ns: int) -> None:
        """The other end named this instant; the earlier one holds."""
        if expires_ns < self.expires_ns(piece):
            piece.record = replace(piece.record, expires_ns=expires_ns)
            self._store.update_piece(piece.record)
            self._note_expiry(piece)

    def was_expired(self, key_id: KeyId, slave: SaeId) -> bool:
        """This slave might have fetched the key, but came too late."""
        return slave in self._expired.get(key_id, ())

    def expire(self, now_ns: int) -> list[tuple[PieceRecord, int, bool]]:
        """Erase what has come to its end.

        Returns:
            Record, bytes and whether the piece went with its grants: of each piece that lost something. Else its
            owner only gives nothing more of it to masters.
        """
        gone: list[tuple[PieceRecord, int, bool]] = []
        for piece in list(self.pieces.values()):
            if now_ns >= self.expires_ns(piece):
                gone.append((piece.record, self.drop(piece, Fate.EXPIRED), True))
            elif now_ns >= self._due_ns(piece):
                gone.append((piece.record, piece.remaining_bytes, False))
                self.drop_rest(piece, Fate.EXPIRED)
        self.next_expiry_ns = None
        for piece in self.pieces.values():
            self._note_expiry(piece)
        return gone

    def _due_ns(self, piece: Piece) -> int:
        margin_ns = self._give_margin_ns if piece.record.owner == self._site and piece.remaining_bytes else 0
        return self.expires_ns(piece) - margin_ns

    def _note_expiry(self, piece: Piece) -> None:
        due_ns = self._due_ns(piece)
        if self.next_expiry_ns is None or due_ns < self.next_expiry_ns:
            self.next_expiry_ns = due_ns
