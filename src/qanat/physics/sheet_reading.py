"""From the text of a datasheet to its dataclass: every field known, in its unit, in its range, with a source."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from qanat.physics.errors import DatasheetError, near_miss
from qanat.physics.families.sheets import POLARISATION, check_family, p_zero_of
from qanat.physics.sheet_fields import RECEIVER_FIELDS, TRANSMITTER_FIELDS, Field
from qanat.physics.sheets import DETECTORS, Fact, PerDetector, ReceiverSheet, TransmitterSheet

_FOUR = ("jitter_ps", "tail_ps", "p_tail", "gate_centre_ps", "gate_width_ps", "out_of_gate")
_ONE = (
    "bin_ps",
    "insertion_loss_db",
    "visibility",
    "window_ps",
    "temperature_c",
    "room_coupling",
    "dark_doubling_k",
    "efficiency_per_k",
    "pulse_ps",
    "power_per_k",
)


def transmitter_from_text(text: str, *, where: str) -> TransmitterSheet:
    """Read and check one transmitter file; ``where`` names it in errors.

    Raises:
        DatasheetError: the field, what is wrong with it, what would be right.
    """
    document, facts = _document(text, where, "transmitter", TRANSMITTER_FIELDS)
    sheet = TransmitterSheet(
        name=document["name"],
        description=document["description"],
        intensities=_many(facts["intensities"]),
        p_intensities=_many(facts["p_intensities"]),
        p_x=_one(where, "p_x", facts["p_x"]),
        clock_hz_max=_one(where, "clock_hz_max", facts["clock_hz_max"]),
        family=document.get("family", POLARISATION),
        p_zero=p_zero_of(where, facts.get("p_zero")),
        facts=facts,
        **_given(where, facts),
    )
    _check(where, len(sheet.intensities) == len(sheet.p_intensities), "intensities and p_intensities differ in length")
    _check(where, list(sheet.intensities) == sorted(set(sheet.intensities), reverse=True), "intensities must fall")
    _check(where, min(sheet.p_intensities) > 0, "every intensity needs a positive probability")
    _check(where, math.isclose(sum(sheet.p_intensities), 1, abs_tol=1e-9), "p_intensities do not sum to 1")
    check_family(where, sheet)
    return sheet


def receiver_from_text(text: str, *, where: str) -> ReceiverSheet:
    """Read and check one receiver file; as ``transmitter_from_text``."""
    document, facts = _document(text, where, "receiver", RECEIVER_FIELDS)
    nothing = Fact(value=0.0, unit="", source="")
    none = Fact(value=(), unit="", source="")
    dead_times = [key for key in ("dead_time_ns", "own_dead_time_ns") if key in facts]
    _check(where, len(dead_times) == 1, "give either dead_time_ns (of all detectors) or own_dead_time_ns (of each)")
    is_common = dead_times == ["dead_time_ns"]
    if is_common:
        _one(where, "dead_time_ns", facts["dead_time_ns"])
    sheet = ReceiverSheet(
        name=document["name"],
        description=document["description"],
        efficiency=_four(where, "efficiency", facts["efficiency"]),
        loss_db=_one(where, "loss_db", facts["loss_db"]),
        p_dark_per_gate=_four(where, "p_dark_per_gate", facts.get("p_dark_per_gate", nothing)),
        dark_rate_hz=_four(where, "dark_rate_hz", facts.get("dark_rate_hz", nothing)),
        misalignment=_one(where, "misalignment", facts["misalignment"]),
        p_x=_one(where, "p_x", facts["p_x"]),
        family=document.get("family", POLARISATION),
        dead_time_ns=_four(where, dead_times[0], facts[dead_times[0]]),
        is_hold_off_common=is_common,
        p_trap=_many(facts.get("p_trap", none)),
        trap_lifetime_ns=_many(facts.get("trap_lifetime_ns", none)),
        facts=facts,
        **_given(where, facts),
    )
    _check(where, len(sheet.p_trap) == len(sheet.trap_lifetime_ns), "p_trap and trap_lifetime_ns differ in length")
    _check(where, all(life > 0 for life in sheet.trap_lifetime_ns), "a trap lifetime must be positive")
    _check(where, ("tail_ps" in facts) == ("p_tail" in facts), "tail_ps and p_tail come together")
    is_gated = "gate_width_ps" in facts
    for key in ("gate_centre_ps", "out_of_gate"):
        _check(where, is_gated or key not in facts, f"{key} says nothing without gate_width_ps")
    check_family(where, sheet)
    return sheet


def _given(where: str, facts: Mapping[str, Fact]) -> dict[str, Any]:
    """The optional fields that the file has; the dataclass knows what stands for the others."""
    four = {key: _four(where, key, facts[key]) for key in _FOUR if key in facts}
    return four | {key: _one(where, key, facts[key]) for key in _ONE if key in facts}


def _document(
    text: str, where: str, kind: str, fields: Mapping[str, Field]
) -> tuple[dict[str, str], Mapping[str, Fact]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DatasheetError(f"datasheet {where}: {error}") from None
    _check(where, document.get("kind") == kind, f"kind is {document.get('kind')!r}, not {kind!r}")
    tables = {key: value for key, value in document.items() if isinstance(value, dict)}
    for key in document:
        known = key in fields if key in tables else key in ("kind", "name", "description", "family")
        _check(where, known, near_miss("field", key, fields))
    for key, field in fields.items():
        _check(where, key in tables or not field.is_needed, f"field {key} is missing")
    for key in ("name", "description"):
        _check(where, isinstance(document.get(key), str), f"{key} is missing")
    return document, MappingProxyType({key: _fact(where, key, table, fields[key]) for key, table in tables.items()})


def _fact(where: str, key: str, table: dict[str, object], field: Field) -> Fact:
    _check(where, set(table) == {"value", "unit", "source"}, f"{key} needs value, unit and source, and nothing else")
    unit, source, value = str(table["unit"]), str(table["source"]).strip(), table["value"]
    _check(where, unit.startswith(field.unit), f"{key} is in {unit!r}; it must be in {field.unit!r}")
    _check(where, bool(source), f"{key} has no source")
    items = value if isinstance(value, list) else [value]
    numbers = [float(item) for item in items if isinstance(item, int | float) and not isinstance(item, bool)]
    _check(where, len(numbers) == len(items) and all(map(math.isfinite, numbers)), f"{key} holds no finite number")
    for number in numbers:
        limits = f"it must lie between {field.low:g} and {field.high:g}"
        no = "no probability" if field.high == 1 and field.low == 0 else limits
        _check(where, field.low <= number <= field.high, f"{key} is {number:g}, {no}")
    return Fact(value=tuple(numbers) if isinstance(value, list) else numbers[0], unit=unit, source=source)


def _one(where: str, key: str, fact: Fact) -> float:
    if isinstance(fact.value, tuple):
        raise DatasheetError(f"datasheet {where}: {key} takes one number, not a list")
    return fact.value


def _many(fact: Fact) -> tuple[float, ...]:
    return fact.value if isinstance(fact.value, tuple) else (fact.value,)


def _four(where: str, key: str, fact: Fact) -> PerDetector:
    values = _many(fact)
    if len(values) == 1:
        values = values * 4
    if len(values) != 4:
        detectors = ", ".join(DETECTORS)
        raise DatasheetError(
            f"datasheet {where}: {key} has {len(values)} values for the four detectors {detectors}; give one or four"
        )
    return (values[0], values[1], values[2], values[3])


def _check(where: str, holds: bool, sentence: str) -> None:
    if not holds:
        raise DatasheetError(f"datasheet {where}: {sentence}")
