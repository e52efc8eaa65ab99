"""What the two modules of a link tell about themselves, window by window. No field can hold a key bit.

Every number here is public: it crosses the classical channel and reaches monitors, journals and pages. Counts are
per detector, never per announced slot; a bit value cannot be read from them.
"""

from __future__ import annotations

from dataclasses import dataclass

# Bounds of the inter-detection histogram in clock slots: bin k counts gaps in [2**k, 2**(k+1)), the last all longer.
GAP_BIN_COUNT = 24
DETECTOR_COUNT_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Where in the clock slot the clicks of one detector fell, from the slot's centre.

    Attributes:
        count: Clicks of this detector, before squashing.
        mean_ps, std_ps: Of their offsets; 0 when there were none.
        skewness: Third central moment over std cubed; 0 when undefined.
        out_of_gate_count: Clicks outside the detector's gate.
    """

    count: int
    mean_ps: float = 0.0
    std_ps: float = 0.0
    skewness: float = 0.0
    out_of_gate_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverHealth:
    """The receiving module in one window.

    Attributes:
        arrivals: Per detector, in the order of the receiver's datasheet (X0, X1, Z0, Z1 for BB84).
        gap_histogram: Slots between successive detections of the module, ``GAP_BIN_COUNT`` bins of a factor 2.
        bias_current_na: Per detector, mean over the window.
        temperature_c: Of the detectors.
        control_effort: How far the polarisation or phase controller turned in this window, in radians: its moves added
            up without sign. 0 where nothing drifts.
    """

    arrivals: tuple[Arrivals, ...]
    gap_histogram: tuple[int, ...]
    bias_current_na: tuple[float, ...]
    temperature_c: float
    control_effort: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmitterHealth:
    """The transmitting module in one window.

    Attributes:
        power_ratio: Mean launched power over its nominal value, by the module's own monitor diode.
        in_port_power_nw: Light that entered by the exit, as a Trojan horse or a seeding laser would.
        temperature_c: Of the laser.
        control_effort: The laser's thermostat, share of its range in use, 0 to 1.
    """

    power_ratio: float
    in_port_power_nw: float
    temperature_c: float
    control_effort: float
