"""When in its gate a click falls: pulse width, jitter, the detectors' gates, and the window that is accepted.

A photon arrives ``Branch.offset_ps`` late, spread by the pulse's width; the detector's efficiency depends on that
time by a Gaussian gate of its own centre and width, above a floor that it keeps outside of its gate (unequal centres
are the mismatch that time-shift attacks use); the time tag then adds Gaussian jitter and, for a share of the clicks,
an exponential tail. Dark counts, stray light and afterpulses fall anywhere in their slot. A tag beyond the gate's edge
belongs to the neighbour and is judged against that gate's settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Branch, Table
from qanat.physics.layout import Layout
from qanat.physics.tables import Wiring

if TYPE_CHECKING:
    from qanat.physics.optics import Optics

PerDetectorPs = float | tuple[float, ...]
SIGMAS_NEVER = 9.0  # beyond this many standard deviations lies 1e-19 of a normal law
REACH_GATES_MAX = 8  # a tag further from its gate is lost, and counted as out of the gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Times of a receiver's detectors; each is one number or one per detector.

    Attributes:
        pulse_ps: Standard deviation of a photon's arrival, before the detector.
        jitter_ps: Standard deviation of the time tag.
        tail_ps, p_tail: Mean of the exponential delay that this share of the photons' tags has on top.
        gate_centre_ps, gate_width_ps: Efficiency against arrival time, a Gaussian of this centre and standard
            deviation; width infinity: the same at all times.
        out_of_gate: Efficiency far outside the gate over that at its centre.
        window_ps: Tags further than half of this from their slot's centre are thrown away.
    """

    pulse_ps: float = 0.0
    jitter_ps: PerDetectorPs = 0.0
    tail_ps: PerDetectorPs = 0.0
    p_tail: PerDetectorPs = 0.0
    gate_centre_ps: PerDetectorPs = 0.0
    gate_width_ps: PerDetectorPs = math.inf
    out_of_gate: PerDetectorPs = 0.0
    window_ps: float = math.inf


class Clock(NamedTuple):
    """The loop's numbers. B branches, C channels, D detectors; see ``Timing`` and ``tables.Wiring``."""

    gate_ps: float
    window_ps: float
    reach_gates: int
    mean_ps: Table
    std_ps: Table
    slot_ps: Table
    width_ps: Table
    p_tail: Table
    tail_ps: Table
    is_slotted: NDArray[np.bool_]
    own_channel: NDArray[np.int64]
    own_count: NDArray[np.int64]
    label: NDArray[np.int64]


def efficiency_at(optics: Optics, offset_ps: float) -> Table:
    """Each channel's efficiency for light that comes this late, shape (C,); ``optics.efficiency`` is that at 0.

    Its ratio to that at 0 is the gate's answer then over the answer at 0, see ``_answers``. Never above 1.

    Example:
        >>> from dataclasses import replace
        >>> from qanat.physics.datasheet import load_receiver, load_transmitter
        >>> from qanat.physics.optics import optics_from_sheets
        >>> sheets = load_transmitter("decoy-1ghz"), load_receiver("snspd")
        >>> late = Timing(gate_centre_ps=(100.0, 0.0, 0.0, 0.0), gate_width_ps=200.0)
        >>> optics = replace(optics_from_sheets(*sheets, loss_db=10.0, clock_hz=1e9), timing=late)
        >>> x0, x1, *_ = efficiency_at(optics, 100.0) / optics.efficiency
        >>> bool(x1 < 1 < x0)
        True
    """
    (floor, then), (_, now) = _answers(optics, offset_ps), _answers(optics, 0.0)
    # Without a floor both answers may be too small for a float, their ratio not; so it is taken before the exponential.
    ratio = np.exp(then - now)
    if floor.any():
        ratio = (floor + (1 - floor) * np.exp(then)) / (floor + (1 - floor) * np.exp(now))
    return np.asarray(np.minimum(1.0, np.asarray(optics.efficiency) * ratio))


def _answers(optics: Optics, offset_ps: float | Table) -> tuple[Table, Table]:
    """Floor of each channel's answer, and the logarithm of its gate's part; the answer is floor + (1 - floor) exp(it).

    The gate's Gaussian averaged over the pulse's, in closed form: for standard deviations w and p,
    w / sqrt(w**2 + p**2) exp(-(t - centre)**2 / (2 (w**2 + p**2))).
    """
    layout, timing = optics.layout, optics.timing
    detectors = np.array(layout.detectors)
    centre, width = (_each(value, layout)[detectors] for value in (timing.gate_centre_ps, timing.gate_width_ps))
    pulse = timing.pulse_ps**2 / width**2  # 0 without a gate
    exponent = -((offset_ps - centre) ** 2) / (2 * (width**2 + timing.pulse_ps**2)) - np.log1p(pulse) / 2
    return _each(timing.out_of_gate, layout)[detectors], np.asarray(exponent)


