"""The JSON objects of ETSI GS QKD 014 V1.1.1, and how strictly they are read.

The only file that knows 014's spellings. Reading refuses duplicate members, trailing bytes and wrong types
(400), and ignores unknown top-level members.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.core.malformed import MALFORMED
from qanat.core.secret import SecretBits

BODY_BYTES_MAX = 65_536
DEPTH_MAX = 16  # our own extensions need three levels
EXTENSIONS_MAX = 64  # objects in one extension array; each of ours has one name

# Clause 6: these messages are required to the letter.
SIZE_NOT_MULTIPLE = "size shall be a multiple of 8"
MANDATORY_UNKNOWN = "not all extension_mandatory parameters are supported"
MANDATORY_UNMET = "not all extension_mandatory request options could be met"
NOT_FOUND = "one or more keys specified are not found on KME"


class KeyDeliveryError(QanatError):
    """The KME answers a key delivery request with an ETSI 014 Error object.

    ``grant_pending`` is a hint for the host: the keys may be on their way from the other KME, so asking
    again within half a second may succeed. It is the same for unknown keys and for other SAEs' keys.
    """

    def __init__(
        self,
        status_code: int,
        message: str,
        details: list[dict[str, Any]] | None = None,
        retry_after_ms: int | None = None,
        *,
        grant_pending: bool = False,
    ) -> None:
        super().__init__(message, status_code=status_code)
        self.status_code = status_code
        self.message = message
        self.details = details
        self.retry_after_ms = retry_after_ms
        self.grant_pending = grant_pending

    @property
    def document(self) -> ErrorDocument:
        return ErrorDocument(message=self.message, details=msgspec.UNSET if self.details is None else self.details)


class ErrorDocument(msgspec.Struct, kw_only=True, frozen=True):
    """Body of every answer that is not 200."""

    message: str
    details: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET


_STATUS_NAMES = {
    "source_kme_id": "source_KME_ID",
    "target_kme_id": "target_KME_ID",
    "master_sae_id": "master_SAE_ID",
    "slave_sae_id": "slave_SAE_ID",
    "max_sae_id_count": "max_SAE_ID_count",
}


class Status(msgspec.Struct, kw_only=True, frozen=True, rename=_STATUS_NAMES):
    """Sizes are in bits."""

    source_kme_id: str
    target_kme_id: str
    master_sae_id: str
    slave_sae_id: str
    key_size: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size: int
    min_key_size: int
    max_sae_id_count: int = 0
    status_extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class KeyRequest(
    msgspec.Struct, kw_only=True, frozen=True, rename={"additional_slave_sae_ids": "additional_slave_SAE_IDs"}
):
    """What a master asks for. ``size`` None stands for the KME's default key size."""

    number: int = 1
    size: int | None = None
    additional_slave_sae_ids: list[str] = []
    extension_mandatory: list[dict[str, Any]] = []
    extension_optional: list[dict[str, Any]] = []


class KeyRequestBody(KeyRequest, frozen=True, kw_only=True):
    """A Key request on the wire."""

    size: int = 0  # the wire has no null

    @classmethod
    def read(cls, members: dict[str, Any]) -> KeyRequest:
        body = msgspec.convert(members, cls)
        if max(len(body.extension_mandatory), len(body.extension_optional)) > EXTENSIONS_MAX:
            raise KeyDeliveryError(400, f"an extension array holds at most {EXTENSIONS_MAX} objects")
        return KeyRequest(
            number=body.number,
            size=body.size if "size" in members else None,
            additional_slave_sae_ids=body.additional_slave_sae_ids,
            extension_mandatory=body.extension_mandatory,
            extension_optional=body.extension_optional,
        )


class KeyIdEntry(
    msgspec.Struct, kw_only=True, frozen=True, rename={"key_id": "key_ID", "extension": "key_ID_extension"}
):
    key_id: str
    extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class KeyIds(
    msgspec.Struct, kw_only=True, frozen=True, rename={"key_ids": "key_IDs", "extension": "key_IDs_extension"}
):
    key_ids: list[KeyIdEntry]
    extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class Key(msgspec.Struct, kw_only=True, frozen=True, rename={"key_id": "key_ID"}):
    """One delivered key; its bits become base64 only in ``encode``."""

    key_id: KeyId
    key: SecretBits
    key_extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class KeyContainer(msgspec.Struct, kw_only=True, frozen=True):
    keys: list[Key]
    key_container_extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET

    def wipe(self) -> None:
        """Overwrite the keys once the answer is written."""
        for key in self.keys:
            key.key.wipe()


