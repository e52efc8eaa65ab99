"""What quality a key stream gets: pure arithmetic on wishes and the network file's demands."""

from __future__ import annotations

import msgspec

from qanat.core.ids import SaeId
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.km.stream_types import (
    CHUNK_BYTES_MAX,
    CHUNK_BYTES_MIN,
    UINT32_MAX,
    StreamQos,
    StreamRecord,
    StreamRefused,
    StreamStatus,
)

JSON = "application/json"
TIMEOUT_MS_MAX = 5_000  # longer than this no call waits


def negotiated(network: Network, source: SaeId, destination: SaeId, wanted: StreamQos) -> StreamQos:
    """The quality that a stream between these two gets.

    A chunk size of 0 stands for the default key size, a ``bps_max`` of 0 for no limit of the application's own.

    Raises:
        StreamRefused: 7, with the counter proposal, when the chunk size is out of range or more bits per second are
            to be guaranteed than the network file plans for this pair.
    """
    default = network.policy.key_size_bits // 8
    chunk_bytes = min(max(wanted.chunk_bytes or default, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX)
    planned = sum(
        int(demand.rate_bits_per_s) for demand in network.demands if set(demand.saes) == {source, destination}
    )
    bps_max = wanted.bps_max or planned
    proposal = msgspec.structs.replace(
        wanted,
        chunk_bytes=chunk_bytes,
        bps_max=bps_max,
        bps_min=min(wanted.bps_min, planned, bps_max),
        timeout_ms=min(wanted.timeout_ms, TIMEOUT_MS_MAX),
        mimetype=JSON if wanted.mimetype == JSON else "",
    )
    if wanted.chunk_bytes not in (0, chunk_bytes) or wanted.bps_min > proposal.bps_min:
        raise StreamRefused(StreamStatus.QOS_NOT_MET, "chunk size or Min_bps cannot be met", qos=proposal)
    return proposal


def is_too_fast(record: StreamRecord, now_ns: int) -> bool:
    """One more chunk now would be more than ``bps_max``, counted from the stream's start with a second in hand."""
    bits = 8 * record.qos.chunk_bytes * (record.allocated + 1)
    allowed = record.qos.bps_max * ((now_ns - record.since_ns) / NS_PER_S + 1.0)
    return bits > max(allowed, 8 * record.qos.chunk_bytes)


def is_possible(qos: StreamQos) -> bool:
    """A quality that ``negotiated`` could have given."""
    numbers = (qos.bps_max, qos.bps_min, qos.jitter_bps, qos.priority, qos.timeout_ms, qos.ttl_s)
    return (
        CHUNK_BYTES_MIN <= qos.chunk_bytes <= CHUNK_BYTES_MAX
        and all(0 <= number <= UINT32_MAX for number in numbers)
        and qos.mimetype in ("", JSON)
    )


def lesser(a: StreamQos, b: StreamQos) -> StreamQos:
    """One of two, the same whichever end asks."""
    return min(a, b, key=lambda qos: (qos.chunk_bytes, qos.bps_max, qos.bps_min, qos.timeout_ms, qos.ttl_s))
