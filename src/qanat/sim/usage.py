"""Which bytes of which piece were used for what, network-wide: keys given to masters, pads and tag keys of hops."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from qanat.core.ids import BlockId, KeyId, LinkId, SaeId, SiteId
from qanat.km.messages import Grant, HopHeader, Range
from qanat.sim.invariants import Invariant, InvariantBroken


@dataclass(frozen=True, slots=True)
class GivenKey:
    """Where a key was cut from, and for whom."""

    site: SiteId
    piece: BlockId
    offset: int
    size_bytes: int
    master: SaeId
    slave: SaeId


@dataclass(slots=True)
class RelayPath:
    """What a relayed block, or one share of it, truly went over, as the hops show it.

    Attributes:
        senders: Origin first, then every site that passed it on.
        pieces: That its pads and tag keys came from, per hop.
        threshold, count: Shares needed and sent; 1 of 1 where the block itself went.
    """

    threshold: int = 1
    count: int = 1
    senders: list[SiteId] = field(default_factory=list)
    links: list[LinkId] = field(default_factory=list)
    pieces: list[tuple[BlockId, ...]] = field(default_factory=list)


class Usage:
    """Every use of key bytes that any site ever committed."""

    def __init__(self) -> None:
        self.keys: dict[KeyId, GivenKey] = {}
        self.relays: dict[BlockId, dict[int, RelayPath]] = {}  # by relay, then by share
        self._used: dict[BlockId, list[tuple[int, int]]] = {}

    def give(self, site: SiteId, grant: Grant) -> None:
        """A key was cut for a master at this site.

        Raises:
            InvariantBroken: bytes or key ID were used before.
        """
        if grant.key_id in self.keys:
            raise InvariantBroken(Invariant.NO_BIT_TWICE, f"site {site} gives key ID {grant.key_id} a second time")
        self._use(site, grant.piece, grant.offset, grant.size_bytes, f"key {grant.key_id}")
        self.keys[grant.key_id] = GivenKey(site, grant.piece, grant.offset, grant.size_bytes, grant.master, grant.slave)

    def hop(self, site: SiteId, header: HopHeader) -> None:
        """A relayed block left this site under these pads.

        Raises:
            InvariantBroken: some of their bytes were used before.
        """
        ranges: tuple[Range, ...] = (header.tag_key, *header.pads)
        for part in ranges:
            self._use(site, part.piece, part.offset, part.size_bytes, f"a hop of {header.relay}")
        share = header.share
        fresh = RelayPath(share.threshold, len(share.ways)) if share else RelayPath()
        path = self.relays.setdefault(header.relay, {}).setdefault(share.point if share else 1, fresh)
        path.senders.append(site)
        path.links.append(header.trail[-1].link)
        path.pieces.append(tuple(dict.fromkeys(part.piece for part in ranges)))

    def end(self, piece: BlockId) -> int:
        """The byte after the last one used."""
        used = self._used.get(piece)
        return used[-1][1] if used else 0

    def _use(self, site: SiteId, piece: BlockId, offset: int, size_bytes: int, purpose: str) -> None:
        used = self._used.setdefault(piece, [])
        index = bisect_left(used, (offset, offset))
        overlaps_before = index > 0 and used[index - 1][1] > offset
        overlaps_after = index < len(used) and used[index][0] < offset + size_bytes
        if size_bytes > 0 and (overlaps_before or overlaps_after):
            what = f"site {site} uses bytes {offset}..{offset + size_bytes} of {piece} for {purpose}; some are used"
            raise InvariantBroken(Invariant.NO_BIT_TWICE, what)
        if overlaps_before or (index > 0 and used[index - 1][1] == offset):
            used[index - 1] = (used[index - 1][0], offset + size_bytes)  # joined, so that the list stays short
        else:
            insort(used, (offset, offset + size_bytes))
