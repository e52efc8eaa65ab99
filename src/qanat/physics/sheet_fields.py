"""Which fields a datasheet may have: unit, how many numbers, their range, whether it may be left out."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a datasheet file.

    Attributes:
        unit: How its unit must begin, so that a file in ps or percent is refused.
        low, high: Each number lies between them.
        is_needed: A sheet without it is refused.
    """

    unit: str
    low: float = 0.0
    high: float = math.inf
    is_needed: bool = False


def _probability(*, is_needed: bool = False, unit: str = "probability") -> Field:
    return Field(unit=unit, high=1.0, is_needed=is_needed)


_PS_MAX = 1e6  # a microsecond from the slot's centre is another slot's business at any clock rate here
_CLIMATE = {
    "temperature_c": Field(unit="degrees Celsius", low=-273.15, high=200.0),
    "room_coupling": Field(unit="K per K", high=1.0),
}

TRANSMITTER_FIELDS = {
    "intensities": Field(unit="mean photon number", is_needed=True),
    "p_intensities": _probability(is_needed=True),
    "p_x": _probability(is_needed=True),
    "clock_hz_max": Field(unit="Hz", is_needed=True),
    "p_zero": _probability(),
    "bin_ps": Field(unit="ps", low=1.0, high=_PS_MAX),
    "pulse_ps": Field(unit="ps", high=_PS_MAX),
    "power_per_k": Field(unit="relative change per K", low=-0.5, high=0.5),
    **_CLIMATE,
}

RECEIVER_FIELDS = {
    "efficiency": _probability(is_needed=True),
    "loss_db": Field(unit="dB", is_needed=True),
    "p_dark_per_gate": _probability(unit="probability per gate"),
    "dark_rate_hz": Field(unit="counts per second"),
    "misalignment": _probability(is_needed=True),
    "p_x": _probability(is_needed=True),
    "bin_ps": Field(unit="ps", low=1.0, high=_PS_MAX),
    "insertion_loss_db": Field(unit="dB", high=100.0),
    "visibility": Field(unit="ratio", high=1.0),
    "dead_time_ns": Field(unit="ns"),
    "own_dead_time_ns": Field(unit="ns"),
    "p_trap": _probability(unit="carriers per click"),
    "trap_lifetime_ns": Field(unit="ns"),
    "jitter_ps": Field(unit="ps", high=_PS_MAX),
    "tail_ps": Field(unit="ps", high=_PS_MAX),
    "p_tail": _probability(),
    "gate_centre_ps": Field(unit="ps", low=-_PS_MAX, high=_PS_MAX),
    "gate_width_ps": Field(unit="ps", low=1e-3, high=_PS_MAX),
    "out_of_gate": _probability(unit="ratio"),
    "window_ps": Field(unit="ps", low=1e-3),
    "dark_doubling_k": Field(unit="K", low=0.1),
    "efficiency_per_k": Field(unit="relative change per K", low=-0.5, high=0.5),
    **_CLIMATE,
}
