"""The JSON that a KME sends back, read with suspicion. The spellings are those of ETSI GS QKD 014, clause 6."""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from dataclasses import dataclass
from typing import Any

from qanat.core.errors import QanatError
from qanat.core.ids import LinkId, SaeId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.secret import SecretBits
from qanat.sae.errors import (
    CalledTooOften,
    KeysNotFound,
    KeysNotReady,
    KmeSpokeNonsense,
    NotEntitled,
    RequestRefused,
)
from qanat.sae.http import Answer
from qanat.sae.keys import DeliveredKey

NOT_FOUND_MESSAGE = "one or more keys specified are not found on KME"  # verbatim in 014, clause 6.3
TEXT_MAX = 500  # of a message shown to people


@dataclass(frozen=True, slots=True, kw_only=True)
class KmeStatus:
    """What a KME says of one pair of SAEs; sizes in bits."""

    source_kme_id: str
    target_kme_id: str
    master: SaeId
    slave: SaeId
    key_size_bits: int
    stored_key_count: int
    max_key_count: int
    max_key_per_request: int
    max_key_size_bits: int
    min_key_size_bits: int
    max_sae_id_count: int
    extension: dict[str, Any] | None


def status_from_json(body: bytes) -> KmeStatus:
    """Raises:
    KmeSpokeNonsense: a member is missing or of another type.
    """
    status = _object(body)
    return KmeStatus(
        source_kme_id=_text(status, "source_KME_ID"),
        target_kme_id=_text(status, "target_KME_ID"),
        master=SaeId(_text(status, "master_SAE_ID")),
        slave=SaeId(_text(status, "slave_SAE_ID")),
        key_size_bits=_count(status, "key_size"),
        stored_key_count=_count(status, "stored_key_count"),
        max_key_count=_count(status, "max_key_count"),
        max_key_per_request=_count(status, "max_key_per_request"),
        max_key_size_bits=_count(status, "max_key_size"),
        min_key_size_bits=_count(status, "min_key_size"),
        max_sae_id_count=_count(status, "max_SAE_ID_count"),
        extension=_optional_object(status, "status_extension"),
    )


def container_from_json(body: bytes, *, master: SaeId, slave: SaeId) -> list[DeliveredKey]:
    """The keys of a Key container.

    Raises:
        KmeSpokeNonsense: it is not one.
    """
    found = _object(body).get("keys")
    if not isinstance(found, list):
        raise KmeSpokeNonsense("The answer has no array named keys.")
    return [_key(entry, master, slave) for entry in found]


def _key(entry: object, master: SaeId, slave: SaeId) -> DeliveredKey:
    if not isinstance(entry, dict):
        raise KmeSpokeNonsense("A key is not an object.")
    try:
        key_id = uuid.UUID(_text(entry, "key_ID"))
        bits = SecretBits(base64.b64decode(_text(entry, "key"), validate=True))
    except (ValueError, binascii.Error):
        raise KmeSpokeNonsense("A key's ID is no UUID, or the key is not base64.") from None
    extension = _optional_object(entry, "key_extension")
    return DeliveredKey(
        key_id=key_id, master=master, slave=slave, bits=bits, provenance=provenance_from_extension(extension or {})
    )


def provenance_from_extension(extension: dict[str, Any]) -> Provenance | None:
    """What the key rests on; None when the KME does not speak qanat's extension.

    Raises:
        KmeSpokeNonsense: it speaks it wrongly. A key with a broken label is not used.
    """
    if "qanat_key_origin" not in extension:
        return None
    try:
        return Provenance(
            origin=Origin(extension["qanat_key_origin"]),
            links=tuple(LinkId(name) for name in _names(extension, "qanat_links")),
            trusted_nodes=tuple(SiteId(name) for name in _names(extension, "qanat_trusted_nodes")),
            authentication=_authentication(extension["qanat_authentication"]),
            algorithms=tuple(_names(extension, "qanat_algorithms")),
            epsilon_total=float(extension["qanat_epsilon_total"]),
            simulated=_flag(extension, "qanat_simulated"),
        )
    except (KeyError, TypeError, ValueError):
        raise KmeSpokeNonsense("The provenance of a key cannot be understood.") from None


def _authentication(word: object) -> Authentication | None:
    return None if word is None else Authentication(str(word))


def error_from_answer(answer: Answer, address: str) -> QanatError:
    """The error that a status code other than 200 stands for."""
    try:
        error = _object(answer.body)
        message = _text(error, "message")[:TEXT_MAX]
    except KmeSpokeNonsense:
        return KmeSpokeNonsense(f"{address} answered {answer.status_code} without an Error object.")
    details = error.get("details")
    said = f"{address} answered {answer.status_code}: {message}{_in_words(details)}"
    wait_ms = _retry_after_ms(answer, details)
    if answer.status_code == 401:
        return NotEntitled(said, details=details)
    if answer.status_code == 503:
        return KeysNotReady(said, retry_after_ms=wait_ms, details=details)
    if answer.status_code == 429:
        return CalledTooOften(said, retry_after_ms=wait_ms)
    if message == NOT_FOUND_MESSAGE:
        return KeysNotFound(said, details=details)
    return RequestRefused(said, details=details)


def _retry_after_ms(answer: Answer, details: object) -> int | None:
    """The finer of the two places where a KME may say how long to wait."""
    for entry in details if isinstance(details, list) else []:
        value = entry.get("retry_after_ms") if isinstance(entry, dict) else None
        if type(value) is int and value >= 0:
            return value
    header = answer.headers.get("retry-after", "")
    return int(header) * 1000 if header.isascii() and header.isdigit() and len(header) < 7 else None


def _in_words(details: object) -> str:
    if not isinstance(details, list) or not details:
        return ""
    pairs = [f"{name}: {value}" for entry in details if isinstance(entry, dict) for name, value in entry.items()]
    return f" ({', '.join(pairs)})"[:TEXT_MAX] if pairs else ""


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise KmeSpokeNonsense("The answer is not JSON.") from None
    if not isinstance(found, dict):
        raise KmeSpokeNonsense("The answer is not a JSON object.")
    return found


def _text(table: dict[str, Any], name: str) -> str:
    value = table.get(name)
    if not isinstance(value, str):
        raise KmeSpokeNonsense(f"The answer has no text named {name}.")
    return value


def _count(table: dict[str, Any], name: str) -> int:
    value = table.get(name)
    if type(value) is not int or value < 0:
        raise KmeSpokeNonsense(f"The answer has no whole number named {name}.")
    return value


def _optional_object(table: dict[str, Any], name: str) -> dict[str, Any] | None:
    value = table.get(name)
    if value is not None and not isinstance(value, dict):
        raise KmeSpokeNonsense(f"{name} is not an object.")
    return value


def _names(table: dict[str, Any], name: str) -> list[str]:
    value = table[name]
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise TypeError(name)
    return value


def _flag(table: dict[str, Any], name: str) -> bool:
    value = table[name]
    if not isinstance(value, bool):
        raise TypeError(name)
    return value
