"""One-time pads and tag keys for one hop, cut from the link's key and spent on both ends alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Provenance, joined
from qanat.core.secret import SecretBits
from qanat.km.books import Books, Piece
from qanat.km.ledger import Fate
from qanat.km.messages import Range, Trail
from qanat.km.store import Source

TAG_KEY_BYTES = 32


class PadsGone(RemoteProtocolError):
    """The other end padded with key that this end no longer holds (quarantined or lost here)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pads:
    """A pad and a tag key: which bytes, and what they rest on."""

    tag_key: Range
    pads: tuple[Range, ...]
    trail: Trail

    @property
    def ranges(self) -> tuple[Range, ...]:
        """In the order in which both ends spend them."""
        return (self.tag_key, *self.pads)


@dataclass(frozen=True, slots=True, kw_only=True)
class PadBits:
    """The secrets of one hop. Wipe after use."""

    pad: SecretBits
    tag_key: SecretBits

    def wipe(self) -> None:
        self.pad.wipe()
        self.tag_key.wipe()


def planned(link: LinkId, pieces: Iterable[Piece], size_bytes: int) -> Pads | None:
    """Free ranges for one hop, oldest key first; None when there is too little. Changes nothing."""
    pads: list[Range] = []
    used: list[Piece] = []
    tag_key: Range | None = None
    missing = size_bytes
    for piece in pieces:
        offset = piece.offset
        if tag_key is None and piece.remaining_bytes >= TAG_KEY_BYTES:
            tag_key = Range(piece.record.piece, offset, TAG_KEY_BYTES)
            offset += TAG_KEY_BYTES
        part = min(missing, piece.record.size_bytes - offset)
        if part:
            pads.append(Range(piece.record.piece, offset, part))
            missing -= part
        if part or offset > piece.offset:
            used.append(piece)
        if tag_key is not None and not missing:
            return Pads(tag_key=tag_key, pads=tuple(pads), trail=trail_of(link, used))
    return None


def trail_of(link: LinkId, pieces: Iterable[Piece]) -> Trail:
    """What key from these pieces rests on: each block once."""
    sources: dict[Source, Provenance] = {
        source: piece.record.provenance for piece in pieces for source in piece.record.sources
    }
    parts = tuple(sources[source] for source in sorted(sources, key=lambda source: source.block))
    whole = joined(parts, ())
    provenance = Provenance(
        origin=whole.origin,
        links=(link,),
        authentication=whole.authentication,
        algorithms=whole.algorithms,
        epsilon_total=whole.epsilon_total,
        simulated=whole.simulated,
    )
    return Trail(link, tuple(sorted(sources, key=lambda source: source.block)), provenance)


def checked(books: Books, pads: Pads, link: LinkId, owner: SiteId, size_bytes: int) -> None:
    """The peer's ranges are free here, belong to it, and its trail says what we know of them.

    Raises:
        PadsGone: a piece is no longer here.
        RemoteProtocolError: anything else.
    """
    if pads.tag_key.size_bytes != TAG_KEY_BYTES or sum(pad.size_bytes for pad in pads.pads) != size_bytes:
        raise RemoteProtocolError("pad or tag key has the wrong size")
    ends: dict[str, int] = {}
    used: list[Piece] = []
    for part in pads.ranges:
        piece = books.pieces.get(part.piece)
        if piece is None:
            raise PadsGone(f"piece {part.piece} is not held here")
        if piece.record.account != link or piece.record.owner != owner:
            raise RemoteProtocolError(f"piece {part.piece} is not {owner}'s to spend")
        if (
            not part.size_bytes
            or part.offset < ends.get(part.piece, piece.offset)
            or part.offset + part.size_bytes > piece.record.size_bytes
        ):
            raise RemoteProtocolError(f"bytes {part.offset}+{part.size_bytes} of piece {part.piece} are spent already")
        ends[part.piece] = part.offset + part.size_bytes
        used.append(piece)
    if trail_of(link, used) != pads.trail:
        raise RemoteProtocolError(f"the trail of link {link} does not name what its pads rest on")


def read(books: Books, pads: Pads) -> PadBits:
    """The secrets of these ranges; ``spend`` them in the same transaction."""

    def taken(part: Range) -> bytes:
        bits = books.take(books.pieces[part.piece], part.offset, part.size_bytes)
        data = bits.reveal()  # joined with its neighbours below; stays inside this function
        bits.wipe()
        return data

    return PadBits(pad=SecretBits(b"".join(taken(part) for part in pads.pads)), tag_key=SecretBits(taken(pads.tag_key)))


def spend(books: Books, pads: Pads) -> None:
    """These bytes are never used again at this end."""
    # One step per piece: a left-over too short for a key is destroyed after the last range, not between two.
    spans: dict[BlockId, tuple[int, int]] = {}
    for part in pads.ranges:
        start, _ = spans.get(part.piece, (part.offset, 0))
        spans[part.piece] = (start, part.offset + part.size_bytes)
    for name, (start, end) in spans.items():
        books.advance(books.pieces[name], start, end - start, Fate.SPENT)
