"""ETSI GS QKD 004 over TCP: the bytes. Same layout as the reference implementation QUBIP/etsi-qkd-004, version 1.0.1.

A frame is a header of eight bytes (version major, minor, patch, service type, payload length) and a payload; numbers
are big-endian, 32 bits where nothing else is said:

| service | payload |
|---|---|
| 0x02 OPEN_CONNECT request | source URI, 0x00, destination URI, 0x00, QoS, Key_stream_ID (16 bytes) |
| 0x03 OPEN_CONNECT response | status, and with status 0, 1 and 7: QoS, Key_stream_ID |
| 0x04 GET_KEY request | Key_stream_ID, index, metadata size that the caller takes |
| 0x05 GET_KEY response | status; with 0: index, chunk size, chunk, metadata size, metadata; with 8: size needed |
| 0x08 CLOSE request | Key_stream_ID |
| 0x09 CLOSE response | status |

QoS is Key_chunk_size, Max_bps, Min_bps, Jitter, Priority, Timeout, TTL, then Metadata_mimetype in 256 bytes, padded
with zeros. The standard leaves the transport free; this file is the only one that knows this layout.
"""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import KeyId
from qanat.core.secret import SecretBits
from qanat.km.stream_types import MIMETYPE_CHARACTERS_MAX, StreamQos, StreamStatus

VERSION = (1, 0, 1)
HEADER_BYTES = 8
URI_BYTES_MAX = 1024
PAYLOAD_BYTES_MAX = 4096  # two URIs, QoS and an identifier are the longest request; a chunk and its metadata fit too
INDEX_ANY = 2**32 - 1  # not in the standard: "the next one that I have not taken"

_HEADER = struct.Struct("!BBBBI")
_QOS = struct.Struct(f"!7I{MIMETYPE_CHARACTERS_MAX}s")
_GET_KEY = struct.Struct("!16sII")
_STATUS = struct.Struct("!I")


class BadFrame(RemoteProtocolError):
    """A frame of ETSI 004 that cannot be read. The connection is closed after the answer."""


class Service(IntEnum):
    """Service types; a response is its request plus one."""

    OPEN_CONNECT = 0x02
    GET_KEY = 0x04
    CLOSE = 0x08


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRequest:
    source: str
    destination: str
    qos: StreamQos
    stream: KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class GetKeyRequest:
    stream: KeyId
    index: int
    metadata_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseRequest:
    stream: KeyId


Request = OpenRequest | GetKeyRequest | CloseRequest


def frame(service: int, payload: bytes) -> bytes:
    return _HEADER.pack(*VERSION, service, len(payload)) + payload


