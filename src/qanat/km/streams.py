"""Key streams of ETSI GS QKD 004: two applications, one identifier, and a chunk of key for every index.

One of the two sites owns a stream: that of the application whose name sorts first, so two applications that open at
the same moment agree without a word. The owner cuts each chunk from the pair's key and grants it to both ends under a
name that follows from stream and index; from there on it is a key like any other: kept, expired, quarantined, counted
and handed out once by the same books that serve ETSI 014, and gone for every other interface.
"""

from __future__ import annotations

import uuid

import msgspec

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.km.context import Context
from qanat.km.events import KeyDelivered
from qanat.km.stream_chunks import AHEAD_MAX, StreamTable
from qanat.km.stream_messages import StreamClosed, StreamOpen, StreamWanted
from qanat.km.stream_qos import is_possible, lesser, negotiated
from qanat.km.stream_types import (
    METADATA_BYTES,
    Chunk,
    StreamOpened,
    StreamQos,
    StreamRecord,
    StreamRefused,
    StreamStatus,
)

STREAMS_MAX = 1_000  # of one KME: each costs about a kilobyte in memory and in the store
STREAMS_PER_SAE_MAX = STREAMS_MAX // 8  # one application may not keep the others out
ALONE_NS = 86_400 * NS_PER_S  # a stream that one application opened and the other never joined
ASK_AGAIN_NS = 250 * NS_PER_MS
NOBODY = uuid.UUID(int=0)


