"""`qanat module`, `qanat secret`, `qanat identity`, `qanat record`: one end of one link alone, and what it needs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.check import load_network
from qanat.cli.place import network_path
from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId
from qanat.core.records import Role
from qanat.core.timebase import ns_from_text, seconds

if TYPE_CHECKING:
    from qanat.node.module.door import Starter

ROLES = {"tx": Role.TRANSMITTER, "rx": Role.RECEIVER}
KEYS = ("count", "compare")


def module(
    file: Path | None,
    *,
    role: str,
    link: str,
    connect: str | None,
    listen: str | None,
    light: str,
    secret: Path | None,
    identity: Path | None,
    peer: Path | None,
    keys: str,
    kme_socket: list[Path],
    blocks: int | None,
    duration: str | None,
    as_json: bool,
) -> int:
    """Exit code 0 when all asked for is made, 1 when not, 130 when interrupted."""
    from qanat.node.module.host import Task  # noqa: PLC0415
    from qanat.node.module.place import address_from_text  # noqa: PLC0415
    from qanat.node.module.run import ModuleOptions, run_module  # noqa: PLC0415

    if role not in ROLES:
        raise MisuseError(f"--role is tx or rx, not {role!r}")
    if keys not in KEYS:
        raise MisuseError(f"--keys is count or compare, not {keys!r}; keys are handed on with --kme-socket")
    if (connect is None) == (listen is None):
        raise MisuseError("give either --listen or --connect: one end of a link listens, the other connects")
    task = Task(
        listen=address_from_text(listen, port_min=0) if listen is not None else None,
        connect=address_from_text(connect) if connect is not None else None,
        blocks=blocks,
        duration_s=_seconds(duration),
    )
    options = ModuleOptions(
        link=LinkId(link),
        role=ROLES[role],
        task=task,
        light=light,
        starter=_starter(secret, identity, peer, LinkId(link)),
        is_compared=keys == "compare",
        kme_sockets=tuple(kme_socket),
        is_json=as_json,
    )
    return run_module(load_network(network_path(file)), options, lambda text: print(text, file=sys.stderr))


def _starter(secret: Path | None, identity: Path | None, peer: Path | None, link: LinkId) -> Callable[[], Starter]:
    """What this end knows the other by; the files are opened later, after the other options were seen to be right."""
    from qanat.node.module.secret_door import SecretStarter  # noqa: PLC0415
    from qanat.node.module.signed_door import SignedStarter  # noqa: PLC0415

    if secret is not None and identity is None and peer is None:
        return lambda: SecretStarter(secret)
    if secret is None and identity is not None and peer is not None:
        return lambda: SignedStarter(identity, peer, link)
    raise MisuseError("give either --secret, or both --identity and --peer: one end must know the other by something")


def _seconds(duration: str | None) -> float | None:
    if duration is None:
        return None
    try:
        return seconds(ns_from_text(duration))
    except ValueError as error:
        raise MisuseError(f"--duration: {error}") from None


def secret(paths: list[Path], *, is_light: bool, as_json: bool) -> int:
    """Make the files."""
    from qanat.node.module.secretfile import make_files  # noqa: PLC0415

    make_files(paths, is_light=is_light)
    if as_json:
        print(json.dumps({"files": [str(path) for path in paths], "is_light": is_light}))
        return 0
    print(f"written, the same at each place: {', '.join(map(str, paths))}")
    if is_light:
        print("This stands for light. It protects nothing; both ends name it as sim://FILE")
    else:
        print("Whoever reads it can pretend to be either end: bring it to the other end by a person you trust,")
        print("delete every other copy, and never use one copy at both ends")
    return 0


def identity_new(path: Path, *, as_json: bool) -> int:
    """Make one."""
    from qanat.node.module.identityfile import PUBLIC_SUFFIX, make_identity, spoken  # noqa: PLC0415

    key = make_identity(path)
    public = f"{path}{PUBLIC_SUFFIX}"
    if as_json:
        print(json.dumps({"private": str(path), "public": public, "fingerprint": key.fingerprint.hex()}))
        return 0
    print(f"written: {path} (private, stays here) and {public} (goes to the other end)")
    print(f"fingerprint: {spoken(key)}")
    print("Let the other end compare it with you over something that nobody can imitate: your voice, or paper")
    return 0


def identity_show(path: Path, *, as_json: bool) -> int:
    """Print the fingerprint of either file."""
    from qanat.crypto.signature import ALGORITHM  # noqa: PLC0415
    from qanat.node.module.identityfile import any_identity, spoken  # noqa: PLC0415

    key = any_identity(path)
    if as_json:
        print(json.dumps({"algorithm": ALGORITHM, "fingerprint": key.fingerprint.hex()}))
    else:
        print(f"{ALGORITHM}, fingerprint {spoken(key)}")
    return 0


def record(
    file: Path | None,
    *,
    link: str,
    folder: Path,
    blocks: int,
    seed: int,
    drift_ppm: float,
    is_dense: bool,
    as_json: bool,
) -> int:
    """Record simulated light."""
    from qanat.node.module.run import link_of  # noqa: PLC0415
    from qanat.node.recordings.make import Run  # noqa: PLC0415
    from qanat.node.recordings.make import record as make

    network = load_network(network_path(file))
    found = link_of(network, link)
    run = Run(
        link=found,
        fibre=network.fibres[found.fibre],
        blocks=blocks,
        seed=seed,
        drift_ppm=drift_ppm,
        is_dense=is_dense,
    )
    made = make(run, folder)
    if as_json:
        print(json.dumps({kind.value: str(path) for kind, path in made.items()}))
    else:
        for kind, path in made.items():
            print(f"{kind.value:<11} {path.stat().st_size:>10} bytes  {path}")
    return 0
