"""Datasheets of QKD modules: numbers with units and sources, read from ``datasheets/*.toml``."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from qanat.physics.errors import DatasheetError, near_miss

DETECTORS = ("X0", "X1", "Z0", "Z1")  # detector index = 2 * basis + bit
PerDetector = tuple[float, float, float, float]

_UNITS = {  # field -> how its unit must begin, so that a file in ps or percent is refused
    "intensities": "mean photon number",
    "p_intensities": "probability",
    "p_x": "probability",
    "clock_hz_max": "Hz",
    "efficiency": "probability",
    "loss_db": "dB",
    "p_dark_per_gate": "probability per gate",
    "dark_rate_hz": "counts per second",
    "misalignment": "probability",
    "dead_time_ns": "ns",
    "p_trap": "carriers per click",
    "trap_lifetime_ns": "ns",
}
_OPTIONAL = {"p_dark_per_gate", "dark_rate_hz", "p_trap", "trap_lifetime_ns"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One value as the file has it: number or list, its unit, where it comes from."""

    value: float | tuple[float, ...]
    unit: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitterSheet:
    """A source of weak coherent pulses.

    Attributes:
        intensities: Mean photon numbers at the exit, brightest first.
        p_intensities: How often each is chosen; the exact law is ``settings.SettingsLaw``.
        p_x: Probability of preparing in X, the key basis.
        facts: The file's values with units and sources.
    """

    name: str
    description: str
    intensities: tuple[float, ...]
    p_intensities: tuple[float, ...]
    p_x: float
    clock_hz_max: float
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSheet:
    """A passive four-detector receiver. Tuples of four run over ``DETECTORS``.

    Attributes:
        loss_db: Of its optics, before the detectors.
        p_dark_per_gate, dark_rate_hz: The two add up; see ``p_dark``.
        misalignment: Probability that a photon in the right basis goes to the wrong detector.
        p_x: Share of the light that the beam splitter sends to the X arm.
        dead_time_ns: Hold-off of all detectors after any click.
        p_trap, trap_lifetime_ns: Per kind of trap: probability that a click of a detector leaves a carrier in
            it, and its mean life. Releases during the dead time are lost, so that the afterpulse probability
            seen is lower.
    """

    name: str
    description: str
    efficiency: PerDetector
    loss_db: float
    p_dark_per_gate: PerDetector
    dark_rate_hz: PerDetector
    misalignment: float
    p_x: float
    dead_time_ns: float
    p_trap: tuple[float, ...]
    trap_lifetime_ns: tuple[float, ...]
    facts: Mapping[str, Fact]

    def p_dark(self, clock_hz: float) -> PerDetector:
        """Probability of a dark count per gate and detector at this clock rate."""
        return _four(
            tuple(
                gate - math.expm1(-rate_hz / clock_hz) * (1 - gate)
                for gate, rate_hz in zip(self.p_dark_per_gate, self.dark_rate_hz, strict=True)
            )
        )


@cache
def transmitter_names() -> tuple[str, ...]:
    """Names that ``load_transmitter`` knows, sorted."""
    return _names("transmitter")


@cache
def receiver_names() -> tuple[str, ...]:
    """Names that ``load_receiver`` knows, sorted."""
    return _names("receiver")


@cache
def load_transmitter(name: str) -> TransmitterSheet:
    """The transmitter's datasheet.

    Raises:
        DatasheetError: unknown name (the nearest are named), or the file is not sound.

    Example:
        >>> len(load_transmitter("decoy-1ghz").intensities)
        3
    """
    if name not in transmitter_names():
        raise DatasheetError(near_miss("transmitter", name, transmitter_names()))
    return transmitter_from_text(_text(f"transmitter-{name}"), where=name)


@cache
def load_receiver(name: str) -> ReceiverSheet:
    """The receiver's datasheet.

    Raises:
        DatasheetError: unknown name (the nearest are named), or the file is not sound.
    """
    if name not in receiver_names():
        raise DatasheetError(near_miss("receiver", name, receiver_names()))
    return receiver_from_text(_text(f"receiver-{name}"), where=name)


def transmitter_from_text(text: str, *, where: str) -> TransmitterSheet:
    """Read and check one transmitter file; ``where`` names it in errors."""
    document, facts = _document(text, where, "transmitter", {"intensities", "p_intensities", "p_x", "clock_hz_max"})
    sheet = TransmitterSheet(
        name=document["name"],
        description=document["description"],
        intensities=_many(facts["intensities"]),
        p_intensities=_many(facts["p_intensities"]),
        p_x=_probability(where, "p_x", _one(where, "p_x", facts["p_x"])),
        clock_hz_max=_one(where, "clock_hz_max", facts["clock_hz_max"]),
        facts=facts,
    )
    _check(where, len(sheet.intensities) == len(sheet.p_intensities), "intensities and p_intensities differ in length")
    _check(where, list(sheet.intensities) == sorted(set(sheet.intensities), reverse=True), "intensities must fall")
    _check(where, sheet.intensities[-1] >= 0, "an intensity is negative")
    _check(where, min(sheet.p_intensities) > 0, "every intensity needs a positive probability")
    _check(where, math.isclose(sum(sheet.p_intensities), 1, abs_tol=1e-9), "p_intensities do not sum to 1")
    return sheet


