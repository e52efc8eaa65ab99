"""Key blocks of this site's QKD links: taken, cut into pieces, agreed with the other end.

A block is used only after both KMEs said that they hold it (``Have``): the two QKD modules hand it over at
their own pace, and one KME may refuse what the other takes. A ``Gone`` from either end takes it back.
"""

from __future__ import annotations

import hashlib

import msgspec

from qanat.core.errors import LocalProtocolError, QanatError, RemoteProtocolError
from qanat.core.ids import BlockId, SiteId
from qanat.core.records import KeyBlock
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Link
from qanat.km.books import Piece
from qanat.km.context import Context
from qanat.km.events import BlockRefused, BlockStored, KeysExpired, PeerMisbehaved
from qanat.km.ledger import Fate
from qanat.km.messages import REASON_EXPIRED, REASON_QUARANTINED, Gone, Have
from qanat.km.store import PieceRecord, PieceState, Source

PIECE_BYTES = 8192  # small, so that delivered keys do not stay (encrypted) on disk for long
UNIT_BYTES = 32
CONFIRM_TIMEOUT_NS = 120 * NS_PER_S  # the other module hands over within seconds, or after a restart
# Two KMEs name the ends of one block; beyond this difference somebody's clock, or a module, is badly wrong. The earlier
# instant holds all the same, so a wrong clock shortens lives and never lengthens one.
CLOCK_DIFFERENCE_NS_MAX = 300 * NS_PER_S
EARLY_MAX = 4096  # announcements of one peer whose block has not come here yet


_TAKES_GRANTS = {REASON_QUARANTINED: Fate.COMPROMISED, REASON_EXPIRED: Fate.EXPIRED}


class SimulatedKeyRefused(QanatError):
    """A key block grown from simulated photons came to a network that is not marked as a simulation. Such
    keys protect nothing. Set `simulation = true` in the network file if this is a rehearsal."""


