"""The nouns of ETSI GS QKD 004: quality of service, status codes, and the error that carries one."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId, SiteId
from qanat.core.provenance import Provenance
from qanat.core.secret import SecretBits

UINT32_MAX = 2**32 - 1
CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 8, 512  # as keys of ETSI 014: 64 to 4096 bits
MIMETYPE_CHARACTERS_MAX = 256
# Room for the provenance of a relayed key; a caller that takes less is told so whatever its chunk rests on, because the
# answer must not depend on which key it would have been.
METADATA_BYTES = 1024


class StreamStatus(IntEnum):
    """Status codes of 004, clause 6."""

    OK = 0
    PEER_NOT_CONNECTED = 1  # OPEN_CONNECT succeeded, the peer application has not called yet
    INSUFFICIENT_KEY = 2
    PEER_NOT_CONNECTED_GET_KEY = 3
    NO_QKD_CONNECTION = 4
    KSID_IN_USE = 5
    TIMEOUT = 6
    QOS_NOT_MET = 7
    METADATA_SIZE_INSUFFICIENT = 8


class StreamRefused(QanatError):
    """A call of ETSI 004 ends with a status that is not 0. ``status`` says which.

    Attributes:
        qos: The counter proposal that goes with status 7.
        metadata_bytes: The size that status 8 asks for.
        is_pending: The chunk may be on its way: asking again within ``timeout_ms``, the stream's, may succeed.
        is_ours: Nothing that the caller sent is the reason: key, time or room are wanting here.
    """

    def __init__(
        self,
        status: StreamStatus,
        reason: str,
        *,
        qos: StreamQos | None = None,
        metadata_bytes: int = 0,
        is_pending: bool = False,
        is_ours: bool = False,
    ) -> None:
        super().__init__(reason, status=int(status))
        self.is_ours = is_ours or status in (StreamStatus.INSUFFICIENT_KEY, StreamStatus.TIMEOUT)
        self.status, self.qos, self.metadata_bytes, self.is_pending = status, qos, metadata_bytes, is_pending
        self.timeout_ms = 0


class StreamQos(msgspec.Struct, frozen=True, kw_only=True):
    """What an application wants of a stream.

    Attributes:
        chunk_bytes: Bytes of each chunk.
        bps_max, bps_min: Bits per second: never more than; at least.
        jitter_bps: Allowed deviation from the rate; noted, not used.
        priority: Noted, not used: quotas and demands of the network file decide between applications.
        timeout_ms: How long a GET_KEY may wait for its chunk.
        ttl_s: A chunk that an end has not taken for so long is destroyed there; 0 stands for the KME's own limit.
        mimetype: Of the metadata: ``application/json``, or empty for none.
    """

    chunk_bytes: int
    bps_max: int
    bps_min: int
    jitter_bps: int = 0
    priority: int = 0
    timeout_ms: int = 0
    ttl_s: int = 0
    mimetype: str = ""


class StreamOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to OPEN_CONNECT: status 0 or 1."""

    status: StreamStatus
    stream: KeyId
    qos: StreamQos


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of a key stream, the same at both ends for the same index."""

    index: int
    bits: SecretBits
    provenance: Provenance
    has_metadata: bool


class StreamRecord(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One stream as a KME keeps it, between restarts too.

    Attributes:
        here, there: The application at this site and the one at ``peer``.
        is_open_here, is_open_there: Which of them has called OPEN_CONNECT.
        next_index: The first index that has no chunk yet, as far as this end has heard.
        oldest_index: No chunk before this one waits here.
        since_ns: When allocation may be counted from, for ``bps_max``.
        allocated: Chunks made since then.
        push_index: From this index on the KME pushes chunks to the application here; None: it asks for them.
    """

    stream: KeyId
    here: SaeId
    there: SaeId
    peer: SiteId
    qos: StreamQos
    is_open_here: bool
    is_open_there: bool
    next_index: int = 0
    oldest_index: int = 0
    since_ns: int = 0
    allocated: int = 0
    push_index: int | None = None

    @property
    def is_owned_here(self) -> bool:
        """This site cuts the chunks. Both ends see it alike, whoever called first."""
        return self.here < self.there