def header_from_bytes(data: bytes, *, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> tuple[int, int]:
    """Service type and payload length of a header.

    Raises:
        BadFrame: another major version, or an impossible length.
    """
    major, minor, patch, service, size_bytes = _HEADER.unpack(data)
    if major != VERSION[0]:
        raise BadFrame(f"version {major}.{minor}.{patch}; this server speaks {'.'.join(map(str, VERSION))}")
    if size_bytes > payload_bytes_max:
        raise BadFrame(f"a payload of {size_bytes} bytes is announced, {payload_bytes_max} are the most")
    return service, size_bytes


def request_from_bytes(service: int, payload: bytes) -> Request:
    """Raises: BadFrame."""
    if service == Service.OPEN_CONNECT:
        return _open_request(payload)
    if service == Service.GET_KEY:
        stream, index, metadata_bytes = _exactly(_GET_KEY, payload)
        return GetKeyRequest(stream=uuid.UUID(bytes=stream), index=index, metadata_bytes=metadata_bytes)
    if service == Service.CLOSE:
        if len(payload) != 16:
            raise BadFrame(f"CLOSE carries 16 bytes, not {len(payload)}")
        return CloseRequest(stream=uuid.UUID(bytes=payload))
    raise BadFrame(f"no service has type {service:#04x}")


def _open_request(payload: bytes) -> OpenRequest:
    source, _, rest = payload.partition(b"\0")
    destination, mark, rest = rest.partition(b"\0")
    if not mark or len(rest) != _QOS.size + 16:
        raise BadFrame("OPEN_CONNECT carries two URIs that end in a zero byte, QoS and Key_stream_ID")
    return OpenRequest(
        source=_text(source, URI_BYTES_MAX),
        destination=_text(destination, URI_BYTES_MAX),
        qos=qos_from_bytes(rest[: _QOS.size]),
        stream=uuid.UUID(bytes=rest[_QOS.size :]),
    )


def qos_from_bytes(data: bytes) -> StreamQos:
    """Raises: BadFrame."""
    *numbers, mimetype = _exactly(_QOS, data)
    chunk_bytes, bps_max, bps_min, jitter_bps, priority, timeout_ms, ttl_s = numbers
    return StreamQos(
        chunk_bytes=chunk_bytes,
        bps_max=bps_max,
        bps_min=bps_min,
        jitter_bps=jitter_bps,
        priority=priority,
        timeout_ms=timeout_ms,
        ttl_s=ttl_s,
        mimetype=_text(mimetype.rstrip(b"\0"), MIMETYPE_CHARACTERS_MAX),
    )


def bytes_from_qos(qos: StreamQos) -> bytes:
    numbers = (qos.chunk_bytes, qos.bps_max, qos.bps_min, qos.jitter_bps, qos.priority, qos.timeout_ms, qos.ttl_s)
    return _QOS.pack(*numbers, qos.mimetype.encode())


def bytes_from_request(request: Request) -> bytes:
    """The whole frame, as a client sends it."""
    if isinstance(request, OpenRequest):
        uris = request.source.encode() + b"\0" + request.destination.encode() + b"\0"
        return frame(Service.OPEN_CONNECT, uris + bytes_from_qos(request.qos) + request.stream.bytes)
    if isinstance(request, GetKeyRequest):
        return frame(Service.GET_KEY, _GET_KEY.pack(request.stream.bytes, request.index, request.metadata_bytes))
    return frame(Service.CLOSE, request.stream.bytes)


def opened_frame(status: StreamStatus, qos: StreamQos, stream: KeyId) -> bytes:
    """Answer to OPEN_CONNECT with status 0, 1 or 7."""
    return frame(Service.OPEN_CONNECT + 1, _STATUS.pack(status) + bytes_from_qos(qos) + stream.bytes)


def chunk_frame(index: int, bits: SecretBits, metadata: bytes) -> bytes:
    """Answer to GET_KEY with status 0: here a chunk leaves to the application that asked for it."""
    head = struct.pack("!III", StreamStatus.OK, index, bits.size_bytes)
    return frame(Service.GET_KEY + 1, head + bits.reveal() + _STATUS.pack(len(metadata)) + metadata)


def status_frame(service: int, status: StreamStatus, *, metadata_bytes: int | None = None) -> bytes:
    """Any other answer: the status alone, and with status 8 the size of metadata that is needed."""
    more = b"" if metadata_bytes is None else _STATUS.pack(metadata_bytes)
    return frame(service + 1, _STATUS.pack(status) + more)


def _exactly(layout: struct.Struct, data: bytes) -> tuple[Any, ...]:
    if len(data) != layout.size:
        raise BadFrame(f"{len(data)} bytes where {layout.size} belong")
    return layout.unpack(data)


def _text(data: bytes, size_bytes_max: int) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadFrame("a text is not UTF-8") from None
    if len(data) > size_bytes_max or not text.isprintable():
        raise BadFrame(f"a text is longer than {size_bytes_max} bytes or has unprintable characters")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAnswer:
    status: StreamStatus
    qos: StreamQos | None
    stream: KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkAnswer:
    status: StreamStatus
    index: int
    bits: SecretBits
    metadata: bytes
    metadata_bytes: int


def open_answer_from_bytes(payload: bytes) -> OpenAnswer:
    """Raises: BadFrame."""
    status = _status(payload)
    if len(payload) == _STATUS.size:
        return OpenAnswer(status=status, qos=None, stream=uuid.UUID(int=0))
    if len(payload) != _STATUS.size + _QOS.size + 16:
        raise BadFrame(f"an answer to OPEN_CONNECT of {len(payload)} bytes")
    qos = qos_from_bytes(payload[_STATUS.size : -16])
    return OpenAnswer(status=status, qos=qos, stream=uuid.UUID(bytes=payload[-16:]))


def chunk_answer_from_bytes(payload: bytes) -> ChunkAnswer:
    """Raises: BadFrame."""
    status = _status(payload)
    if status is not StreamStatus.OK:
        needed = _STATUS.unpack(payload[4:8])[0] if len(payload) == 2 * _STATUS.size else 0
        return ChunkAnswer(status=status, index=0, bits=SecretBits(b""), metadata=b"", metadata_bytes=needed)
    if len(payload) < 16:
        raise BadFrame(f"an answer to GET_KEY of {len(payload)} bytes")
    _, index, chunk_bytes = struct.unpack("!III", payload[:12])
    chunk, rest = payload[12 : 12 + chunk_bytes], payload[12 + chunk_bytes :]
    if len(chunk) != chunk_bytes or len(rest) < 4 or _STATUS.unpack(rest[:4])[0] != len(rest) - 4:
        raise BadFrame("the sizes in an answer to GET_KEY do not add up")
    return ChunkAnswer(
        status=status, index=index, bits=SecretBits(chunk), metadata=rest[4:], metadata_bytes=len(rest) - 4
    )


def status_from_bytes(payload: bytes) -> StreamStatus:
    """Raises: BadFrame."""
    return _status(payload)


def _status(payload: bytes) -> StreamStatus:
    try:
        return StreamStatus(_STATUS.unpack(payload[:4])[0])
    except (struct.error, ValueError):
        raise BadFrame("an answer without a known status") from None
