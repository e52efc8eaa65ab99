"""Multicast: one key for SAEs of several sites, or for several SAEs of another site.

The bits are key of the pair with one slave site, the lead: that site reads them in its own pieces. To every
other slave site the same bits go under a one-time pad with a one-time tag, both cut from that pair's key. Each
site stores a copy per key that rests on everything the whole batch rests on, so its provenance is the join and
an alarm on any part takes back every copy that was not fetched.

    origin  --Copies (ranges)------->  lead site
    origin  --Copies (pad and tag)-->  every other slave site
    any of them  --Gone-->  origin  --Gone-->  all others
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from qanat.core.errors import AuthenticationFailed, RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SaeId, SiteId
from qanat.core.provenance import Origin, Provenance, joined
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import open_hop, seal_hop
from qanat.km import pads as pads_
from qanat.km.books import Cut, Piece
from qanat.km.callers import ADDITIONAL_SLAVES_MAX
from qanat.km.context import Context
from qanat.km.documents import Key
from qanat.km.events import PeerMisbehaved
from qanat.km.extensions import extension_from_provenance
from qanat.km.fetching import GRANT_LIFE_NS, KEYS_PER_REQUEST_MAX
from qanat.km.ledger import Fate
from qanat.km.messages import REASON_QUARANTINED, Copies, CopiesHeader, Gone, Range, copies_header_from_bytes, encoded
from qanat.km.store import GrantRecord, PieceRecord, PieceState, Source

PREFIX = "copies/"


class Batch(msgspec.Struct, array_like=True, frozen=True):
    """What the origin remembers of a batch, so that a wipe reaches every slave site.

    Attributes:
        sites: Slave sites other than the origin's own.
        parents: Blocks and relays that the batch was cut from.
    """

    sites: tuple[SiteId, ...]
    sources: tuple[Source, ...]
    parents: tuple[BlockId, ...]
    made_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A multicast that can be met now: nothing is changed yet."""

    lead: SiteId
    cuts: list[Cut]
    pads: dict[SiteId, pads_.Pads]
    used: list[Piece]


