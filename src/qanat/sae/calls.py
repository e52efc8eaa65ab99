"""The three methods of ETSI GS QKD 014: what goes out, and how its answer is read. No I/O here.

A 004 or SKIP client stands beside this file with calls of its own; connections and retry are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar
from urllib.parse import quote

from qanat.core.ids import KeyId, SaeId
from qanat.sae.answers import KmeStatus, container_from_json, status_from_json
from qanat.sae.errors import KmeSpokeNonsense
from qanat.sae.keys import DeliveredKey

ResultT = TypeVar("ResultT")
Extensions = list[dict[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[ResultT]):
    """One request.

    Attributes:
        other: The SAE at the other end.
        key_count: How many keys the KME takes for it; 0 is a request that may go out again at will.
        read: From the body of a 200 to what the application gets. Raises ``KmeSpokeNonsense``.
    """

    verb: str
    other: SaeId
    path: str
    body: bytes | None
    key_count: int
    read: Callable[[bytes], ResultT]


def status_call(slave: SaeId) -> Call[KmeStatus]:
    """Get status (014, clause 5.1)."""
    return Call(verb="GET", other=slave, path=_path(slave, "status"), body=None, key_count=0, read=status_from_json)


def enc_keys_call(
    us: SaeId,
    slave: SaeId,
    number: int,
    size_bits: int | None,
    *,
    additional_slaves: Iterable[SaeId] = (),
    extension_mandatory: Extensions | None = None,
    extension_optional: Extensions | None = None,
) -> Call[list[DeliveredKey]]:
    """Get key (014, clause 5.2). What is not wanted is left out: a KME's defaults are its own."""
    wanted: dict[str, object] = {
        "number": number,
        "size": size_bits,
        "additional_slave_SAE_IDs": list(additional_slaves),
        "extension_mandatory": extension_mandatory,
        "extension_optional": extension_optional,
    }
    body = json.dumps({name: value for name, value in wanted.items() if value not in (None, [])}).encode()
    read = partial(_new_keys, us=us, slave=slave, number=number, size_bits=size_bits)
    return Call(verb="POST", other=slave, path=_path(slave, "enc_keys"), body=body, key_count=max(1, number), read=read)


def dec_keys_call(us: SaeId, master: SaeId, key_ids: Iterable[KeyId]) -> Call[list[DeliveredKey]]:
    """Get key with key IDs (014, clause 5.3)."""
    asked = list(key_ids)
    body = json.dumps({"key_IDs": [{"key_ID": str(key_id)} for key_id in asked]}).encode()
    read = partial(_known_keys, us=us, master=master, asked=asked)
    return Call(
        verb="POST", other=master, path=_path(master, "dec_keys"), body=body, key_count=max(1, len(asked)), read=read
    )


def _new_keys(body: bytes, *, us: SaeId, slave: SaeId, number: int, size_bits: int | None) -> list[DeliveredKey]:
    keys = container_from_json(body, master=us, slave=slave)
    if len(keys) != number or len({key.key_id for key in keys}) != number:
        raise KmeSpokeNonsense(f"{number} keys were asked for, {len(keys)} came.")
    if size_bits is not None and any(key.bits.size_bits != size_bits for key in keys):
        raise KmeSpokeNonsense(f"Keys of {size_bits} bits were asked for, others came.")
    return keys


def _known_keys(body: bytes, *, us: SaeId, master: SaeId, asked: list[KeyId]) -> list[DeliveredKey]:
    keys = {key.key_id: key for key in container_from_json(body, master=master, slave=us)}
    if set(keys) != set(asked):
        raise KmeSpokeNonsense("Other keys came than those asked for.")
    return [keys[key_id] for key_id in asked]


def _path(sae: SaeId, method: str) -> str:
    return f"/api/v1/keys/{quote(sae, safe='')}/{method}"
