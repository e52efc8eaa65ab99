"""`qanat sae list|enroll|renew|revoke`: applications' certificates, at the CA's machine or from afar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli import identities
from qanat.cli.afar import chosen
from qanat.cli.identities import read_request
from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId

if TYPE_CHECKING:
    from qanat.node.statedir import StateDir


def _known(state: StateDir, name: str) -> SaeId:
    """Raises: MisuseError, when the network has no such application."""
    from qanat.crypto.identity import CertificateRole, Identity  # noqa: PLC0415
    from qanat.node.admin_client import ask  # noqa: PLC0415

    Identity(CertificateRole.SAE, name)  # raises for what could not be a name, a path among them
    if state.running_pid() is not None:
        ask(state, "sae", name=name)
    elif not state.sae(SaeId(name)).exists():
        raise MisuseError(
            f"{name} is no application of the network in {state.path}. Add it to the network file under [[saes]] with "
            "a demand, and start `qanat up` again; certificates are for applications that the file names."
        )
    return SaeId(name)


def enroll(
    place: Path | None,
    name: str,
    *,
    days: int,
    out: Path | None,
    csr: Path | None,
    kmes: Sequence[str] = (),
    as_json: bool,
) -> int:
    from qanat.cli.bundle import check_addresses, write_bundle  # noqa: PLC0415
    from qanat.node.enrolment import check_days, enrol  # noqa: PLC0415

    check_days(days)
    check_addresses(kmes)
    door = chosen()
    if door is not None:
        from qanat.cli import registrar  # noqa: PLC0415

        return registrar.enroll(door, name, days=days, out=out, csr=csr, as_json=as_json)
    state = running_state(place)
    sae = _known(state, name)
    folder = enrol(state, sae, days=days, folder=out, csr=read_request(csr))
    known = write_bundle(state, sae, folder, kmes)
    profile = folder / "application.toml" if known else None
    if as_json:
        cafile = str(folder / "ca.pem")
        told = {"sae": name, "folder": str(folder), "days": days, "cafile": cafile, "kmes": list(known)}
        as_json_text(told | {"profile": None if profile is None else str(profile)})
        return 0
    print(f"{name}: certificate for {days} days in {folder}")
    if profile is None:
        print("no application.toml was written: no network runs here, so where its KME listens is not known;")
        print("say it with --kme https://HOST:PORT")
    else:
        print(f"its profile is {profile}: it asks {', then '.join(known)}")
    return 0


def renew(
    place: Path | None, name: str, *, days: int, out: Path | None, kmes: Sequence[str] = (), as_json: bool
) -> int:
    """By whoever has the CA, by an operator from afar, or by the application itself."""
    door = chosen()
    if door is not None:
        from qanat.cli import registrar  # noqa: PLC0415

        if registrar.is_own(door):
            return registrar.renew_own(door, name, days=days, out=out, as_json=as_json)
    return enroll(place, name, days=days, out=out, csr=None, kmes=kmes, as_json=as_json)


def revoke(place: Path | None, name: str, *, as_json: bool) -> int:
    door = chosen()
    if door is not None:
        from qanat.cli import registrar  # noqa: PLC0415

        return registrar.revoke(door, name, as_json=as_json)
    from qanat.node.shut_out import shut_out  # noqa: PLC0415

    count, psks = shut_out(running_state(place), name)
    return identities.print_revoked("sae", name, count, psks=psks, as_json=as_json)


def show(place: Path | None, *, as_json: bool) -> int:
    door = chosen()
    if door is not None:
        from qanat.cli import registrar  # noqa: PLC0415

        return registrar.show(door, as_json=as_json)
    return identities.show(place, "sae", as_json=as_json)