class CopyBook:
    """Batches that this site originated, and copies that it holds for its own SAEs."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self._batches: dict[BlockId, Batch] = {
            BlockId(name): msgspec.msgpack.decode(value, type=Batch)
            for (kind, name), value in facts.items()
            if kind == "copies"
        }

    # --- at the master's site

    def give(
        self, plan: Plan, size_bytes: int, master: SaeId, sites: dict[SiteId, list[SaeId]], now_ns: int
    ) -> list[Key]:
        """Spend what was planned, tell every site, and return the master's keys."""
        name = BlockId(f"{PREFIX}{uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)}")
        sources, provenance = rests_on(plan.used)
        keys = [
            Key(
                # Random, so that it tells neither how many keys there were nor which piece one came from.
                key_id=uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4),
                key=self._c.books.take(piece, offset, size_bytes),
                key_extension=extension_from_provenance(provenance),
            )
            for piece, offset in plan.cuts
        ]
        header = CopiesHeader(
            name, tuple(key.key_id for key in keys), size_bytes, master, (), sources, provenance, (), None
        )
        self._tell_lead(plan, msgspec.structs.replace(header, slaves=tuple(sites[plan.lead])))
        for site, pads in plan.pads.items():
            self._send_copy(site, pads, msgspec.structs.replace(header, slaves=tuple(sites[site])), keys)
        here = tuple(sites.get(self._c.site, ()))
        if here:
            told = msgspec.structs.replace(header, slaves=here)
            self._keep(told, self._c.site, [key.key for key in keys], now_ns)
        self._note(name, plan, sources, now_ns)
        return keys

    def _tell_lead(self, plan: Plan, header: CopiesHeader) -> None:
        size_bytes = header.size_bytes
        ranges = tuple(Range(piece.record.piece, offset, size_bytes) for piece, offset in plan.cuts)
        for piece, offset in plan.cuts:
            self._c.books.advance(piece, offset, size_bytes, Fate.DELIVERED)
        self._c.channel.post(plan.lead, Copies(encoded(msgspec.structs.replace(header, ranges=ranges)), b""))

    def _send_copy(self, site: SiteId, pads: pads_.Pads, header: CopiesHeader, keys: Sequence[Key]) -> None:
        data = encoded(msgspec.structs.replace(header, ranges=pads.pads, tag_key=pads.tag_key))
        payload = SecretBits(b"".join(key.key.reveal() for key in keys))  # one pad and one tag for all keys
        secrets = pads_.read(self._c.books, pads)
        sealed = seal_hop(payload, secrets.pad, secrets.tag_key, data)
        secrets.wipe()
        payload.wipe()
        pads_.spend(self._c.books, pads)
        self._c.channel.post(site, Copies(data, sealed))

    def _note(self, name: BlockId, plan: Plan, sources: tuple[Source, ...], now_ns: int) -> None:
        parents = tuple(dict.fromkeys(piece.record.parent for piece in plan.used))
        self._batches[name] = Batch((plan.lead, *plan.pads), sources, parents, now_ns)
        self._c.store.put_fact("copies", name, msgspec.msgpack.encode(self._batches[name]))

    # --- at a slave site

    def on_copies(self, peer: SiteId, message: Copies, now_ns: int) -> None:
        """Keys of a master at the peer for SAEs here.

        Raises:
            RemoteProtocolError: the peer may not give them like that; nothing is kept.
        """
        try:
            header = copies_header_from_bytes(message.header)
        except msgspec.DecodeError as error:
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
            self._keep(header, peer, bits, now_ns)
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

    def _keep(self, header: CopiesHeader, origin: SiteId, bits: Sequence[SecretBits], now_ns: int) -> None:
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

    # --- taking back

    def on_gone(self, peer: SiteId, message: Gone) -> bool:
        """At the origin: a slave site, or the block below, took something back. Returns whether nobody else need look.

        Raises:
            RemoteProtocolError: the peer has no part in that batch.
        """
        if message.reason == REASON_QUARANTINED:
            for name, batch in list(self._batches.items()):
                if message.parent in batch.parents:
                    self._take_back(name)
        found = self._batches.get(message.parent)
        if found is None:
            # Ours but forgotten, after a day: nothing of it is left here.
            return message.parent.startswith(PREFIX) and not self._c.books.of_parent(message.parent)
        if peer not in found.sites:
            raise RemoteProtocolError(f"{peer} takes back a multicast key that it never had")
        self._take_back(message.parent)
        return True

    def condemned(self) -> None:
        """An alarm was accepted: batches of ours that rest on condemned light are taken back everywhere."""
        for name, batch in list(self._batches.items()):
            if self._c.links.condemned_link(batch.sources) is not None:
                self._take_back(name)

    def _take_back(self, name: BlockId) -> None:
        for site in self._batches[name].sites:
            self._c.channel.post(site, Gone(name, REASON_QUARANTINED))
        for piece in self._c.books.of_parent(name):
            self._c.books.drop(piece, Fate.QUARANTINED)
        self._forget(name)

    def _forget(self, name: BlockId) -> None:
        del self._batches[name]
        self._c.store.put_fact("copies", name, None)

    def sweep(self, now_ns: int) -> None:
        """Forget batches whose keys are expired everywhere."""
        for name, batch in list(self._batches.items()):
            if now_ns - batch.made_ns > 2 * GRANT_LIFE_NS:  # twice, since a slave site may have heard late
                self._forget(name)


def rests_on(pieces: Iterable[Piece]) -> tuple[tuple[Source, ...], Provenance]:
    """All sources of some pieces, and their joined provenance; each block counts once."""
    parents = {piece.record.parent: piece.record for piece in pieces}
    records = [parents[name] for name in sorted(parents)]
    sources = {source: None for record in records for source in record.sources}
    nodes = {node: None for record in records for node in record.provenance.trusted_nodes}
    whole = joined(tuple(record.provenance for record in records), tuple(nodes))
    ordered = sorted(sources, key=lambda source: (source.link, source.block))
    return tuple(ordered), replace(whole, links=tuple(dict.fromkeys(whole.links)))


def covers(whole: Provenance, part: Provenance) -> bool:
    """The whole claims nothing better than this part of it has."""
    order = list(Origin)
    return (
        order.index(whole.origin) >= order.index(part.origin)
        and set(part.links) <= set(whole.links)
        and set(part.trusted_nodes) <= set(whole.trusted_nodes)
        and set(part.algorithms) <= set(whole.algorithms)
        and whole.epsilon_total >= part.epsilon_total
        and whole.simulated >= part.simulated
    )
