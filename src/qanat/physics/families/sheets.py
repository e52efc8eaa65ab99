"""What the datasheets of a family must say, and which modules fit each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qanat.physics.errors import DatasheetError, near_miss

if TYPE_CHECKING:
    from qanat.physics.sheets import Fact, PerDetector, ReceiverSheet, TransmitterSheet

POLARISATION, TIME_BIN = "polarisation", "time-bin"
FAMILIES = (POLARISATION, TIME_BIN)
_OF_TIME_BIN = ("bin_ps", "insertion_loss_db", "visibility")
_PER_DETECTOR = ("efficiency", "p_dark_per_gate", "dark_rate_hz", "dead_time_ns", "jitter_ps", "tail_ps", "p_tail")
_PER_DETECTOR_GATES = ("gate_centre_ps", "gate_width_ps", "out_of_gate")


def check_family(where: str, sheet: TransmitterSheet | ReceiverSheet) -> None:
    """Raises: DatasheetError: an unknown family, or fields that it lacks or does not have."""
    if sheet.family not in FAMILIES:
        raise DatasheetError(f"datasheet {where}: {near_miss('family', str(sheet.family), FAMILIES)}")
    has_bins = sheet.family == TIME_BIN
    for key in _OF_TIME_BIN:
        if key in sheet.facts and not has_bins:
            raise DatasheetError(f"datasheet {where}: {key} belongs to the family {TIME_BIN!r}")
    if has_bins and not sheet.bin_ps:
        raise DatasheetError(f"datasheet {where}: a {TIME_BIN} module needs bin_ps")
    if has_bins and hasattr(sheet, "efficiency"):
        _check_arrival_detector(where, sheet)


def _check_arrival_detector(where: str, sheet: object) -> None:
    for key in (*_PER_DETECTOR, *_PER_DETECTOR_GATES):
        values = getattr(sheet, key)
        if values[0] != values[1]:
            raise DatasheetError(f"datasheet {where}: {key} differs in X0 and X1, which are one detector")


def p_zero_of(where: str, fact: Fact | None) -> tuple[float, float]:
    """Probability of bit 0 in X and in Z, fair unless said.

    Raises:
        DatasheetError: key bits that are not fair, or a test basis that has neither two even states nor one.
    """
    if fact is None:
        return (0.5, 0.5)
    values = fact.value if isinstance(fact.value, tuple) else (fact.value,)
    if len(values) != 2 or values[0] != 0.5 or values[1] not in (0.5, 1.0):
        raise DatasheetError(
            f"datasheet {where}: p_zero is {list(values)}; it must be [0.5, 0.5] (four states) or [0.5, 1] (three: "
            "the test basis has bit 0 alone). No proof here covers other choices"
        )
    return (values[0], values[1])


def misfit(
    transmitter: TransmitterSheet, receiver: ReceiverSheet, *, clock_hz: float, has_weather: bool = False
) -> str | None:
    """Why these two modules cannot work together at this clock rate; None when they can."""
    sent, seen = f"transmitter {transmitter.name!r}", f"receiver {receiver.name!r}"
    if transmitter.family != receiver.family:
        return f"{sent} sends {transmitter.family} light, {seen} tells {receiver.family} light"
    if transmitter.bin_ps != receiver.bin_ps:
        return f"{sent} has bins {transmitter.bin_ps:g} ps apart, the interferometer of {seen} {receiver.bin_ps:g} ps"
    if has_weather and transmitter.family != POLARISATION:
        return (
            f"the environment turns polarisation; {sent} sends {transmitter.family} light, whose drift is not modelled"
        )
    if 2 * transmitter.bin_ps * clock_hz > 1e12 * (1 + 1e-9):
        most_hz = 1e12 / (2 * transmitter.bin_ps)
        return f"two bins of {transmitter.bin_ps:g} ps do not fit a clock slot at {clock_hz:g} Hz; at most {most_hz:g}"
    return None


def checked_fit(
    transmitter: TransmitterSheet, receiver: ReceiverSheet, *, clock_hz: float, has_weather: bool = False
) -> None:
    """Raises: DatasheetError: see ``misfit``."""
    problem = misfit(transmitter, receiver, clock_hz=clock_hz, has_weather=has_weather)
    if problem is not None:
        raise DatasheetError(problem)


def three_detectors(values: PerDetector) -> tuple[float, float, float]:
    """Of a time-bin receiver: the arrival detector (X0 and X1 alike), then the interferometer's two ports."""
    return (values[0], values[2], values[3])