def receiver_from_text(text: str, *, where: str) -> ReceiverSheet:
    """Read and check one receiver file; ``where`` names it in errors."""
    fields = set(_UNITS) - {"intensities", "p_intensities", "clock_hz_max"}
    document, facts = _document(text, where, "receiver", fields)
    nothing = Fact(value=0.0, unit="", source="")
    none = Fact(value=(), unit="", source="")
    sheet = ReceiverSheet(
        name=document["name"],
        description=document["description"],
        efficiency=_four(_many(facts["efficiency"])),
        loss_db=_one(where, "loss_db", facts["loss_db"]),
        p_dark_per_gate=_four(_many(facts.get("p_dark_per_gate", nothing))),
        dark_rate_hz=_four(_many(facts.get("dark_rate_hz", nothing))),
        misalignment=_probability(where, "misalignment", _one(where, "misalignment", facts["misalignment"])),
        p_x=_probability(where, "p_x", _one(where, "p_x", facts["p_x"])),
        dead_time_ns=_one(where, "dead_time_ns", facts["dead_time_ns"]),
        p_trap=_many(facts.get("p_trap", none)),
        trap_lifetime_ns=_many(facts.get("trap_lifetime_ns", none)),
        facts=facts,
    )
    for field in ("efficiency", "p_dark_per_gate", "p_trap"):
        for value in getattr(sheet, field):
            _probability(where, field, value)
    _check(where, min(sheet.loss_db, sheet.dead_time_ns, *sheet.dark_rate_hz) >= 0, "a negative value")
    _check(where, len(sheet.p_trap) == len(sheet.trap_lifetime_ns), "p_trap and trap_lifetime_ns differ in length")
    _check(where, all(life > 0 for life in sheet.trap_lifetime_ns), "a trap lifetime must be positive")
    return sheet


def _names(kind: str) -> tuple[str, ...]:
    files = resources.files("qanat.physics.datasheets").iterdir()
    stems = [file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")]
    return tuple(sorted(stem.removeprefix(f"{kind}-") for stem in stems if stem.startswith(f"{kind}-")))


def _text(stem: str) -> str:
    return resources.files("qanat.physics.datasheets").joinpath(f"{stem}.toml").read_text("utf-8")


def _document(text: str, where: str, kind: str, fields: set[str]) -> tuple[dict[str, str], Mapping[str, Fact]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DatasheetError(f"datasheet {where}: {error}") from None
    _check(where, document.get("kind") == kind, f"kind is {document.get('kind')!r}, not {kind!r}")
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    for key in tables:
        _check(where, key in fields, near_miss("field", key, fields))
    for key in fields - _OPTIONAL:
        _check(where, key in tables, f"field {key} is missing")
    for key in ("name", "description"):
        _check(where, isinstance(document.get(key), str), f"{key} is missing")
    return document, MappingProxyType({key: _fact(where, key, table) for key, table in tables.items()})


def _fact(where: str, key: str, table: dict[str, object]) -> Fact:
    _check(where, set(table) == {"value", "unit", "source"}, f"{key} needs value, unit and source, and nothing else")
    unit, source, value = str(table["unit"]), str(table["source"]).strip(), table["value"]
    _check(where, unit.startswith(_UNITS[key]), f"{key} is in {unit!r}; it must be in {_UNITS[key]!r}")
    _check(where, bool(source), f"{key} has no source")
    items = value if isinstance(value, list) else [value]
    numbers = [float(item) for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
    _check(where, len(numbers) == len(items) and all(map(math.isfinite, numbers)), f"{key} holds no finite number")
    return Fact(value=tuple(numbers) if isinstance(value, list) else numbers[0], unit=unit, source=source)


def _one(where: str, key: str, fact: Fact) -> float:
    if isinstance(fact.value, tuple):
        raise DatasheetError(f"datasheet {where}: {key} takes one number, not a list")
    return fact.value


def _many(fact: Fact) -> tuple[float, ...]:
    return fact.value if isinstance(fact.value, tuple) else (fact.value,)


def _four(values: tuple[float, ...]) -> PerDetector:
    if len(values) == 1:
        values = values * 4
    if len(values) != 4:
        raise DatasheetError(f"{len(values)} values for the four detectors {', '.join(DETECTORS)}; give one or four")
    return (values[0], values[1], values[2], values[3])


def _probability(where: str, key: str, value: float) -> float:
    _check(where, 0 <= value <= 1, f"{key} is {value}, no probability")
    return value


def _check(where: str, holds: bool, sentence: str) -> None:
    if not holds:
        raise DatasheetError(f"datasheet {where}: {sentence}")
