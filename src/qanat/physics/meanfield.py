"""The mean-field law of clicks: what hold-off and traps leave of a gate's marks, on average.

With m the probability of a mark in a live gate, D the dead gates and a the mean number of afterpulse clicks that a
click causes, the rate of clicks per gate solves r = m (1 - r D) + r a, so r = m / load with load = 1 + m D - a.
The share a of the clicks are afterpulses; their settings have the law "no mark here", p(s) (1 - c(s)) / (1 - m). The
clicks of a window are sub-Poissonian with Fano factor F = (1 - m) / load**2 (exact without afterpulses, as a renewal
process).

With a common hold-off this holds for the receiver as one; with one per detector for each detector, and detectors
are taken to be alive independently. A pulsed attack whose pulses and pauses outlast the hold-off has a load of its
own in each phase; faster ones meet the average one. Tags that leave their gate or the window are moved or lost.

Neglected: the share of clicks in which two tags leave for one gate, correlation between windows (of order D over the
window) and between detectors.

This file puts the phases together; ``phase_rates.py`` makes one, ``hold_off.py`` its load, ``renewal.py`` the
afterpulses in it.

Source: renewal theory, e.g. Cox, Renewal Theory (1962), chapter 4; photon counting with a non-paralysable dead
    time, R = r / (1 + r tau).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.physics.branch import Table
from qanat.physics.hold_off import load_of
from qanat.physics.law import law_from_branches
from qanat.physics.light import Light
from qanat.physics.patterns import firing_detectors, first_of_each
from qanat.physics.phase_rates import PhaseRates, phase_rates
from qanat.physics.settings import SettingsLaw
from qanat.physics.squash import is_double, squashed_law, telling
from qanat.physics.tables import Traps, traps_from_memory, wiring_from_layout


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickLaw:
    """Mean-field law of the clicks, per slot or per click.

    Attributes:
        rate_per_gate: Mean number of slots with an announced click, per slot.
        fano: Variance over mean of the clicks in a long window.
        afterpulse_share: Share of the detectors' clicks that are afterpulses.
        p_cell: Law of a click's cell, shape (S, outcomes, 2): outcome = basis * 2 + bit, last axis whether several
            detectors clicked.
        detector_rate: Clicks of each detector per slot, before window and squashing, shape (D,).
        lost_rate: Of those, outside the window, shape (D,).
        silent_rate: Slots with clicks that tell no basis, per slot.
        offset_moments: Mean first three powers of a click's offset in ps, shape (D, 3).
    """

    rate_per_gate: float
    fano: float
    afterpulse_share: float
    p_cell: Table
    detector_rate: Table
    lost_rate: Table
    silent_rate: float
    offset_moments: Table


def click_law(light: Light, settings: SettingsLaw) -> ClickLaw:
    """The law of the clicks in this light."""
    layout, wiring = light.optics.layout, wiring_from_layout(light.optics.layout)
    traps = traps_from_memory(light.memory, layout.detector_count)
    laws = [law_from_branches(phase) for phase in light.phases]
    marks = [first_of_each(law.p_pattern, wiring) for law in laws]
    shares = light.shares
    mean_marks = np.tensordot(shares, np.array(marks), axes=1)
    firing = firing_detectors(wiring)
    loads = [
        load_of(marks[i] if _is_slow(light, traps) else mean_marks, settings.p_settings, firing, traps)
        for i in range(len(marks))
    ]
    phases = [
        phase_rates(light, wiring, settings.p_settings, firing, index, law, marks[index], loads[index])
        for index, law in enumerate(laws)
    ]
    return _summed(light, shares, phases)


def grouped_cells(clicks: ClickLaw) -> Table:
    """Mean share of the clicks per (intensity, basis, is_error), matching bases only; shape (K, 2, 2)."""
    count = clicks.p_cell.shape[0]
    groups = np.zeros((count // 4, 2, 2))
    for setting in range(count):
        for outcome in range(min(4, clicks.p_cell.shape[1])):
            if (setting >> 1 & 1) == outcome >> 1:
                groups[setting >> 2, outcome >> 1, (setting ^ outcome) & 1] += clicks.p_cell[setting, outcome].sum()
    return groups


def crossed_cells(clicks: ClickLaw) -> Table:
    """Mean share of the clicks prepared in X and measured in Z, per (intensity, outcome); shape (K, 2)."""
    prepared_x = clicks.p_cell.sum(axis=2).reshape(-1, 2, 2, clicks.p_cell.shape[1])[:, 0]
    return np.asarray(prepared_x[:, :, 2:4].sum(axis=1))


def _is_slow(light: Light, traps: Traps) -> bool:
    edges = np.minimum(light.pulses.length, light.pulses.period - light.pulses.length)
    return bool((edges > traps.dead_gates.max()).all())


def _summed(light: Light, shares: Table, phases: list[PhaseRates]) -> ClickLaw:
    layout, p_x = light.optics.layout, light.optics.p_x
    joint = np.tensordot(shares, np.array([phase.joint for phase in phases]), axes=1)
    fired, lost, after = (
        np.tensordot(shares, np.array([getattr(phase, name) for phase in phases]), axes=1)
        for name in ("fired", "lost", "after")
    )
    moments = np.tensordot(shares, np.array([phase.moments for phase in phases]), axes=1)
    tell = telling(layout)
    patterns = np.arange(layout.pattern_count)
    outcome = squashed_law(p_x, layout)
    double = np.array([[is_double(pattern & tell)] for pattern in patterns.tolist()])
    cells = np.stack([joint @ (outcome * ~double), joint @ (outcome * double)], axis=2)
    rate, total = float(cells.sum()), sum(w * phase.total for w, phase in zip(shares, phases, strict=True))
    fano = sum(w * phase.fano * phase.total for w, phase in zip(shares, phases, strict=True)) / max(total, 1e-300)
    kept = min(1.0, rate / total) if total > 0 else 1.0  # a share of the clicks is wider than all of them
    return ClickLaw(
        rate_per_gate=rate,
        fano=float(1 - kept * (1 - fano)) if total > 0 else 1.0,
        afterpulse_share=float(after.sum() / fired.sum()) if total > 0 else 0.0,
        p_cell=cells / rate if rate > 0 else cells,
        detector_rate=fired,
        lost_rate=lost,
        silent_rate=float(joint[:, patterns & tell == 0].sum()),
        offset_moments=moments / np.maximum(fired, 1e-300)[:, None],
    )
