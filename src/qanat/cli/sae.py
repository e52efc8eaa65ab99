"""`qanat sae list|enroll|renew|revoke`: applications' certificates, at the hand of whoever runs the network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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


def enroll(place: Path | None, name: str, *, days: int, out: Path | None, csr: Path | None, as_json: bool) -> int:
    from qanat.node.enrolment import enrol  # noqa: PLC0415

    if not 1 <= days <= 825:
        raise MisuseError(f"--days is between 1 and 825, not {days}")
    state = running_state(place)
    request = None
    if csr is not None:
        try:
            request = csr.read_bytes()
        except OSError as error:
            raise MisuseError(f"{csr} cannot be read: {error.strerror}") from None
    folder = enrol(state, _known(state, name), days=days, folder=out, csr=request)
    if as_json:
        as_json_text({"sae": name, "folder": str(folder), "days": days, "cafile": str(state.ca / "cert.pem")})
        return 0
    print(f"{name}: certificate for {days} days in {folder}")
    print(f"its KME is checked with {state.ca / 'cert.pem'}")
    return 0


def revoke(place: Path | None, name: str, *, as_json: bool) -> int:
    from qanat.node.enrolment import revoke as revoke_all  # noqa: PLC0415
    from qanat.node.skip_psk import remove  # noqa: PLC0415

    state = running_state(place)
    identities = remove(state, sae=SaeId(name))  # who is revoked is out at every door
    try:
        count = revoke_all(state, SaeId(name))
    except MisuseError:
        if not identities:
            raise
        count = 0
    if as_json:
        as_json_text({"sae": name, "revoked": count, "psks_removed": identities})
        return 0
    if identities:
        print(f"{name}: pre-shared key{'s' * (len(identities) != 1)} of {', '.join(identities)} removed")
    print(f"{name}: {count} certificate{'s' * (count != 1)} revoked; KMEs refuse them within a second")
    print(f"`qanat sae renew {name}` gives it a new one")
    return 0


def show(place: Path | None, *, as_json: bool) -> int:
    from qanat.node.enrolment import issued  # noqa: PLC0415

    rows = issued(running_state(place))
    if as_json:
        as_json_text(
            [
                {"sae": one.name, "serial": f"{one.serial:x}", "ends": one.ends.isoformat(), "revoked": one.is_revoked}
                for one in rows
            ]
        )
        return 0
    for one in rows:
        state_word = "revoked" if one.is_revoked else "good"
        print(f"{one.name:<24} until {one.ends:%Y-%m-%d %H:%M}  {state_word:<8} {one.serial:x}")
    if not rows:
        print("no certificate was issued here yet; `qanat up` issues one to every application of the network file")
    return 0
