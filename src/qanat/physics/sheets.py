"""What a datasheet says of a module, as plain numbers: dataclasses only, read by ``sheet_reading.py``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

DETECTORS = ("X0", "X1", "Z0", "Z1")  # detector index = 2 * basis + bit
PerDetector = tuple[float, float, float, float]
NONE: PerDetector = (0.0, 0.0, 0.0, 0.0)
UNGATED: PerDetector = (math.inf, math.inf, math.inf, math.inf)
FAIR = (0.5, 0.5)
ROOM_C = 25.0  # of a cabinet when nothing else is said


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
        p_zero: Probability of bit 0 in X and in Z. (0.5, 1) is a three-state source: its test has one state.
        family: What carries the bit, see ``families/``.
        bin_ps: Time-bin sources: from the early bin to the late one.
        pulse_ps: Standard deviation of a photon's arrival within its pulse.
        temperature_c: Of the laser, in a cabinet at ``ROOM_C``.
        room_coupling: Kelvins by which the laser follows its cabinet, per kelvin: what its thermostat leaves.
        power_per_k: Relative change of every intensity per kelvin of the laser.
        facts: The file's values with units and sources.
    """

    name: str
    description: str
    intensities: tuple[float, ...]
    p_intensities: tuple[float, ...]
    p_x: float
    clock_hz_max: float
    p_zero: tuple[float, float] = FAIR
    family: str = "polarisation"
    bin_ps: float = 0.0
    pulse_ps: float = 0.0
    temperature_c: float = ROOM_C
    room_coupling: float = 0.0
    power_per_k: float = 0.0
    facts: Mapping[str, Fact]

    @property
    def is_three_state(self) -> bool:
        """The test basis has bit 0 alone."""
        return self.p_zero[1] == 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSheet:
    """A passive four-detector receiver. Tuples of four run over ``DETECTORS``.

    Attributes:
        efficiency: Of each detector for light that comes on time (offset 0), see ``gate_centre_ps``.
        loss_db: Of its optics, before the detectors.
        p_dark_per_gate, dark_rate_hz: The two add up; see ``p_dark``.
        misalignment: Probability that a photon in the right basis goes to the wrong detector.
        p_x: Share of the light that the beam splitter sends to the X arm.
        family: What it tells bits by, see ``families/``.
        bin_ps, insertion_loss_db, visibility: Time-bin receivers: the interferometer's arms differ by this, it loses
            that much before its detectors, and this is the contrast of its fringes. X0 and X1 are one detector.
        dead_time_ns: Hold-off: of all detectors after any click, or of each after its own; see ``is_hold_off_common``.
        is_hold_off_common: Whether a click holds off all detectors. If not, an attacker may tilt bits through dead
            detectors, which no proof here covers.
        p_trap, trap_lifetime_ns: Per kind of trap: probability that a click of a detector leaves a carrier in
            it, and its mean life. Releases during the dead time are lost, so that the afterpulse probability
            seen is lower.
        jitter_ps, tail_ps, p_tail: Of the time tag, see ``timing.Timing``. Tags that leave their gate are judged
            against a neighbour's settings: gate misassignment follows from these and is no number of its own.
        gate_centre_ps, gate_width_ps: When each detector answers, Gaussian; unequal centres are the mismatch that
            time-shift and faked-state attacks live on.
        out_of_gate: Efficiency far outside the gate over that at its centre.
        window_ps: Tags further than half of this from their slot's centre are thrown away.
        temperature_c: Of the detectors, in a cabinet at ``ROOM_C``.
        room_coupling: Kelvins by which they follow their cabinet, per kelvin.
        dark_doubling_k: Warming by which dark counts double; infinite: they do not depend on it.
        efficiency_per_k: Relative change of the efficiency per kelvin of the detectors.
    """

    name: str
    description: str
    efficiency: PerDetector
    loss_db: float
    p_dark_per_gate: PerDetector
    dark_rate_hz: PerDetector
    misalignment: float
    p_x: float
    family: str = "polarisation"
    bin_ps: float = 0.0
    insertion_loss_db: float = 0.0
    visibility: float = 1.0
    dead_time_ns: PerDetector
    is_hold_off_common: bool = True
    p_trap: tuple[float, ...]
    trap_lifetime_ns: tuple[float, ...]
    jitter_ps: PerDetector = NONE
    tail_ps: PerDetector = NONE
    p_tail: PerDetector = NONE
    gate_centre_ps: PerDetector = NONE
    gate_width_ps: PerDetector = UNGATED
    out_of_gate: PerDetector = NONE
    window_ps: float = math.inf
    temperature_c: float = ROOM_C
    room_coupling: float = 0.0
    dark_doubling_k: float = math.inf
    efficiency_per_k: float = 0.0
    facts: Mapping[str, Fact]

    def p_dark(self, clock_hz: float) -> PerDetector:
        """Probability of a dark count per gate and detector at this clock rate."""
        a, b, c, d = (
            gate - math.expm1(-rate_hz / clock_hz) * (1 - gate)
            for gate, rate_hz in zip(self.p_dark_per_gate, self.dark_rate_hz, strict=True)
        )
        return (a, b, c, d)