def clock_from_timing(optics: Optics, wiring: Wiring, branches: Sequence[Branch], labels: Sequence[int]) -> Clock:
    """The numbers of these branches, in this order; ``labels`` number their ground truth."""
    layout, timing = optics.layout, optics.timing
    gate_ps = 1e12 / optics.clock_hz
    slot_ps = np.array([channel.slot_ps for channel in layout.channels])
    mean_ps, std_ps = _arrivals(optics, [branch.offset_ps for branch in branches])
    tails = np.where(_each(timing.p_tail, layout) > 0, _each(timing.tail_ps, layout), 0.0)
    width_ps = _slot_widths(slot_ps, np.array(layout.detectors), gate_ps)
    light_ps = float((np.abs(mean_ps) + SIGMAS_NEVER * std_ps).max()) + 37.0 * float(tails.max())
    noise_ps = float((np.abs(slot_ps) + width_ps / 2).max()) * (1 - 1e-12)
    reach = math.floor((max(light_ps, noise_ps) + gate_ps / 2) / gate_ps)
    return Clock(
        gate_ps=gate_ps,
        window_ps=timing.window_ps,
        reach_gates=min(REACH_GATES_MAX, reach),
        mean_ps=mean_ps,
        std_ps=std_ps,
        slot_ps=slot_ps,
        width_ps=width_ps,
        p_tail=_each(timing.p_tail, layout),
        tail_ps=tails,
        is_slotted=wiring.own_count > 1,
        own_channel=wiring.own_channel,
        own_count=wiring.own_count,
        label=np.array(labels, dtype=np.int64),
    )


def _arrivals(optics: Optics, offsets_ps: Sequence[float]) -> tuple[Table, Table]:
    """Mean and standard deviation of the tags of detected photons, shape (B, C).

    The gate picks photons of the pulse: a Gaussian times a Gaussian, mean (offset w**2 + centre p**2) / (w**2 + p**2),
    variance w**2 p**2 / (w**2 + p**2). What is detected by the floor outside the gate has the pulse's own time; both
    together are taken as one Gaussian of their mean and variance, which is exact for pulses much shorter than the gate
    and where one of them dominates. The detector's jitter comes on top.
    """
    layout, timing = optics.layout, optics.timing
    detectors = np.array(layout.detectors)
    pulse = timing.pulse_ps**2
    share = pulse / (pulse + _each(timing.gate_width_ps, layout)[detectors] ** 2) if pulse else np.zeros(len(detectors))
    centre = _each(timing.gate_centre_ps, layout)[detectors]
    offset = np.asarray(offsets_ps, dtype=np.float64)[:, None]
    slot_ps = np.array([channel.slot_ps for channel in layout.channels])
    floor, log_gate = _answers(optics, offset)
    gate = (1 - floor) * np.exp(log_gate)
    by_floor = np.divide(floor, floor + gate, out=np.zeros_like(gate), where=floor > 0)
    moved = (centre - offset) * share  # where the gate takes its photons from, less where the pulse is
    variance = pulse * (1 - share * (1 - by_floor)) + by_floor * (1 - by_floor) * moved**2
    variance = variance + _each(timing.jitter_ps, layout)[detectors] ** 2
    mean: Table = slot_ps + offset + moved * (1 - by_floor)
    return mean, np.array(np.broadcast_to(np.sqrt(variance), mean.shape))


def _slot_widths(slot_ps: Table, detectors: NDArray[np.int64], gate_ps: float) -> Table:
    """How long a channel's own slot is: to halfway to its detector's nearest other slot, or the whole gate."""
    apart = np.abs(slot_ps[:, None] - slot_ps)
    apart[(detectors[:, None] != detectors) | (apart == 0)] = gate_ps
    return np.asarray(np.minimum(gate_ps, apart.min(axis=1)))


def _each(value: PerDetectorPs, layout: Layout) -> Table:
    return np.array(np.broadcast_to(np.asarray(value, dtype=np.float64), (layout.detector_count,)))
