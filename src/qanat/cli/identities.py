"""Certificates at the machine of the CAs: `qanat sae|kme|operator list|revoke`, `kme renew`, `operator enroll`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.place import running_state
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError

if TYPE_CHECKING:
    from qanat.node.holders import Holders
    from qanat.node.statedir import StateDir


def holders_of(kind: str) -> Holders:
    from qanat.node.holders import APPLICATIONS, KMES, OPERATORS  # noqa: PLC0415

    return {"sae": APPLICATIONS, "kme": KMES, "operator": OPERATORS}[kind]


def show(place: Path | None, kind: str, *, as_json: bool) -> int:
    from qanat.node.revocation import issued  # noqa: PLC0415

    rows = [
        {"name": one.name, "serial": f"{one.serial:x}", "ends": one.ends, "revoked": one.is_revoked}
        for one in issued(running_state(place), holders_of(kind))
    ]
    return print_rows([{kind: row.pop("name"), **row} for row in rows], kind, as_json=as_json)


def print_rows(rows: list[dict[str, object]], kind: str, *, as_json: bool) -> int:
    """Certificates, here or from afar."""
    if as_json:
        as_json_text([row | {"ends": getattr(row["ends"], "isoformat", lambda row=row: row["ends"])()} for row in rows])
        return 0
    for row in rows:
        ends = (
            f"{row['ends']:%Y-%m-%d %H:%M}" if not isinstance(row["ends"], str) else row["ends"][:16].replace("T", " ")
        )
        print(f"{row[kind]:<24} until {ends}  {'revoked' if row['revoked'] else 'good':<8} {row['serial']}")
    if not rows:
        print("no certificate was issued here yet; `qanat up` issues one to each that the network file names")
    return 0


def revoke(place: Path | None, kind: str, name: str, *, as_json: bool) -> int:
    from qanat.node.revocation import revoke as revoke_all  # noqa: PLC0415

    return print_revoked(kind, name, revoke_all(running_state(place), name, holders_of(kind)), as_json=as_json)


def print_revoked(kind: str, name: str, count: int, *, psks: Sequence[str] = (), as_json: bool) -> int:
    """``psks``: identities of the pre-shared keys that went with it."""
    if as_json:
        as_json_text({kind: name, "revoked": count} | ({"psks_removed": list(psks)} if kind == "sae" else {}))
        return 0
    if psks:
        print(f"{name}: pre-shared key{'s' * (len(psks) != 1)} of {', '.join(psks)} removed")
    print(f"{name}: {count} certificate{'s' * (count != 1)} revoked; KMEs refuse them within a second")
    print(f"`qanat {kind} {'enroll' if kind == 'operator' else 'renew'} {name}` gives it a new one")
    return 0


def renew_kme(place: Path | None, site: str, *, days: int, more_hosts: list[str], as_json: bool) -> int:
    """A new key and certificate in the KME's own folder, for the addresses that the old one names."""
    from qanat.node.certificates import hosts_of_file  # noqa: PLC0415
    from qanat.node.enrolment import check_days, enrol  # noqa: PLC0415
    from qanat.node.holders import KMES, PEERS  # noqa: PLC0415

    check_days(days)
    state = running_state(place)
    certfile = _known_kme(state, site)
    hosts = list(dict.fromkeys([*hosts_of_file(certfile), *more_hosts]))
    folder = enrol(state, site, KMES, days=days, folder=None, csr=None, hosts=hosts)
    to_peers = PEERS.own(state, site) / "cert.pem"
    if to_peers.exists():
        enrol(state, site, PEERS, days=days, folder=None, csr=None, hosts=hosts_of_file(to_peers))
    if as_json:
        as_json_text({"kme": site, "folder": str(folder), "days": days, "hosts": hosts})
        return 0
    print(f"{site}: certificate for {days} days, for {', '.join(hosts)}, in {folder}")
    print("the KME shows it from its next start on: stop `qanat up` and start it again")
    return 0


def _known_kme(state: StateDir, site: str) -> Path:
    """Raises: MisuseError."""
    from qanat.crypto.identity import CertificateRole, Identity  # noqa: PLC0415
    from qanat.node.holders import KMES  # noqa: PLC0415

    Identity(CertificateRole.KME, site)  # raises for what could not be a name, a path among them
    certfile = KMES.own(state, site) / "cert.pem"
    if not certfile.exists():
        raise MisuseError(f"{site} has no KME in {state.path}; `qanat up` gives each site of the network file one")
    return certfile


def enroll_operator(
    place: Path | None, name: str, *, days: int, out: Path | None, csr: Path | None, as_json: bool
) -> int:
    from qanat.crypto.identity import CertificateRole, Identity  # noqa: PLC0415
    from qanat.node.enrolment import check_days, enrol  # noqa: PLC0415
    from qanat.node.holders import OPERATORS  # noqa: PLC0415

    check_days(days)
    Identity(CertificateRole.ADMIN, name)
    if name == "controller":
        raise MisuseError("controller is the name of the network's controller; choose another")
    state = running_state(place)
    folder = enrol(state, name, OPERATORS, days=days, folder=out, csr=read_request(csr))
    if as_json:
        as_json_text({"operator": name, "folder": str(folder), "days": days, "cafile": str(state.ca / "cert.pem")})
        return 0
    print(f"{name}: operator's certificate for {days} days in {folder}")
    print(f"doors are checked with {state.ca / 'cert.pem'}")
    return 0


def read_request(csr: Path | None) -> bytes | None:
    """Raises: MisuseError."""
    try:
        return None if csr is None else csr.read_bytes()
    except OSError as error:
        raise MisuseError(f"{csr} cannot be read: {error.strerror}") from None