class Streams:
    """The streams of one KME."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self.table = StreamTable(context, facts)
        self._asked: dict[KeyId, tuple[int, int]] = {}  # which index the owner was last asked for, and when

    # --- OPEN_CONNECT

    def open(self, caller: SaeId, other: SaeId, qos: StreamQos, stream: KeyId | None, now_ns: int) -> StreamOpened:
        """Open a stream, or join one that the other application has opened.

        Args:
            stream: None (or all zeros) lets the KME choose; the second application gives the same name.

        Raises:
            StreamRefused: 4, 5 or 7.
        """
        peer = self._peer_of(caller, other)
        stream = None if stream == NOBODY else stream
        known = self.table.records.get(stream) if stream is not None else None
        if known is not None:
            return self._join(known, caller, other, qos)
        self._check_room(caller)
        granted = negotiated(self._c.network, caller, other, qos)
        if stream is None:
            stream = uuid.UUID(bytes=self._c.entropy.random_bytes(16), version=4)
        record = StreamRecord(
            stream=stream,
            here=caller,
            there=other,
            peer=peer,
            qos=granted,
            is_open_here=True,
            is_open_there=False,
            since_ns=now_ns,
        )
        self.table.keep(record)
        self._c.channel.post(peer, StreamOpen(stream, caller, other, granted))
        return StreamOpened(status=StreamStatus.PEER_NOT_CONNECTED, stream=stream, qos=granted)

    def _check_room(self, caller: SaeId) -> None:
        """Raises: StreamRefused."""
        records = self.table.records.values()
        own = sum(record.here == caller and record.is_open_here for record in records)
        if len(records) >= STREAMS_MAX or own >= STREAMS_PER_SAE_MAX:
            reason = f"{STREAMS_PER_SAE_MAX} streams of one SAE, {STREAMS_MAX} of one KME are open at most"
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, reason, is_ours=True)

    def _join(self, record: StreamRecord, caller: SaeId, other: SaeId, qos: StreamQos) -> StreamOpened:
        if (record.here, record.there) != (caller, other) or record.is_open_here:
            raise StreamRefused(StreamStatus.KSID_IN_USE, "this Key_stream_ID is in use")
        if qos.chunk_bytes not in (0, record.qos.chunk_bytes):
            raise StreamRefused(
                StreamStatus.QOS_NOT_MET, "the other application opened it with another chunk size", qos=record.qos
            )
        self.table.keep(msgspec.structs.replace(record, is_open_here=True))
        self._c.channel.post(record.peer, StreamOpen(record.stream, caller, other, record.qos))
        return StreamOpened(status=StreamStatus.OK, stream=record.stream, qos=record.qos)

    def _peer_of(self, caller: SaeId, other: SaeId) -> SiteId:
        saes = self._c.network.saes
        if caller not in saes or saes[caller].site != self._c.site:
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "the calling SAE is not registered at this KME")
        if other not in saes or other == caller or not self._c.may_pair(caller, other):
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "these two SAEs are not permitted to share keys")
        if saes[other].site == self._c.site:
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "both SAEs are at this site; ETSI 014 serves them")
        return saes[other].site

    def has_both_ends(self, stream: KeyId) -> bool:
        record = self.table.records.get(stream)
        return record is not None and record.is_open_here and record.is_open_there

    def timeout_ms(self, stream: KeyId) -> int:
        """How long a GET_KEY of this stream may wait; 0 for one that is not known."""
        record = self.table.records.get(stream)
        return record.qos.timeout_ms if record is not None else 0

    def on_open(self, peer: SiteId, message: StreamOpen, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        if not self._c.is_pair(message.destination, message.source, peer):
            raise RemoteProtocolError(f"{peer} opens a stream between SAEs that may not share keys")
        if not is_possible(message.qos):
            raise RemoteProtocolError(f"{peer} opens a stream of an impossible quality")
        known = self.table.records.get(message.stream)
        if known is None:
            if len(self.table.records) >= STREAMS_MAX:
                self._c.channel.post(peer, StreamClosed(message.stream))
                return
            known = StreamRecord(
                stream=message.stream,
                here=message.destination,
                there=message.source,
                peer=peer,
                qos=message.qos,
                is_open_here=False,
                is_open_there=False,
                since_ns=now_ns,
            )
        if (known.here, known.there, known.peer) != (message.destination, message.source, peer):
            raise RemoteProtocolError(f"{peer} opens a stream that belongs to other SAEs")
        # Both ends opened it at once with one name: the smaller of both wishes holds, at both ends alike.
        self.table.keep(msgspec.structs.replace(known, is_open_there=True, qos=lesser(known.qos, message.qos)))

    # --- GET_KEY

    def get_key(
        self,
        caller: SaeId,
        stream: KeyId,
        index: int | None,
        metadata_bytes: int,
        now_ns: int,
        *,
        index_min: int = 0,
    ) -> Chunk:
        """The chunk of an index, once per application.

        Args:
            index: None is the lowest, from ``index_min`` on, that this application can still take.
            metadata_bytes: Room that the caller has; a refusal for want of it costs no chunk.

        Raises:
            StreamRefused: 2 (``is_pending`` when it may come), 3, 4 or 8.
        """
        record = self._own(caller, stream)
        if record.qos.mimetype and metadata_bytes < METADATA_BYTES:
            reason = f"metadata needs room for {METADATA_BYTES} bytes"
            raise StreamRefused(StreamStatus.METADATA_SIZE_INSUFFICIENT, reason, metadata_bytes=METADATA_BYTES)
        _check_both_ends(record)
        wanted = index if index is not None or not index_min else self._lowest(record, index_min)
        record = self.table.allocate(record, wanted, now_ns)
        if index is None:
            index = next((held for held in self.table.held(record) if held >= index_min), None)
        chunk = self.table.take(record, index) if index is not None else None
        if chunk is None:
            raise self._missing(record, wanted if index is None else index, now_ns)
        self._c.events.append(
            KeyDelivered(
                role="stream", caller=caller, partner=record.there, count=1, size_bits=8 * record.qos.chunk_bytes
            )
        )
        return chunk

    def _lowest(self, record: StreamRecord, index_min: int) -> int:
        """The lowest index from there on that is here, or that can still be made."""
        held = (index for index in self.table.held(record) if index >= index_min)
        return next(held, max(index_min, record.next_index))

    def _own(self, caller: SaeId, stream: KeyId) -> StreamRecord:
        record = self.table.records.get(stream)
        if record is None or record.here != caller or not record.is_open_here:
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "there is no such stream of this application")
        return record

    def _missing(self, record: StreamRecord, index: int | None, now_ns: int) -> StreamRefused:
        if index is not None and index < record.next_index:
            return StreamRefused(StreamStatus.INSUFFICIENT_KEY, "this index was taken or has expired")
        if not record.is_owned_here:
            self._ask(record, record.next_index if index is None else index, now_ns)
        return StreamRefused(StreamStatus.INSUFFICIENT_KEY, "no key for this index yet", is_pending=True)

    def _ask(self, record: StreamRecord, index: int, now_ns: int) -> None:
        """The host asks us again and again while its caller waits; the owner hears it a few times a second."""
        asked = self._asked.get(record.stream)
        if asked is not None and asked[0] == index and now_ns - asked[1] < ASK_AGAIN_NS:
            return
        self._asked[record.stream] = (index, now_ns)
        self._c.channel.post(record.peer, StreamWanted(record.stream, index))

    def on_wanted(self, peer: SiteId, message: StreamWanted, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        record = self.table.records.get(message.stream)
        if record is None or record.peer != peer:
            self._c.channel.post(peer, StreamClosed(message.stream))
            return
        if not record.is_owned_here:
            raise RemoteProtocolError(f"{peer} asks us for chunks of a stream that it owns itself")
        try:
            self.table.allocate(record, message.index, now_ns)
        except StreamRefused:
            return  # too far ahead: its application is told so when its time-out ends

    # --- GET_KEY of the push mode

    def start_push(self, caller: SaeId, stream: KeyId, index: int) -> None:
        """From now on, and after a restart too, the host takes chunks from this index on for the application here.

        Raises:
            StreamRefused: 2, too far ahead; 3 (``is_pending``); 4.
        """
        record = self._own(caller, stream)
        _check_both_ends(record)
        if index >= record.next_index + AHEAD_MAX:  # the chunks before it wait here, and so many may
            reason = f"index {index} is {AHEAD_MAX} or more beyond the last one given out"
            raise StreamRefused(StreamStatus.INSUFFICIENT_KEY, reason)
        self.table.keep(msgspec.structs.replace(record, push_index=index))

    def pushed(self) -> list[tuple[SaeId, KeyId]]:
        """Streams whose application here gets its chunks pushed."""
        records = self.table.records.values()
        return [(record.here, record.stream) for record in records if record.push_index is not None]

    def pushed_since(self, stream: KeyId) -> int | None:
        """When this stream began, if its chunks are pushed; a name may be used again after CLOSE."""
        record = self.table.records.get(stream)
        return record.since_ns if record is not None and record.push_index is not None else None

    def next_pushed(self, stream: KeyId, now_ns: int) -> Chunk:
        """Raises: StreamRefused: 2 or 3 (``is_pending``); 4, nothing is to be pushed any more."""
        record = self.table.records.get(stream)
        if record is None or record.push_index is None:
            raise StreamRefused(StreamStatus.NO_QKD_CONNECTION, "nobody waits for chunks of this stream")
        return self.get_key(record.here, stream, None, METADATA_BYTES, now_ns, index_min=record.push_index)

    # --- CLOSE

    def _forget(self, record: StreamRecord) -> None:
        self._asked.pop(record.stream, None)
        self.table.forget(record)

    def close(self, caller: SaeId, stream: KeyId) -> None:
        """End a stream for both applications; chunks not taken are destroyed at both ends.

        Raises:
            StreamRefused: 4.
        """
        record = self._own(caller, stream)
        self._c.channel.post(record.peer, StreamClosed(stream))
        self._forget(record)

    def on_closed(self, peer: SiteId, message: StreamClosed) -> None:
        record = self.table.records.get(message.stream)
        if record is not None and record.peer == peer:
            self._forget(record)

    def sweep(self, now_ns: int) -> None:
        """Close what nobody joined; forget chunks that did not come."""
        for record in list(self.table.records.values()):
            is_alone = record.is_open_here != record.is_open_there
            if is_alone and now_ns - record.since_ns > ALONE_NS:
                self._c.channel.post(record.peer, StreamClosed(record.stream))
                self._forget(record)
        self.table.sweep(now_ns)

    def on_lost(self, peer: SiteId) -> None:
        """The peer forgot its streams, and which indices it gave out: here they are over too."""
        for record in [record for record in self.table.records.values() if record.peer == peer]:
            self._forget(record)


def _check_both_ends(record: StreamRecord) -> None:
    """Raises: StreamRefused."""
    if not record.is_open_there:
        reason = "the other application has not opened this stream yet"
        raise StreamRefused(StreamStatus.PEER_NOT_CONNECTED_GET_KEY, reason, is_pending=True)
