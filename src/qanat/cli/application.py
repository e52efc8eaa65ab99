"""For which application a command acts, and which KME it asks: one way for `key`, `seal`, `open` and `integrate`.

An application's machine has a certificate, its key, the network's CA file and the KME's address. They come from
options, from a profile (``application.toml``) or from the environment; on the network's own machine, from its state
directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanat.cli.place import running_state
from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId

if TYPE_CHECKING:
    from qanat.sae.client import KeyDeliveryClient
    from qanat.sae.profile import Profile

VARIABLES = {
    "kmes": "QANAT_KME",
    "certfile": "QANAT_CERTFILE",
    "keyfile": "QANAT_KEYFILE",
    "cafile": "QANAT_CAFILE",
}
OPTIONS = {"kmes": "--kme", "certfile": "--cert", "keyfile": "--key", "cafile": "--ca"}
PROFILE_VARIABLE = "QANAT_PROFILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a command line says of the application. Its field names are those of the options' parameters."""

    profile: Path | None = None
    kmes: tuple[str, ...] = ()
    certfile: Path | None = None
    keyfile: Path | None = None
    cafile: Path | None = None
    state: Path | None = None


def application(told: Told, name: str | None, environment: Mapping[str, str] = os.environ) -> Profile:
    """Who asks, and whom.

    Options go before a profile that was named, and that before the environment, value by value. Without any of them it
    is the network whose state directory is here.

    Args:
        name: The SAE, where the command was told it; must be the certificate's then.

    Raises:
        MisuseError: something is missing or contradicts something else.
    """
    given = {field.name: getattr(told, field.name) for field in fields(told)}
    given = {field: value for field, value in given.items() if value}
    if "state" in given:
        if len(given) > 1:
            raise MisuseError("--state is the network's own machine, the other options an application's: give one kind")
        return _of_the_network(told.state, name)
    found = _profile_named(given.get("profile")) | given
    if not found.keys() >= OPTIONS.keys():
        found = _environment(environment) | found
    if not found:
        return _of_the_network(None, name)
    return _profile_of(found, name)


def client_of(told: Told, name: str | None) -> KeyDeliveryClient:
    """The client of the application that ``told`` and ``name`` mean."""
    from qanat.sae.profile import open_client  # noqa: PLC0415

    return open_client(application(told, name))


def _profile_named(path: Path | str | None) -> dict[str, Any]:
    """The fields of a profile file; none without one."""
    from qanat.sae.profile import read_profile  # noqa: PLC0415

    if path is None:
        return {}
    profile = read_profile(path)
    return {name: getattr(profile, name) for name in (*VARIABLES, "sae")}


def _environment(variables: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {field: variables[name] for field, name in VARIABLES.items() if variables.get(name)}
    if "kmes" in found:
        found["kmes"] = tuple(found["kmes"].replace(",", " ").split())
    return _profile_named(variables.get(PROFILE_VARIABLE) or None) | found


def _profile_of(found: Mapping[str, Any], name: str | None) -> Profile:
    from qanat.sae.profile import Profile  # noqa: PLC0415

    if missing := [f"{OPTIONS[field]} ({VARIABLES[field]})" for field in OPTIONS if not found.get(field)]:
        raise MisuseError(
            f"to ask a KME, give also {', '.join(missing)}; or all in one by --profile FILE ({PROFILE_VARIABLE}), the "
            "application.toml that `qanat sae enroll` writes"
        )
    said = found.get("sae")
    if name is not None and said not in (None, name):
        raise MisuseError(f"the profile is that of {said}, not of {name}")
    sae = name or said
    files = {field: Path(found[field]) for field in ("certfile", "keyfile", "cafile")}
    profile = Profile(sae=None if sae is None else SaeId(sae), kmes=tuple(found["kmes"]), **files)
    _ = profile.name  # whether the certificate says the same, before anything is done
    return profile


def _of_the_network(state: Path | None, name: str | None) -> Profile:
    """An application of the network that runs here: its certificate in the state directory, its own site's KME."""
    from qanat.node.admin_client import NotRunning, ask  # noqa: PLC0415
    from qanat.node.pki import sae_credentials  # noqa: PLC0415
    from qanat.node.reach import urls_of  # noqa: PLC0415
    from qanat.sae.profile import Profile  # noqa: PLC0415

    if name is None:
        raise MisuseError("which application? Name it with --as, or give its profile with --profile FILE")
    place = running_state(state)
    try:
        site = ask(place, "sae", name=name)["site"]
    except NotRunning as error:
        if state is not None:
            raise
        raise NotRunning(f"{error.detail}. On an application's own machine give --profile FILE.") from None
    files = sae_credentials(place, SaeId(name))
    return Profile(
        sae=SaeId(name),
        kmes=tuple(urls_of(place.read_ports()["key_delivery"], site)),
        certfile=files.certfile,
        keyfile=files.keyfile,
        cafile=files.cafile,
    )
