"""`qanat key status|get|take`: what an application does."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qanat.cli.application import Told, client_of
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId

if TYPE_CHECKING:
    from qanat.sae.keys import DeliveredKey


def _shown(key: DeliveredKey, is_revealing: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "key_ID": str(key.key_id),
        "size_bits": key.bits.size_bits,
        "digest": key.digest,
        "provenance": key.provenance.sentence() if key.provenance is not None else None,
    }
    if is_revealing:  # asked for in so many words
        shown["key"] = base64.b64encode(key.bits.reveal()).decode()
    return shown


def _print(keys: list[DeliveredKey], *, as_json: bool, is_revealing: bool) -> int:
    shown = [_shown(key, is_revealing) for key in keys]
    if as_json:
        as_json_text(shown)
        return 0
    for item in shown:
        print(f"{item['key_ID']}  {item['size_bits']} bits  digest {item['digest']}")
        print(f"    {item['provenance']}")
        if is_revealing:
            print(f"    {item['key']}")
    return 0


def status(told: Told, sae: str, peer: str, *, as_json: bool) -> int:
    """Exit code 0 when a key waits for this pair, else 1."""
    with client_of(told, sae) as client:
        found = client.status(SaeId(peer))
    if as_json:
        as_json_text({name: getattr(found, name) for name in found.__dataclass_fields__ if name != "extension"})
    else:
        print(f"{found.source_kme_id} knows us as {found.master}; {found.slave} asks {found.target_kme_id}")
        print(f"{found.stored_key_count} keys of {found.key_size_bits} bits wait for the two")
    return 0 if found.stored_key_count else 1


def get(
    told: Told, sae: str, peer: str, *, number: int, size_bits: int | None, as_json: bool, is_revealing: bool
) -> int:
    with client_of(told, sae) as client:
        keys = client.enc_keys(SaeId(peer), number=number, size_bits=size_bits)
    return _print(list(keys), as_json=as_json, is_revealing=is_revealing)


def take(told: Told, sae: str, peer: str, key_ids: list[str], *, as_json: bool, is_revealing: bool) -> int:
    try:
        ids = [UUID(text) for text in key_ids]
    except ValueError:
        raise MisuseError(f"not a key ID: {', '.join(key_ids)}; `qanat key get` prints them") from None
    with client_of(told, sae) as client:
        keys = client.dec_keys(SaeId(peer), ids)
    return _print(list(keys), as_json=as_json, is_revealing=is_revealing)
