"""The JSON objects of ETSI GS QKD 004 in push mode, as AIT describes them (its OpenAPI documents 1.0.1 and 1.0.0).

The only file that knows their spellings. The application opens and closes streams and says when to begin; the chunks
come to it, each as a request of the KME. Reading refuses what ``documents.py`` refuses for ETSI 014, and ignores
unknown members; a member of ``qos`` that is null is as good as absent.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from qanat.core.ids import KeyId
from qanat.core.malformed import MALFORMED
from qanat.core.secret import SecretBits
from qanat.km.documents import KeyDeliveryError, object_from_json
from qanat.km.stream_types import MIMETYPE_CHARACTERS_MAX, UINT32_MAX, StreamQos, StreamStatus

PREFIX = "/api/v1/kms/etsi004"  # of the KME
KEY_MATERIAL = "/api/v1/qkd/etsi004/key-material"  # of the application
URI_CHARACTERS_MAX = 1024
METADATA_CHARACTERS_MAX = 4096
MIMETYPE = "application/json"  # "It is always assumed to be" that, says its note 2 on open-connect

Uint32 = Annotated[int, msgspec.Meta(ge=0, le=UINT32_MAX)]
Uri = Annotated[str, msgspec.Meta(min_length=1, max_length=URI_CHARACTERS_MAX)]


class Qos(msgspec.Struct, kw_only=True, frozen=True):
    """What the caller wants; whatever it leaves out is the KME's choice."""

    key_chunk_size: Uint32 | None = None
    max_bps: Uint32 | None = None
    min_bps: Uint32 | None = None
    jitter: Uint32 | None = None
    priority: Uint32 | None = None
    timeout: Uint32 | None = None
    ttl: Uint32 | None = None
    metadata_mimetype: Annotated[str, msgspec.Meta(max_length=MIMETYPE_CHARACTERS_MAX)] | None = None

    def wanted(self) -> StreamQos:
        return _wanted(self)


class GrantedQos(msgspec.Struct, kw_only=True, frozen=True):
    """What the stream has, every member given."""

    key_chunk_size: Uint32
    max_bps: Uint32
    min_bps: Uint32
    jitter: Uint32
    priority: Uint32
    timeout: Uint32
    ttl: Uint32
    metadata_mimetype: str

    def wanted(self) -> StreamQos:
        return _wanted(self)


class Metadata(msgspec.Struct, kw_only=True, frozen=True):
    """Of ``get-key``; "currently not used", says its note."""

    size: Uint32 | None = None
    buffer: Annotated[str, msgspec.Meta(max_length=METADATA_CHARACTERS_MAX)] | None = None


class OpenConnect(msgspec.Struct, kw_only=True, frozen=True):
    source: Uri
    destination: Uri
    qos: Qos
    key_stream_id: KeyId | None = None


class GetKey(msgspec.Struct, kw_only=True, frozen=True):
    key_stream_id: KeyId
    index: Uint32 | None = None
    metadata: Metadata | None = None


class Close(msgspec.Struct, kw_only=True, frozen=True):
    key_stream_id: KeyId


class Opened(msgspec.Struct, kw_only=True, frozen=True):
    """Answer to ``open-connect``."""

    source: Uri
    destination: Uri
    key_stream_id: KeyId
    qos: GrantedQos
    status: StreamStatus


class Done(msgspec.Struct, kw_only=True, frozen=True):
    """Answer to ``get-key`` and to ``key-material``."""

    status: StreamStatus


class Refusal(msgspec.Struct, kw_only=True, frozen=True):
    """Every answer that is no success: the status of ETSI 004, and what the document leaves out, a sentence.

    ``qos`` is the counter proposal that status 7 promises.
    """

    status: StreamStatus
    message: str
    qos: GrantedQos | msgspec.UnsetType = msgspec.UNSET


class ChunkMetadata(msgspec.Struct, kw_only=True, frozen=True):
    size: Uint32
    buffer: dict[str, Any]


class KeyMaterial(msgspec.Struct, kw_only=True, frozen=True):
    """One chunk on its way to the application; its bits become base64 only in ``encode``."""

    status: StreamStatus
    index: Uint32
    key_buffer: SecretBits
    metadata: ChunkMetadata