Document = Status | KeyContainer | ErrorDocument


def encode(document: Document) -> bytes:
    """The JSON body of an answer; absent members are left out, never null."""
    return _ENCODER.encode(document)


def _encode_secret(value: object) -> str:
    if isinstance(value, SecretBits):
        return base64.b64encode(value.reveal()).decode()  # the application asked for its key: here it leaves
    raise TypeError(f"{type(value).__name__} has no place in an ETSI 014 object")


_ENCODER = msgspec.json.Encoder(enc_hook=_encode_secret)


def key_request_from_json(body: bytes) -> KeyRequest:
    """A Key request. An empty body asks for one key of the default size.

    Raises:
        KeyDeliveryError: 400 or 413.

    Example:
        >>> key_request_from_json(b'{"number": 3, "size": 128}').number
        3
    """
    members = object_from_json(body) if body.strip() else {}
    return _typed(lambda: KeyRequestBody.read(members))


def key_ids_from_json(body: bytes) -> list[KeyId]:
    """The key IDs of a Key IDs object, in order.

    Raises:
        KeyDeliveryError: 400 or 413.
    """
    members = object_from_json(body)
    return [key_id_from_text(entry.key_id) for entry in _typed(lambda: msgspec.convert(members, KeyIds)).key_ids]


def key_id_from_text(text: str) -> KeyId:
    """A key ID as 014 writes it: a UUID with its hyphens.

    Raises:
        KeyDeliveryError: 400.
    """
    try:
        if len(text) == 36:
            return KeyId(text)
    except ValueError:
        pass
    raise KeyDeliveryError(400, "key_ID shall be a UUID")


_T = TypeVar("_T")


def _typed(read: Callable[[], _T]) -> _T:
    try:
        return read()
    except msgspec.ValidationError as error:
        raise KeyDeliveryError(400, f"request does not fit ETSI GS QKD 014: {error}") from None


def object_from_json(body: bytes, *, size_bytes_max: int = BODY_BYTES_MAX) -> dict[str, Any]:
    """One JSON object: no duplicate members at any depth, no trailing bytes, no NaN, no number beyond a double's range,
    no half of a surrogate pair, which could not be said again in UTF-8.

    Raises:
        KeyDeliveryError: 400 or 413.
    """
    if len(body) > size_bytes_max:
        raise KeyDeliveryError(413, f"request body is larger than {size_bytes_max} bytes")
    try:
        found = _DECODER.decode(body.decode("utf-8"))
        if b"\\u" in body:
            msgspec.json.decode(body)  # refuses lone surrogates, which Python's own reader lets through
    except KeyDeliveryError:
        raise
    except (ValueError, *MALFORMED):
        raise KeyDeliveryError(400, "request body is not one JSON object") from None
    if not isinstance(found, dict):
        raise KeyDeliveryError(400, "request body is not one JSON object")
    _check_depth(found)
    return found


def _check_depth(found: dict[str, Any]) -> None:
    level: list[Any] = [found]
    for _ in range(DEPTH_MAX):
        level = [
            item
            for value in level
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return
    raise KeyDeliveryError(400, f"request body is nested deeper than {DEPTH_MAX} levels")


def _no_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise KeyDeliveryError(400, "a member appears twice in one JSON object")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(text)  # NaN and Infinity are not JSON


def _finite(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError("beyond the range of a double")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant, parse_float=_finite)


__all__ = [
    "MANDATORY_UNKNOWN",
    "MANDATORY_UNMET",
    "NOT_FOUND",
    "SIZE_NOT_MULTIPLE",
    "Document",
    "ErrorDocument",
    "Key",
    "KeyContainer",
    "KeyDeliveryError",
    "KeyRequest",
    "SaeId",
    "Status",
    "encode",
    "key_id_from_text",
    "key_ids_from_json",
    "key_request_from_json",
]