def piece_sizes(size_bytes: int) -> list[int]:
    """How a block is cut: at most 8 KiB each, in units of 32 bytes, at least two so that both ends get some.

    Example:
        >>> piece_sizes(20_000), piece_sizes(100), piece_sizes(40)
        ([6688, 6656, 6656], [64, 36], [40])
    """
    units = size_bytes // UNIT_BYTES
    if units < 2:
        return [size_bytes] if size_bytes else []
    count = max(2, -(-size_bytes // PIECE_BYTES))
    sizes = [UNIT_BYTES * (units // count + (index < units % count)) for index in range(count)]
    sizes[-1] += size_bytes - sum(sizes)
    return sizes


def owner_of(link: Link, block: BlockId, index: int) -> SiteId:
    """Who gives out a piece: transmitter and receiver in turn, an even block begins with the transmitter.

    Both ends compute the same, and both directions grow with every block.
    """
    number = block.rpartition("/")[2]
    start = int(number) if number.isdecimal() else hashlib.sha256(block.encode()).digest()[0]
    return link.sites[(start + index) % 2]


class _Early(msgspec.Struct, array_like=True, frozen=True):
    """An announced block that has not come here yet."""

    peer: SiteId
    size_bytes: int
    at_ns: int
    expires_ns: int | None = None


class Supply:
    """The part of a KME that faces its QKD modules."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self._early: dict[BlockId, _Early] = {
            BlockId(name): msgspec.msgpack.decode(value, type=_Early)
            for (kind, name), value in facts.items()
            if kind == "early"
        }

    def add_block(self, block: KeyBlock, now_ns: int) -> bool:
        """Take one block of one of our links; see ``Kme.add_block``."""
        link = self._c.network.links.get(block.link)
        if link is None or self._c.site not in link.sites:
            raise LocalProtocolError(f"link {block.link} does not end at site {self._c.site}")
        if block.provenance.simulated and not self._c.network.is_simulation:
            raise SimulatedKeyRefused(f"block {block.block} of link {block.link}")
        if self._c.books.has_seen(block.block):
            return False
        reason = self._refusal(block)
        if reason is not None:
            self._refuse(block, link, reason)
            return False
        self._store(block, link, now_ns)
        return True

    def _refusal(self, block: KeyBlock) -> str | None:
        if block.bits.size_bits < 8 * UNIT_BYTES:
            return "it is too short to be used"
        reason = self._c.links.state(block.link).refusal(block.start_ns, block.end_ns)
        if reason is not None:
            return reason
        limit = self._c.network.policy.store_bits_max
        if self._c.books.booked_bits(block.link) + block.bits.size_bits > limit:
            return f"the store holds up to {limit} bits of one link and is full"
        early = self._early.get(block.block)
        if early is not None and early.size_bytes != block.bits.size_bits // 8:
            return "the other end holds a block of another size"
        return None

    def _refuse(self, block: KeyBlock, link: Link, reason: str) -> None:
        books, size_bytes = self._c.books, block.bits.size_bits // 8
        books.mark_seen(block.block)
        books.ledger.add(block.link, Fate.MADE, size_bytes)
        books.ledger.add(block.link, Fate.DESTROYED, size_bytes)
        self._forget_early(block.block)
        self._c.channel.post(link.other_end(self._c.site), Gone(block.block, "refused"))
        self._c.events.append(BlockRefused(block=block.block, link=block.link, size_bits=8 * size_bytes, reason=reason))

    def _store(self, block: KeyBlock, link: Link, now_ns: int) -> None:
        peer = link.other_end(self._c.site)
        size_bytes = block.bits.size_bits // 8  # spare bits of a last, unfilled byte are not used
        early = self._early.get(block.block)
        expires_ns = now_ns + self._c.ttl_ns
        if early is not None and early.expires_ns is not None:
            expires_ns = min(expires_ns, early.expires_ns)
        start = 0
        for index, size in enumerate(piece_sizes(size_bytes)):
            owner = owner_of(link, block.block, index)
            record = PieceRecord(
                piece=BlockId(f"{block.block}#{index}"),
                parent=block.block,
                account=block.link,
                peer=peer,
                owner=owner,
                size_bytes=size,
                state=PieceState.READY if early is not None or owner == peer else PieceState.WAITING,
                sources=(Source(link=block.link, block=block.block, start_ns=block.start_ns, end_ns=block.end_ns),),
                provenance=block.provenance,
                made_ns=now_ns,
                expires_ns=expires_ns,
            )
            bits = block.bits.take(start, size)
            self._c.books.add(record, bits)
            bits.wipe()
            start += size
        self._forget_early(block.block)
        self._c.channel.post(peer, Have(block.block, size_bytes, expires_ns))
        self._c.events.append(BlockStored(block=block.block, link=block.link, size_bits=8 * size_bytes))

    # --- what the other end says

    def on_have(self, peer: SiteId, message: Have, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        if message.parent.startswith("relay/"):
            self._on_relay_end(peer, message)
            return
        if self._c.link_of(message.parent, peer) is None or len(message.parent) > 256:
            raise RemoteProtocolError(f"{peer} announces a block of a link that it does not share with us")
        if not self._c.books.has_seen(message.parent):
            self._remember_early(peer, message, now_ns)
            return
        pieces = self._c.books.of_parent(message.parent)
        self._agree(peer, pieces, message)
        waiting = [piece for piece in pieces if piece.record.state is PieceState.WAITING]
        if not waiting:
            return
        # Nothing of ours was given out while it waited, but the peer may have used its own pieces: the sizes
        # of all pieces follow from the whole, so comparing the waiting ones with it is enough.
        sizes = piece_sizes(message.size_bytes)
        if any(self._expected(sizes, piece.record) != piece.record.size_bytes for piece in waiting):
            for piece in pieces:
                self._c.books.drop_rest(piece, Fate.DESTROYED)
            self._c.channel.post(peer, Gone(message.parent, "sizes differ"))
            raise RemoteProtocolError(f"block {message.parent} has another size at {peer}")
        for piece in waiting:
            self._c.books.confirm(piece)

    def _agree(self, peer: SiteId, pieces: list[Piece], message: Have) -> None:
        if message.expires_ns is None:
            return
        for piece in pieces:
            difference_ns = abs(message.expires_ns - self._c.books.expires_ns(piece))
            self._c.books.agree_expiry(piece, message.expires_ns)
        if pieces and difference_ns > CLOCK_DIFFERENCE_NS_MAX:
            reason = f"it ends {message.parent} {difference_ns // NS_PER_S} s apart from us; look at both clocks"
            self._c.events.append(PeerMisbehaved(peer=peer, reason=reason))

    def _on_relay_end(self, peer: SiteId, message: Have) -> None:
        """Origin and target of a relay agree on its end: whoever holds the earlier instant says it."""
        pieces = self._c.books.of_parent(message.parent)
        if any(piece.record.peer != peer for piece in pieces):
            raise RemoteProtocolError(f"{peer} names the end of a relay that it does not share with us")
        if message.expires_ns is None or not pieces:
            return
        ours_ns = self._c.books.expires_ns(pieces[0])
        if ours_ns < message.expires_ns:
            self._c.channel.post(peer, Have(message.parent, message.size_bytes, ours_ns))
        self._agree(peer, pieces, message)

    @staticmethod
    def _expected(sizes: list[int], record: PieceRecord) -> int | None:
        index = int(record.piece.rpartition("#")[2])
        return sizes[index] if index < len(sizes) else None

    def on_gone(self, peer: SiteId, message: Gone) -> None:
        """Raises: RemoteProtocolError."""
        is_ours = self._c.link_of(message.parent, peer) is not None or message.parent.startswith(("relay/", "copies/"))
        if not is_ours or len(message.parent) > 256:
            raise RemoteProtocolError(f"{peer} takes back a block that it does not share with us")
        self._forget_early(message.parent)
        for piece in self._c.books.of_parent(message.parent):
            if piece.record.peer != peer:
                raise RemoteProtocolError(f"{peer} takes back a block that it does not share with us")
            if message.reason in _TAKES_GRANTS:
                self._c.books.drop(piece, _TAKES_GRANTS[message.reason])
            else:
                self._c.books.drop_rest(piece, Fate.DESTROYED)
        self._c.books.mark_seen(message.parent)

    def _remember_early(self, peer: SiteId, message: Have, now_ns: int) -> None:
        if sum(1 for early in self._early.values() if early.peer == peer) >= EARLY_MAX:
            raise RemoteProtocolError(f"{peer} announced more than {EARLY_MAX} blocks that never came here")
        self._early[message.parent] = _Early(peer, message.size_bytes, now_ns, message.expires_ns)
        self._c.store.put_fact("early", message.parent, msgspec.msgpack.encode(self._early[message.parent]))

    def _forget_early(self, parent: BlockId) -> None:
        if self._early.pop(parent, None) is not None:
            self._c.store.put_fact("early", parent, None)

    def forget_early_of(self, peer: SiteId) -> None:
        """The peer lost its store, and with it what it announced."""
        for parent in [parent for parent, early in self._early.items() if early.peer == peer]:
            self._forget_early(parent)
            self._c.books.mark_seen(parent)

    def sweep(self, now_ns: int) -> None:
        """Give up blocks that only one end ever got."""
        for parent, early in list(self._early.items()):
            if now_ns - early.at_ns > CONFIRM_TIMEOUT_NS:
                self._forget_early(parent)
                self._c.books.mark_seen(parent)
                self._c.channel.post(early.peer, Gone(parent, "never came here"))
        late = {
            piece.record.parent: piece.record.peer
            for piece in self._c.books.pieces.values()
            if piece.record.state is PieceState.WAITING
            and not piece.record.parent.startswith(("relay/", "partner/"))  # they have time limits of their own
            and now_ns - piece.record.made_ns > CONFIRM_TIMEOUT_NS
        }
        for parent, peer in late.items():
            for piece in self._c.books.of_parent(parent):
                self._c.books.drop_rest(piece, Fate.DESTROYED)
            self._c.channel.post(peer, Gone(parent, "never confirmed"))

    def expire(self, now_ns: int) -> list[BlockId]:
        """Destroy what has come to its end, tell the other end. Returns the blocks and relays that ended."""
        size_bytes: dict[str, int] = {}
        ended: dict[BlockId, SiteId] = {}
        for record, size, is_whole in self._c.books.expire(now_ns):
            size_bytes[record.account] = size_bytes.get(record.account, 0) + size
            if is_whole:
                ended[record.parent] = record.peer
        for parent, peer in ended.items():
            if peer != self._c.site:
                self._c.channel.post(peer, Gone(parent, REASON_EXPIRED))
        self._c.events.extend(
            KeysExpired(account=account, size_bits=8 * size) for account, size in size_bytes.items() if size
        )
        return list(ended)

    def draw_local(self, record: PieceRecord) -> None:
        """Store a piece of this site's own entropy, for two applications that are both here."""
        bits = SecretBits(self._c.entropy.random_bytes(record.size_bytes))
        self._c.books.add(record, bits)
        bits.wipe()
