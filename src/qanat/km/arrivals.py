"""The slave sites' part of multicast: a batch is opened with this site's end of the key and kept as copies."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.core.errors import AuthenticationFailed, RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.malformed import MALFORMED
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import open_hop
from qanat.km import pads as pads_
from qanat.km.books import Piece
from qanat.km.callers import ADDITIONAL_SLAVES_MAX
from qanat.km.context import Context
from qanat.km.events import PeerMisbehaved
from qanat.km.fetching import KEYS_PER_REQUEST_MAX
from qanat.km.ledger import Fate
from qanat.km.messages import REASON_QUARANTINED, Copies, CopiesHeader, Gone, Range, copies_header_from_bytes
from qanat.km.rests import covers, rests_on
from qanat.km.store import GrantRecord, PieceRecord, PieceState

PREFIX = "copies/"


class Arrivals:
    """Copies that came, or were made, for SAEs at this site."""

    def __init__(self, context: Context) -> None:
        self._c = context

    def on_copies(self, peer: SiteId, message: Copies, now_ns: int) -> None:
        """Keys of a master at the peer for SAEs here.

        Raises:
            RemoteProtocolError: the peer may not give them like that; nothing is kept.
        """
        try:
            header = copies_header_from_bytes(message.header)
        except MALFORMED as error:
            raise RemoteProtocolError(f"header of a multicast key: {error}") from None
        self._check(peer, header)
        if self._c.books.has_seen(header.batch):
            return  # taken back before it came
        try:
            bits = self._opened(peer, header, message)
        except (pads_.PadsGone, AuthenticationFailed) as error:
            self._c.channel.post(peer, Gone(header.batch, REASON_QUARANTINED))
            self._c.events.append(PeerMisbehaved(peer=peer, reason=error.detail))
            return
        if self._c.links.condemned_link(header.sources) is None:
            self.keep(header, peer, bits, now_ns)
        else:
            self._c.channel.post(peer, Gone(header.batch, REASON_QUARANTINED))
        for key in bits:
            key.wipe()

    def _check(self, peer: SiteId, header: CopiesHeader) -> None:
        if not header.batch.startswith(PREFIX) or len(header.batch) > 64:
            raise RemoteProtocolError("a multicast with a name that no KME gives")
        ids = header.key_ids
        if not 1 <= len(ids) <= KEYS_PER_REQUEST_MAX or len(set(ids)) != len(ids) or not 8 <= header.size_bytes <= 512:
            raise RemoteProtocolError(f"{peer} gives keys of impossible size or number")
        if any(key_id in self._c.books.grants for key_id in ids):
            raise RemoteProtocolError(f"{peer} gives a key with a known ID")
        slaves = header.slaves
        if not 1 <= len(slaves) <= 1 + ADDITIONAL_SLAVES_MAX or len(set(slaves)) != len(slaves):
            raise RemoteProtocolError(f"{peer} gives keys to {len(slaves)} SAEs")
        if not all(self._c.is_pair(slave, header.master, peer) for slave in slaves):
            raise RemoteProtocolError(f"{peer} gives keys to SAEs that may not share them")

    def _opened(self, peer: SiteId, header: CopiesHeader, message: Copies) -> list[SecretBits]:
        """The keys; the pieces they came in are spent.

        Raises:
            PadsGone, AuthenticationFailed: this site cannot have them.
            RemoteProtocolError: anything else.
        """
        parts = header.ranges if header.tag_key is None else (header.tag_key, *header.ranges)
        pieces = [self._c.books.pieces.get(part.piece) for part in parts]
        used = [piece for piece in pieces if piece is not None]
        if len(used) < len(parts) or not used:
            raise pads_.PadsGone("a multicast key rests on a piece that is not held here")
        _, own = rests_on(used)
        if not covers(header.provenance, own) or not {s for p in used for s in p.record.sources} <= set(header.sources):
            raise RemoteProtocolError(f"{peer} names a better provenance for a key than its parts have")
        if header.tag_key is None:
            return self._lead_bits(peer, header)
        return self._padded_bits(peer, header, header.tag_key, used, message)

    def _lead_bits(self, peer: SiteId, header: CopiesHeader) -> list[SecretBits]:
        if len(header.ranges) != len(header.key_ids):
            raise RemoteProtocolError(f"{peer} gives {len(header.key_ids)} keys in {len(header.ranges)} ranges")
        ends: dict[BlockId, int] = {}
        for part in header.ranges:
            piece = self._c.books.pieces[part.piece]
            if piece.record.owner != peer or piece.record.peer != peer or part.size_bytes != header.size_bytes:
                raise RemoteProtocolError(f"{peer} gives keys of a piece that is not its own")
            end = part.offset + part.size_bytes
            if part.offset < ends.get(part.piece, piece.offset) or end > piece.record.size_bytes:
                raise RemoteProtocolError(f"{peer} gives bytes that are used already")
            ends[part.piece] = end
        bits = []
        for part in header.ranges:
            piece = self._c.books.pieces[part.piece]
            bits.append(self._c.books.take(piece, part.offset, part.size_bytes))
            self._c.books.advance(piece, part.offset, part.size_bytes, Fate.SPENT)
        return bits

    def _padded_bits(
        self, peer: SiteId, header: CopiesHeader, tag_key: Range, used: list[Piece], message: Copies
    ) -> list[SecretBits]:
        account = LinkId(used[0].record.account)
        pads = pads_.Pads(tag_key=tag_key, pads=header.ranges, trail=pads_.trail_of(account, used))
        size_bytes = header.size_bytes * len(header.key_ids)
        pads_.checked(self._c.books, pads, account, peer, size_bytes)
        secrets = pads_.read(self._c.books, pads)
        try:
            payload = open_hop(message.sealed, secrets.pad, secrets.tag_key, message.header)
        finally:
            secrets.wipe()
        pads_.spend(self._c.books, pads)
        size = header.size_bytes
        bits = [payload.take(index * size, size) for index in range(len(header.key_ids))]
        payload.wipe()
        return bits

    def keep(self, header: CopiesHeader, origin: SiteId, bits: Sequence[SecretBits], now_ns: int) -> None:
        """One piece and one grant per key, so that each is erased when its last SAE has it."""
        for index, (key_id, key) in enumerate(zip(header.key_ids, bits, strict=True)):
            record = PieceRecord(
                piece=BlockId(f"{header.batch}#{index}"),
                parent=header.batch,
                account=f"{PREFIX}{origin}",
                peer=origin,
                owner=origin,
                size_bytes=header.size_bytes,
                state=PieceState.READY,
                sources=header.sources,
                provenance=header.provenance,
                made_ns=now_ns,
            )
            self._c.books.add(record, key)
            self._c.books.grant(
                GrantRecord(
                    key_id=key_id,
                    piece=record.piece,
                    offset=0,
                    size_bytes=header.size_bytes,
                    master=header.master,
                    slave=header.slaves[0],
                    granted_ns=now_ns,
                    also=header.slaves[1:],
                )
            )
