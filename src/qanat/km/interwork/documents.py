"""The JSON objects of ETSI GS QKD 020 V1.1.1, and how strictly they are read. The only file with its spellings.

Errors are those of RFC 9457 (``application/problem+json``). Field names follow the reference page; the standard's own
schema puts ``properties`` beside ``items`` in ``key_id_container``, and its prose is followed.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from enum import StrEnum
from typing import Annotated, Any

import msgspec

from qanat.core.errors import QanatError
from qanat.core.ids import KeyId
from qanat.core.secret import SecretBits
from qanat.km.documents import BODY_BYTES_MAX, KeyDeliveryError, object_from_json

KEYS_MAX = 1024  # of one ACK or void; taken for ext_keys too
KEY_BITS_MIN, KEY_BITS_MAX = 64, 4096
SAE_ID_CHARACTERS_MAX = 512
VERSIONS = b'{"versions":["v1"]}'
PREFIX = "/kmapi/v1/ext_keys"

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=SAE_ID_CHARACTERS_MAX)]


class AckStatus(StrEnum):
    """What became of a key at the other side."""

    RELAYED = "relayed"
    VOIDED = "voided"
    FAILED = "failed"
    NOT_PRESENT = "key not present"


class InterworkError(QanatError):
    """The KME refuses a request of a partner's key management system."""

    def __init__(self, status_code: int, title: str, detail: str) -> None:
        super().__init__(detail, status_code=status_code)
        self.status_code, self.title = status_code, title

    @property
    def problem(self) -> bytes:
        """The body of RFC 9457."""
        found = {"type": "about:blank", "status": self.status_code, "title": self.title, "details": self.detail}
        return msgspec.json.encode(found)


class _KeyEntry(msgspec.Struct, frozen=True):
    key_id: str
    value: str
    extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class _ExtKeysBody(msgspec.Struct, frozen=True, kw_only=True):
    keys: Annotated[list[_KeyEntry], msgspec.Meta(min_length=1, max_length=KEYS_MAX)]
    initiator_sae_id: _Name
    target_sae_ids: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=64)]
    ack_callback_url: str
    extension_mandatory: list[dict[str, Any]] = []
    extension_optional: list[dict[str, Any]] = []


class KeyIdEntry(msgspec.Struct, frozen=True):
    key_id: str
    extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class AckContainer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of some keys for one target."""

    key_ids: Annotated[list[KeyIdEntry], msgspec.Meta(max_length=KEYS_MAX)]
    ack_status: AckStatus
    initiator_sae_id: _Name
    target_sae_id: _Name
    message: str = ""
    extension: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


_Acks = Annotated[list[AckContainer], msgspec.Meta(max_length=64)]


class VoidBody(msgspec.Struct, frozen=True, kw_only=True):
    """Discard these keys; none named stands for all of these SAEs, if ``all_confirmation`` says so."""

    key_ids: Annotated[list[KeyIdEntry], msgspec.Meta(max_length=KEYS_MAX)] = []
    initiator_sae_id: _Name
    target_sae_ids: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=64)]
    ack_callback_url: str
    all_confirmation: bool = False


class ReceivedKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key from a partner. Wipe it after use."""

    key_id: KeyId
    bits: SecretBits


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A request to take keys, read and found well formed."""

    keys: list[ReceivedKey]
    initiator: str
    targets: list[str]
    callback_url: str

    def wipe(self) -> None:
        for key in self.keys:
            key.bits.wipe()


def transfer_from_json(body: bytes) -> Transfer:
    """Raises: InterworkError."""
    found: _ExtKeysBody = _read(body, _ExtKeysBody)
    if found.extension_mandatory:
        raise InterworkError(400, "extension not supported", "no extension_mandatory is supported by this KME")
    ids = [key_id_from_text(entry.key_id) for entry in found.keys]
    if len(set(ids)) != len(ids) or len(set(found.target_sae_ids)) != len(found.target_sae_ids):
        raise InterworkError(400, "bad request", "a key_id or target is given twice")
    return Transfer(
        keys=[ReceivedKey(key_id=name, bits=_bits(entry.value)) for name, entry in zip(ids, found.keys, strict=True)],
        initiator=found.initiator_sae_id,
        targets=list(found.target_sae_ids),
        callback_url=found.ack_callback_url,
    )


def acks_from_json(body: bytes) -> list[AckContainer]:
    """An array of ACK containers. Raises: InterworkError."""
    if len(body) > BODY_BYTES_MAX:
        raise InterworkError(413, "content too large", f"a body of more than {BODY_BYTES_MAX} bytes")
    # object_from_json refuses what JSON parsers differ on; the array is read by wrapping it into an object.
    wrapped = _wrapped(b'{"acks":' + body + b"}")
    if set(wrapped) != {"acks"}:
        raise InterworkError(400, "bad request", "the body is not one JSON array")
    try:
        found: list[AckContainer] = msgspec.convert(wrapped["acks"], _Acks)
    except msgspec.ValidationError as error:
        raise InterworkError(400, "bad request", f"does not fit ETSI GS QKD 020: {error}") from None
    return found


def void_from_json(body: bytes) -> VoidBody:
    """Raises: InterworkError."""
    found: VoidBody = _read(body, VoidBody)
    if not found.key_ids and not found.all_confirmation:
        raise InterworkError(400, "bad request", "empty key_ids discard all keys; say so with all_confirmation true")
    return found


def key_id_from_text(text: str) -> KeyId:
    """Raises: InterworkError."""
    try:
        if len(text) == 36:
            return uuid.UUID(text)
    except ValueError:
        pass
    raise InterworkError(400, "bad request", "key_id shall be a UUID")


def ext_keys_json(keys: list[tuple[KeyId, SecretBits]], initiator: str, target: str, callback_url: str) -> bytes:
    """The body that hands keys to a partner: here they leave this KME, over mutual TLS within one trusted site."""
    entries = [{"key_id": str(name), "value": base64.b64encode(bits.reveal()).decode()} for name, bits in keys]
    return msgspec.json.encode(
        {
            "keys": entries,
            "initiator_sae_id": initiator,
            "target_sae_ids": [target],
            "ack_callback_url": callback_url,
        }
    )


def acks_json(containers: list[AckContainer]) -> bytes:
    return msgspec.json.encode(containers)


def void_json(ids: list[KeyId], initiator: str, target: str, callback_url: str) -> bytes:
    return msgspec.json.encode(
        {
            "key_ids": [{"key_id": str(name)} for name in ids],
            "initiator_sae_id": initiator,
            "target_sae_ids": [target],
            "ack_callback_url": callback_url,
        }
    )


def _bits(text: str) -> SecretBits:
    try:
        bits = SecretBits(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        raise InterworkError(400, "bad request", "a key's value is not base64") from None
    if not KEY_BITS_MIN <= bits.size_bits <= KEY_BITS_MAX:
        raise InterworkError(400, "bad request", f"a key shall have {KEY_BITS_MIN} to {KEY_BITS_MAX} bits")
    return bits


def _wrapped(body: bytes) -> dict[str, Any]:
    try:
        return object_from_json(body, size_bytes_max=2 * BODY_BYTES_MAX)
    except KeyDeliveryError as error:
        raise InterworkError(error.status_code, "bad request", error.message) from None


def _read(body: bytes, shape: type[Any]) -> Any:
    try:
        return msgspec.convert(_wrapped(body), shape)
    except msgspec.ValidationError as error:
        # msgspec's messages name places and types, never a value.
        raise InterworkError(400, "bad request", f"does not fit ETSI GS QKD 020: {error}") from None
