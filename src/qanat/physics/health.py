"""From what a sampler counted and what the meters show to the health records of a link's two modules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from qanat.core.health import Arrivals, ReceiverHealth, TransmitterHealth
from qanat.physics.attack import Attack
from qanat.physics.branch import Table
from qanat.physics.clicks import Tally
from qanat.physics.instruments import Instruments
from qanat.physics.optics import Optics

# Representative: an avalanche of a fast-gated InGaAs diode moves about 1e6 electrons, at 1e6 clicks/s 160 nA.
CHARGE_PER_CLICK_PC = 0.16


def instruments_under(optics: Optics, attacks: Sequence[Attack] = (), base: Instruments | None = None) -> Instruments:
    """What the meters show while these attacks are on."""
    readings = _of_detectors(Instruments() if base is None else base, optics.layout.detector_count)
    for attack in attacks:
        readings = attack.on_instruments(readings, optics)
    return readings


def _of_detectors(readings: Instruments, count: int) -> Instruments:
    """The same at rest, for as many detectors as the receiver has."""
    if len(readings.dark_bias_current_na) == count:
        return readings
    return replace(
        readings,
        dark_bias_current_na=readings.dark_bias_current_na[:1] * count,
        extra_bias_current_na=readings.extra_bias_current_na[:1] * count,
    )


def receiver_health(tally: Tally, instruments: Instruments, duration_s: float) -> ReceiverHealth:
    """The receiver's record of one window. Every detector of the layout is in it, clicks or none."""
    arrivals = tuple(arrivals_from_moments(row) for row in tally.moments)
    currents = zip(arrivals, instruments.dark_bias_current_na, instruments.extra_bias_current_na, strict=True)
    return ReceiverHealth(
        arrivals=arrivals,
        gap_histogram=tuple(tally.gaps.tolist()),
        bias_current_na=tuple(
            dark + extra + 1e-3 * CHARGE_PER_CLICK_PC * one.count / duration_s for one, dark, extra in currents
        ),
        temperature_c=instruments.receiver_temperature_c,
        control_effort=instruments.receiver_effort,
    )


def transmitter_health(instruments: Instruments) -> TransmitterHealth:
    """The transmitter's record of one window."""
    return TransmitterHealth(
        power_ratio=instruments.power_ratio,
        in_port_power_nw=instruments.in_port_power_nw,
        temperature_c=instruments.transmitter_temperature_c,
        control_effort=instruments.transmitter_effort,
    )


def arrivals_from_moments(row: Table | Sequence[float]) -> Arrivals:
    """Mean, width and skewness from a count, sums of powers, and the clicks outside the window.

    Example:
        >>> arrivals_from_moments([2.0, 20.0, 208.0, 2240.0, 1.0])
        Arrivals(count=2, mean_ps=10.0, std_ps=2.0, skewness=0.0, out_of_gate_count=1)
    """
    count, first, second, third, lost = map(float, row)
    if count == 0:
        return Arrivals(count=0)
    mean = first / count
    variance = max(0.0, second / count - mean**2)
    central = third / count - 3 * mean * second / count + 2 * mean**3
    return Arrivals(
        count=int(count),
        mean_ps=mean,
        std_ps=math.sqrt(variance),
        skewness=central / variance**1.5 if variance > 1e-6 else 0.0,
        out_of_gate_count=int(lost),
    )
