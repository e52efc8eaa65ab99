"""Which driver a URI means. Ours first, so that nobody's package takes their names; then entry points."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.netfile.problems import near_miss
from qanat.node.drivers.ports import Driver, LightContext, ReceiverDriver, TransmitterDriver
from qanat.node.drivers.uri import LightUri

GROUP = "qanat.drivers"
OURS = {
    "sim": "qanat.node.drivers.simulated",
    "replay": "qanat.node.drivers.replay",
    "timetags": "qanat.node.drivers.timetags",
}


class UnknownDriver(MisuseError):
    """No driver of that scheme is installed. Others register theirs in the entry point group `qanat.drivers`."""


class DriverBroken(EnvironmentProblem):
    """The driver of another package cannot be used. Its maker can say why; `pip check` may tell what is missing."""


def _others() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def schemes() -> list[str]:
    return sorted({*OURS, *_others()})


def driver(scheme: str) -> Driver:
    """The driver of this scheme.

    Raises:
        UnknownDriver: names those that there are.
        DriverBroken: it is another package's, and cannot be loaded.
    """
    if scheme in OURS:
        return cast(Driver, importlib.import_module(OURS[scheme]))
    point = _others().get(scheme)
    if point is None:
        known = schemes()
        raise UnknownDriver(
            f"no driver for {scheme}://{near_miss(scheme, known)}; known: {', '.join(f'{name}://' for name in known)}"
        )
    try:
        found = point.load()
    except Exception as error:  # noqa: BLE001 - anything may happen in a package that we do not know
        raise DriverBroken(f"{scheme}:// from {point.value}: {type(error).__name__}: {error}") from error
    if not (callable(getattr(found, "receiver", None)) and callable(getattr(found, "transmitter", None))):
        raise DriverBroken(f"{scheme}:// from {point.value} has no functions receiver and transmitter")
    return cast(Driver, found)


def open_receiver(text: str, context: LightContext) -> ReceiverDriver:
    """The receiving end's light."""
    uri = LightUri.parse(text)
    return driver(uri.scheme).receiver(uri, context)


def open_transmitter(text: str, context: LightContext) -> TransmitterDriver:
    """The transmitting end's light."""
    uri = LightUri.parse(text)
    return driver(uri.scheme).transmitter(uri, context)
