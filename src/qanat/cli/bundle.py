"""What goes to an application's machine beside its certificate: its KME's CA, and the profile that says where it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId

if TYPE_CHECKING:
    from qanat.node.statedir import StateDir

FILES = {"certfile": "cert.pem", "keyfile": "key.pem", "cafile": "ca.pem"}
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_addresses(kmes: Sequence[str]) -> None:
    """Raises: MisuseError, for what is no address of a KME."""
    from qanat.sae.setting import kme_address  # noqa: PLC0415

    for url in kmes:
        kme_address(url, None, None)
        if any(mark in url for mark in '"\\\n'):
            raise MisuseError(f"{url!r} is not the address of a KME; write https://host:port")


def write_bundle(state: StateDir, sae: SaeId, folder: Path, kmes: Sequence[str]) -> tuple[str, ...]:
    """Lay the CA file and, when the KME's address is known, the profile beside a certificate. Gives the addresses.

    Addresses are, in this order: those given; those that the folder's profile has, when the application is elsewhere;
    that of the network running here.
    """
    from qanat.node.privatefile import write_private  # noqa: PLC0415
    from qanat.sae.profile import FILE_NAME, profile_text  # noqa: PLC0415

    write_private(folder / FILES["cafile"], (state.ca / "cert.pem").read_bytes())
    before = _before(folder / FILE_NAME)
    known = tuple(kmes) or (before if _is_elsewhere(before) else _running(state, sae) or before)
    if known:
        write_private(folder / FILE_NAME, profile_text(sae, known, FILES).encode())
    return known


def _before(path: Path) -> tuple[str, ...]:
    from qanat.sae.profile import ProfileUnusable, read_profile  # noqa: PLC0415

    try:
        return read_profile(path).kmes
    except ProfileUnusable:
        return ()


def _is_elsewhere(kmes: Sequence[str]) -> bool:
    from qanat.sae.setting import kme_address  # noqa: PLC0415

    return any(kme_address(url, None, None)[0] not in LOOPBACK for url in kmes)


def _running(state: StateDir, sae: SaeId) -> tuple[str, ...]:
    """The KME's address: the network file's, or on this machine; nothing when no network runs here."""
    from qanat.node.admin_client import NotRunning, ask  # noqa: PLC0415
    from qanat.node.reach import urls_of  # noqa: PLC0415

    try:
        site = ask(state, "sae", name=sae)["site"]
    except NotRunning:
        return ()
    ports = state.read_ports()
    return tuple(urls_of(ports["key_delivery"], site, ports.get("hosts")))
