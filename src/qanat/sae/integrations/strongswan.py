"""strongSwan: a postquantum preshared key (PPK, RFC 8784) by VICI, whose ID is the key_ID.

RFC 8784 mixes the PPK in when an IKE SA is made, not when one is rekeyed. So a rotation makes a new IKE SA with the new
PPK and then ends the old one: the tunnel is never down in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from typing import Any

from qanat.core.ids import KeyId
from qanat.sae.integrations import vici
from qanat.sae.keys import DeliveredKey


def ppk_id(key_id: KeyId) -> str:
    return f"qanat-{key_id}"


def load_ppk(socket_path: str, key: DeliveredKey) -> str:
    """Give a key to charon, which holds it in memory only; our copy is wiped. The PPK's ID comes back.

    Raises:
        CharonRefused
    """
    name = ppk_id(key.key_id)
    data = key.bits.reveal()  # over charon's own socket, which only root may open
    key.bits.wipe()
    vici.ask(socket_path, "load-shared", {"id": name, "type": "ppk", "data": data, "owners": [name]})
    return name


def forget_ppk(socket_path: str, name: str) -> None:
    vici.ask(socket_path, "unload-shared", {"id": name})


def responder(socket_path: str) -> Callable[[DeliveredKey], None]:
    """Installs keys at the end that answers: its connection says ``ppk_required`` and names no ``ppk_id``. It keeps the
    last two, because a new IKE SA may still be on its way when the next key comes."""
    held: list[str] = []

    def install(key: DeliveredKey) -> None:
        held.append(load_ppk(socket_path, key))
        while len(held) > 2:
            forget_ppk(socket_path, held.pop(0))

    return install


def initiator(
    socket_path: str, name: str, connection: Mapping[str, Any], child: str, *, timeout_ms: int = 20_000
) -> Callable[[DeliveredKey], None]:
    """Installs a key at the end that begins, and makes a new IKE SA with it.

    Args:
        name: Of the connection; each turn's is named ``NAME-qanat-KEY_ID``.
        connection: What ``swanctl.conf`` says of it, as nested tables; ``ppk_id`` is ours to set.
        child: The CHILD_SA to bring up.

    The installed function raises ``CharonRefused`` when no IKE SA comes about; the old one then stays.
    """
    before: list[str] = []  # the PPK that the running IKE SA was made with

    def install(key: DeliveredKey) -> None:
        ppk = load_ppk(socket_path, key)
        # A name of its own for each: charon keeps what a running IKE SA was configured with.
        changed = deepcopy(dict(connection)) | {"ppk_id": ppk, "ppk_required": "yes"}
        vici.ask(socket_path, "load-conn", {_named(name, ppk): changed})
        begin = {"ike": _named(name, ppk), "child": child, "timeout": str(timeout_ms), "init-limits": "no"}
        try:
            vici.ask(socket_path, "initiate", begin, timeout_s=timeout_ms / 1000 + 5)
        except vici.CharonRefused:
            _end(socket_path, name, ppk)
            raise
        if before:
            _end(socket_path, name, before.pop())
        before.append(ppk)

    return install


def _named(name: str, ppk: str) -> str:
    return f"{name}-{ppk}"


def _end(socket_path: str, name: str, ppk: str) -> None:
    """The IKE SA of an earlier PPK, its configuration, and the PPK."""
    with suppress(vici.CharonRefused):  # it may have ended by itself
        vici.ask(socket_path, "terminate", {"ike": _named(name, ppk), "timeout": "5000"})
    vici.ask(socket_path, "unload-conn", {"name": _named(name, ppk)})
    forget_ppk(socket_path, ppk)
