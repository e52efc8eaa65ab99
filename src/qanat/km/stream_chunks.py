"""Chunks of key streams: the owner cuts them, both ends keep count of them and give each index out once."""

from __future__ import annotations

import hashlib
import uuid

import msgspec

from qanat.core.ids import KeyId
from qanat.core.timebase import NS_PER_S
from qanat.km.books import Cut
from qanat.km.context import Context
from qanat.km.ledger import Fate
from qanat.km.messages import Grant, Granted
from qanat.km.store import GrantRecord
from qanat.km.stream_qos import is_too_fast
from qanat.km.stream_types import UINT32_MAX, Chunk, StreamRecord, StreamRefused, StreamStatus

# Chunks that an end may skip or leave untaken at the owner: what one stream can hold back from the others. The other
# end keeps what was granted to it until its time to live is over.
AHEAD_MAX = 64
_KIND = "stream"


def chunk_name(stream: KeyId, index: int) -> KeyId:
    """The key ID of one chunk, the same at both ends; only the two applications of the stream may use it."""
    digest = hashlib.sha256(b"qanat stream chunk" + stream.bytes + index.to_bytes(8)).digest()
    return uuid.UUID(bytes=digest[:16], version=4)


class StreamTable:
    """All streams of one KME, their records in the store, and which chunks wait here."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self.records: dict[KeyId, StreamRecord] = {}
        self._names: dict[KeyId, dict[int, KeyId]] = {}  # chunks that were granted here and may still wait
        self._expected: dict[KeyId, tuple[KeyId, int]] = {}  # names that the owner elsewhere will grant next
        for (kind, name), value in facts.items():
            if kind == _KIND:
                self._load(uuid.UUID(name), msgspec.msgpack.decode(value, type=StreamRecord))

    def _load(self, stream: KeyId, record: StreamRecord) -> None:
        self.records[stream] = record
        indices = range(record.oldest_index, record.next_index)
        self._names[stream] = {index: chunk_name(stream, index) for index in indices}
        self._expect(record, record.next_index)

    def keep(self, record: StreamRecord) -> StreamRecord:
        """Remember a changed record, durably with this transaction."""
        known = self.records.get(record.stream)
        self.records[record.stream] = record
        self._names.setdefault(record.stream, {})
        self._expect(record, known.next_index + AHEAD_MAX if known is not None else record.next_index)
        self._c.store.put_fact(_KIND, str(record.stream), msgspec.msgpack.encode(record))
        return record

    def _expect(self, record: StreamRecord, start: int) -> None:
        if record.is_owned_here:
            return
        for index in range(start, record.next_index + AHEAD_MAX):
            self._expected[chunk_name(record.stream, index)] = (record.stream, index)

    def forget(self, record: StreamRecord) -> None:
        """The stream has ended: what waits here is destroyed."""
        self.destroy(record, self.held(record))
        del self.records[record.stream], self._names[record.stream]
        self._expected = {name: place for name, place in self._expected.items() if place[0] != record.stream}
        self._c.store.put_fact(_KIND, str(record.stream), None)

    # --- what waits here

    def held(self, record: StreamRecord) -> list[int]:
        """Indices that this end's application can take now, lowest first."""
        grants, names = self._c.books.grants, self._names[record.stream]
        for index in [index for index, name in names.items() if name not in grants]:
            del names[index]  # taken, expired, condemned, or fetched by another interface
        return sorted(names)

    def take(self, record: StreamRecord, index: int) -> Chunk | None:
        """The chunk of this index, which is gone then; None when it is not here."""
        name = chunk_name(record.stream, index)
        grant = self._c.books.grants.get(name)
        if grant is None or grant.slave != record.here:
            return None
        piece = self._c.books.pieces[grant.piece]
        bits = self._c.books.take(piece, grant.offset, grant.size_bytes)
        provenance, has_metadata = piece.record.provenance, bool(record.qos.mimetype)
        chunk = Chunk(index=index, bits=bits, provenance=provenance, has_metadata=has_metadata)
        self._c.books.settle(name, Fate.DELIVERED)
        self._advance(record)
        return chunk

    def _advance(self, record: StreamRecord) -> None:
        held = self.held(record)
        oldest = held[0] if held else record.next_index
        if oldest != record.oldest_index:
            self.keep(msgspec.structs.replace(record, oldest_index=oldest))

    def destroy(self, record: StreamRecord, indices: list[int]) -> None:
        for index in indices:
            self._c.books.settle(self._names[record.stream].pop(index), Fate.DESTROYED)

    def sweep(self, now_ns: int) -> None:
        """Destroy chunks that this end's application left longer than the stream's time to live."""
        for record in list(self.records.values()):
            if not record.qos.ttl_s:
                continue
            names, oldest_ns = self._names[record.stream], now_ns - record.qos.ttl_s * NS_PER_S
            late = [i for i in self.held(record) if self._c.books.grants[names[i]].granted_ns < oldest_ns]
            if late:
                self.destroy(record, late)
                self._advance(record)

    def on_grant(self, grant: Grant) -> None:
        """A grant of another KME came: is it the next chunk of a stream?"""
        place = self._expected.get(grant.key_id)
        record = self.records.get(place[0]) if place is not None else None
        if place is None or record is None or (record.there, record.here) != (grant.master, grant.slave):
            return
        if not record.is_open_there:  # a chunk of an earlier stream of this name, which this site gave up
            return
        for index in range(record.next_index, place[1] + 1):  # those between were lost with their piece
            self._expected.pop(chunk_name(record.stream, index), None)
        self._names[record.stream][place[1]] = grant.key_id
        self.keep(msgspec.structs.replace(record, next_index=place[1] + 1))

    # --- the owner cuts chunks

    def allocate(self, record: StreamRecord, index: int | None, now_ns: int) -> StreamRecord:
        """Make chunks up to this index, or one when none is waiting, as far as limits and stock allow.

        Raises:
            StreamRefused: 2, the index is too far ahead.
        """
        if not record.is_owned_here or not (record.is_open_here and record.is_open_there):
            return record
        held = len(self.held(record))
        last = index if index is not None else record.next_index - (1 if held else 0)
        if last > min(UINT32_MAX, record.next_index + AHEAD_MAX):
            raise StreamRefused(
                StreamStatus.INSUFFICIENT_KEY, f"index {last} is more than {AHEAD_MAX} beyond the last one given out"
            )
        while record.next_index <= last and held < AHEAD_MAX and self._may_cut(record, now_ns):
            cuts = self._cut(record)
            if not cuts or not self._is_within_quotas(record, now_ns):
                break
            record, held = self._granted(record, cuts[0], now_ns), held + 1
        return record

    def _may_cut(self, record: StreamRecord, now_ns: int) -> bool:
        return not is_too_fast(record, now_ns) and not self._c.channel.is_full(record.peer)

    def _is_within_quotas(self, record: StreamRecord, now_ns: int) -> bool:
        """One more chunk is charged to its owner's application, or comes later."""
        quotas, size_bytes, pair = self._c.quotas, record.qos.chunk_bytes, frozenset((record.here, record.there))
        if quotas.is_too_fast(record.here, 8 * size_bytes, now_ns):
            return False
        shares = quotas.shares_with(record.peer)
        if shares is not None:
            stock_bytes = self._c.stock_bytes(record.peer)
            shares.want(pair, size_bytes, now_ns)
            if shares.available(pair, stock_bytes, now_ns) < size_bytes:
                return False
            shares.spend(pair, size_bytes, stock_bytes, now_ns)
        quotas.spend_rate(record.here, 8 * size_bytes, now_ns)
        return True

    def _cut(self, record: StreamRecord) -> list[Cut]:
        books, peer = self._c.books, record.peer
        pieces = (piece for account in self._c.accounts_to(peer) for piece in books.ready(peer, account))
        return books.plan(pieces, record.qos.chunk_bytes, 1)

    def _granted(self, record: StreamRecord, cut: Cut, now_ns: int) -> StreamRecord:
        """One chunk belongs to both applications from now on."""
        (piece, offset), size_bytes = cut, record.qos.chunk_bytes
        name = chunk_name(record.stream, record.next_index)
        there = Grant(name, piece.record.piece, offset, size_bytes, record.here, record.there)
        self._c.channel.post(record.peer, Granted([there]))
        self._c.books.grant(
            GrantRecord(
                key_id=name,
                piece=piece.record.piece,
                offset=offset,
                size_bytes=size_bytes,
                master=record.there,
                slave=record.here,
                granted_ns=now_ns,
            )
        )
        self._names[record.stream][record.next_index] = name
        return self.keep(
            msgspec.structs.replace(record, next_index=record.next_index + 1, allocated=record.allocated + 1)
        )
