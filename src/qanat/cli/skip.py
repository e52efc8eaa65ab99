"""`qanat skip psk add|list|remove`: pre-shared keys of routers, at the hand of whoever runs the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId, SiteId

if TYPE_CHECKING:
    from qanat.node.skip_psk import Enrolled
    from qanat.node.statedir import StateDir


def add(place: Path | None, name: str, *, identity: str | None, out: Path | None, as_json: bool) -> int:
    from qanat.node.admin_client import ask  # noqa: PLC0415
    from qanat.node.entropy import SystemEntropy  # noqa: PLC0415
    from qanat.node.reach import LOOPBACK  # noqa: PLC0415
    from qanat.node.skip_psk import add as add_psk  # noqa: PLC0415

    state = running_state(place)
    site = SiteId(ask(state, "sae", name=name)["site"])
    if out is not None and out.exists():
        raise MisuseError(f"{out} is there already. Choose another file with --out")
    made = add_psk(state, site, SaeId(name), identity or name, entropy=SystemEntropy())
    ports = state.read_ports()
    port, host = ports.get("skip_psk", {}).get(site), ports.get("hosts", {}).get(site, LOOPBACK)
    if out is not None:
        _hand_over(state, made, out)
    if as_json:
        facts = {"sae": name, "site": site, "identity": made.identity, "host": host, "port": port}
        as_json_text(facts | ({"file": str(out)} if out is not None else {"key": made.secret.hex()}))
        return 0
    print(f"{name}: pre-shared key of the identity {made.identity} at {site}, good within a second")
    print(f"key: {made.secret.hex()}" if out is None else f"its key, in hexadecimal, is in {out}")
    if out is None:
        print("it is not shown again")
    print(_where(host, port))
    return 0


def _hand_over(state: StateDir, made: Enrolled, out: Path) -> None:
    """A key that its router cannot get is no key."""
    from qanat.node.privatefile import create_private  # noqa: PLC0415
    from qanat.node.skip_psk import remove as remove_psk  # noqa: PLC0415

    try:
        create_private(out, made.secret.hex().encode() + b"\n")
    except BaseException:
        remove_psk(state, identity=made.identity)
        raise


def _where(host: str, port: int | None) -> str:
    from qanat.node.reach import authority  # noqa: PLC0415

    if port is None:
        return 'the network has no door for it: set skip_psk = "forward_secret" under [policy] and start it again'
    return f"its door is {authority(host, port)}"


def show(place: Path | None, *, as_json: bool) -> int:
    from qanat.node.skip_psk import listed  # noqa: PLC0415

    rows = listed(running_state(place))
    if as_json:
        as_json_text(
            [
                {"identity": row.identity, "sae": row.sae, "site": site, "made": row.made.isoformat()}
                for site, row in rows
            ]
        )
        return 0
    for site, row in rows:
        print(f"{row.identity:<24} {row.sae:<24} at {site:<16} since {row.made:%Y-%m-%d %H:%M}")
    if not rows:
        print("no router has a pre-shared key; `qanat skip psk add SAE` makes one")
    return 0


def remove(place: Path | None, identity: str, *, as_json: bool) -> int:
    from qanat.node.skip_psk import remove as remove_psk  # noqa: PLC0415

    gone = remove_psk(running_state(place), identity=identity)
    if not gone:
        raise MisuseError(f"no pre-shared key has the identity {identity}; `qanat skip psk list` shows them")
    if as_json:
        as_json_text({"identity": identity, "removed": True})
        return 0
    print(f"{identity}: its pre-shared key is worthless within a second, and its connections are cut")
    return 0
