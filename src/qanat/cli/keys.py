"""`qanat key get|take`: what an application does, with its certificate from the state directory."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId

if TYPE_CHECKING:
    from qanat.node.statedir import StateDir
    from qanat.sae.client import KeyDeliveryClient
    from qanat.sae.keys import DeliveredKey


def client_of(state: StateDir, sae: str) -> KeyDeliveryClient:
    """The client of an SAE of the running network: its own certificate, its own site's KME.

    Raises:
        MisuseError: no such SAE.
    """
    from qanat.node.admin_client import ask  # noqa: PLC0415
    from qanat.node.instance import urls_of  # noqa: PLC0415
    from qanat.node.pki import sae_credentials  # noqa: PLC0415
    from qanat.sae.client import KeyDeliveryClient  # noqa: PLC0415

    found = ask(state, "sae", name=sae)
    files = sae_credentials(state, SaeId(sae))
    return KeyDeliveryClient(
        urls_of(state.read_ports()["key_delivery"], found["site"]),
        certfile=files.certfile,
        keyfile=files.keyfile,
        cafile=files.cafile,
    )


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


def get(
    state: Path | None, sae: str, peer: str, *, number: int, size_bits: int | None, as_json: bool, is_revealing: bool
) -> int:
    with client_of(running_state(state), sae) as client:
        keys = client.enc_keys(SaeId(peer), number=number, size_bits=size_bits)
    return _print(list(keys), as_json=as_json, is_revealing=is_revealing)


def take(state: Path | None, sae: str, peer: str, key_ids: list[str], *, as_json: bool, is_revealing: bool) -> int:
    try:
        ids = [UUID(text) for text in key_ids]
    except ValueError:
        raise MisuseError(f"not a key ID: {', '.join(key_ids)}; `qanat key get` prints them") from None
    with client_of(running_state(state), sae) as client:
        keys = client.dec_keys(SaeId(peer), ids)
    return _print(list(keys), as_json=as_json, is_revealing=is_revealing)