def _wanted(qos: Qos | GrantedQos) -> StreamQos:
    return StreamQos(
        chunk_bytes=qos.key_chunk_size or 0,
        bps_max=qos.max_bps or 0,
        bps_min=qos.min_bps or 0,
        jitter_bps=qos.jitter or 0,
        priority=qos.priority or 0,
        timeout_ms=qos.timeout or 0,
        ttl_s=qos.ttl or 0,
        mimetype=MIMETYPE,
    )


def granted(qos: StreamQos) -> GrantedQos:
    return GrantedQos(
        key_chunk_size=qos.chunk_bytes,
        max_bps=qos.bps_max,
        min_bps=qos.bps_min,
        jitter=qos.jitter_bps,
        priority=qos.priority,
        timeout=qos.timeout_ms,
        ttl=qos.ttl_s,
        metadata_mimetype=qos.mimetype or MIMETYPE,
    )


def key_material(stream: KeyId, index: int, bits: SecretBits, provenance: Mapping[str, Any]) -> bytes:
    """The body of a push. ``size`` counts the characters of ``buffer`` as it is written here."""
    buffer = {"key_stream_id": str(stream), "provenance": dict(provenance)}
    metadata = ChunkMetadata(size=len(encode(buffer).decode()), buffer=buffer)
    return encode(KeyMaterial(status=StreamStatus.OK, index=index, key_buffer=bits, metadata=metadata))


def encode(document: msgspec.Struct | dict[str, Any]) -> bytes:
    return _ENCODER.encode(document)


def _encode_secret(value: object) -> str:
    if isinstance(value, SecretBits):
        return base64.b64encode(value.reveal()).decode()  # the application asked for its key: here it leaves
    raise TypeError(f"{type(value).__name__} has no place in an object of ETSI 004")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_secret)
_Asked = TypeVar("_Asked", OpenConnect, GetKey, Close)


def read(body: bytes, kind: type[_Asked]) -> _Asked:
    """What an application asks.

    Raises:
        KeyDeliveryError: 400 or 413.

    Example:
        >>> read(b'{"key_stream_id": "00000000-0000-0000-0000-000000000007", "index": 3}', GetKey).index
        3
    """
    members = object_from_json(body)
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise KeyDeliveryError(400, f"the request does not fit the push mode of ETSI GS QKD 004: {error}") from None


def is_confirmation(status_code: int, body: bytes) -> bool:
    """Has the application said that it has the chunk: 201, and no status but 0 in the answer?

    Example:
        >>> is_confirmation(201, b'{"status": 0}'), is_confirmation(200, b""), is_confirmation(201, b'{"status": 2}')
        (True, False, False)
    """
    if status_code != 201:
        return False
    try:
        return bool(msgspec.json.decode(body, type=_Confirmed).status == 0)
    except MALFORMED:
        return True  # the code says "Key successfully received"; sending the chunk again could say no more


class _Confirmed(msgspec.Struct, frozen=True):
    status: int = 0


class ReceivedChunk(msgspec.Struct, kw_only=True, frozen=True):
    """What an application reads from a push. ``provenance`` is empty where the KME is no qanat."""

    stream: KeyId
    index: int
    bits: SecretBits
    provenance: dict[str, Any]


class _Buffer(msgspec.Struct, frozen=True):
    key_stream_id: KeyId
    provenance: dict[str, Any] = {}


class _Metadata(msgspec.Struct, frozen=True):
    buffer: _Buffer


class _Pushed(msgspec.Struct, frozen=True):
    status: StreamStatus
    index: Uint32
    key_buffer: bytes  # base64, says msgspec of bytes
    metadata: _Metadata


def chunk_from_json(body: bytes) -> ReceivedChunk:
    """The chunk in the body of a push.

    Raises:
        KeyDeliveryError: 400, it holds none, or none that names its stream.
    """
    members = object_from_json(body)
    try:
        pushed = msgspec.convert(members, _Pushed)
    except msgspec.ValidationError as error:
        raise KeyDeliveryError(400, f"this is no key material: {error}") from None
    if pushed.status is not StreamStatus.OK or not pushed.key_buffer:
        raise KeyDeliveryError(400, f"this push carries no chunk, its status is {int(pushed.status)}")
    said = pushed.metadata.buffer
    bits = SecretBits(pushed.key_buffer)
    return ReceivedChunk(stream=said.key_stream_id, index=pushed.index, bits=bits, provenance=said.provenance)
