"""The statistical tier: counts per window in one draw, for hours to years of link time.

Approximate, where the other two are exact. With m the probability of a mark in a live gate, D the dead gates and
a the mean number of afterpulse clicks that a click causes, the rate of clicks per gate solves
r = m (1 - r D) + r a, so r = m / (1 + m D - a). The share a of the clicks are afterpulses; their settings have the
law "no mark here", p(s) (1 - c(s)) / (1 - m). The window's clicks are sub-Poissonian with Fano factor
F = (1 - m) / (1 + m D - a)^2 (exact without afterpulses, as a renewal process), and are dealt to the cells
independently, so that a cell with share w has Fano factor 1 - w (1 - F).

Neglected: chains inside one window edge, a mark and a release in one gate (of order a m), and correlation between
windows (of order D over the window).

Source: renewal theory, e.g. Cox, Renewal Theory (1962), chapter 4; photon counting with a non-paralysable dead
    time, R = r / (1 + r tau).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.core.report import Counts
from qanat.physics.attack import Attack
from qanat.physics.law import GateLaw
from qanat.physics.layout import POLARISATION, Layout
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics, gate_law
from qanat.physics.settings import SettingsLaw
from qanat.physics.squash import is_double, squashed_law, telling

_STEPS_PER_DEAD_TIME = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """Counts of one window, as a LinkReport has them and, for tests, errors in X too.

    Attributes:
        sifted_counts: Matching-basis detections per intensity, brightest first: (X, Z).
        error_counts_z, error_counts_x: Errors among them, per intensity.
    """

    detection_count: int
    double_click_count: int
    sifted_counts: Counts
    error_counts_z: tuple[int, ...]
    error_counts_x: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClickLaw:
    """Mean-field law of the clicks.

    Attributes:
        rate_per_gate: Mean number of slots with a click, per slot.
        fano: Variance over mean of the clicks in a long window.
        afterpulse_share: Share of the clicks that are afterpulses.
        p_cell: Law of a click's cell, shape (n_settings, 4 outcomes, 2): outcome = basis * 2 + bit, last axis
            whether several detectors clicked.
    """

    rate_per_gate: float
    fano: float
    afterpulse_share: float
    p_cell: NDArray[np.float64]


def click_law(
    law: GateLaw, settings: SettingsLaw, memory: DetectorMemory, *, p_x: float, layout: Layout = POLARISATION
) -> ClickLaw:
    """The mean-field law from a gate's law; ``p_x`` is the receiver's, for squashing."""
    joint = settings.p_settings[:, None] * law.p_pattern  # (n_settings, 16)
    m = float(joint[:, 1:].sum())
    if m <= 0.0:
        cells = np.zeros((settings.p_settings.size, squashed_law(p_x, layout).shape[1], 2))
        return ClickLaw(rate_per_gate=0.0, fano=1.0, afterpulse_share=0.0, p_cell=cells)
    pattern_law = joint[:, 1:].sum(axis=0) / m
    firing = np.arange(1, layout.pattern_count)[:, None] >> np.arange(layout.channel_count) & 1
    carriers = pattern_law @ firing  # mean number of firings of each detector per click
    a = float(carriers.sum()) * _released_alive(m, memory)
    load = 1 + m * memory.dead_gates - a
    no_mark = joint[:, 0] / joint[:, 0].sum()
    marked = joint[:, 1:] / m
    p_cell = (1 - a) * _cells(marked, p_x, layout)
    alone = carriers @ squashed_law(p_x, layout)[1 << np.arange(layout.channel_count)]
    p_cell[:, :, 0] += a * np.outer(no_mark, alone / carriers.sum())
    return ClickLaw(rate_per_gate=m / load, fano=(1 - m) / load**2, afterpulse_share=a, p_cell=p_cell)


def grouped_cells(clicks: ClickLaw) -> NDArray[np.float64]:
    """Mean share of the clicks per (intensity, basis, is_error), matching bases only; shape (n_intensities, 2, 2)."""
    single, double = _grouped(clicks.p_cell)[:-2].reshape(-1, 2).T
    return np.asarray((single + double).reshape(-1, 2, 2))


class StatisticalSampler:
    """Counts of one link, window after window. Settings are not kept: no key can be made from these counts.

    Args:
        stream: The link's own named stream.
    """

    def __init__(
        self, *, optics: Optics, memory: DetectorMemory, settings: SettingsLaw, stream: np.random.Generator
    ) -> None:
        self.optics = optics
        self.memory = memory
        self.settings = settings
        self._stream = stream
        self.set_attacks(())

    def set_attacks(self, attacks: Sequence[Attack]) -> None:
        """From the next window on, the light has this law."""
        self.law = click_law(
            gate_law(self.optics, attacks), self.settings, self.memory, p_x=self.optics.p_x, layout=self.optics.layout
        )
        self._groups = _grouped(self.law.p_cell)

    def counts(self, n_gates: int) -> CellCounts:
        """Counts of a window of this many slots."""
        total = total_clicks(self._stream, n_gates * self.law.rate_per_gate, self.law.fano)
        drawn = self._stream.multinomial(total, self._groups)
        doubles = drawn[1::2].sum()
        cells = (drawn[0:-1:2] + drawn[1::2])[:-1].reshape(-1, 2, 2).tolist()  # (intensity, basis, is_error)
        return CellCounts(
            detection_count=total,
            double_click_count=int(doubles),
            sifted_counts=tuple((sum(x), sum(z)) for x, z in cells),
            error_counts_z=tuple(z[1] for _, z in cells),
            error_counts_x=tuple(x[1] for x, _ in cells),
        )


def total_clicks(stream: np.random.Generator, mean: float, fano: float) -> int:
    """An integer with this mean and this variance over mean: binomial below 1, Poisson at 1, Pascal above."""
    if mean <= 0:
        return 0
    if fano < 1 - 1e-9:
        trials = max(round(mean / (1 - fano)), math.ceil(mean))
        return int(stream.binomial(trials, mean / trials))
    if fano > 1 + 1e-9:
        return int(stream.negative_binomial(mean / (fano - 1), 1 / fano))
    return int(stream.poisson(mean))


def _cells(marked: NDArray[np.float64], p_x: float, layout: Layout) -> NDArray[np.float64]:
    """Law of (settings, outcome, is_double) from the law of (settings, pattern 1..)."""
    outcome = squashed_law(p_x, layout)[1:]
    tell = telling(layout)
    double = np.array([[is_double(pattern & tell)] for pattern in range(1, layout.pattern_count)])
    return np.stack([marked @ (outcome * ~double), marked @ (outcome * double)], axis=2)


def _grouped(p_cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cells that are counted apart: (intensity, basis, is_error) x is_double, then mismatched x is_double."""
    groups = np.zeros((p_cell.shape[0] + 1, 2))
    for setting in range(p_cell.shape[0]):
        for outcome in range(p_cell.shape[1]):
            matched = (setting >> 1 & 1) == outcome >> 1
            row = (setting & ~1) | ((setting ^ outcome) & 1) if matched else -1
            groups[row] += p_cell[setting, outcome]
    flat = groups.ravel()
    total = flat.sum()
    result: NDArray[np.float64] = flat / total if total > 0 else np.full(flat.size, 1 / flat.size)
    return result


def _released_alive(m: float, memory: DetectorMemory) -> float:
    """Mean number of carriers per firing detector that are released into a live receiver.

    Needs the probability that detectors are alive t gates after a click: zero up to D, one just after it, and
    1 / (1 + m D) long after; in between it rings. Stepped through with the renewal equation
    alive(t) = 1 - sum of m alive(t - D .. t - 1), first order in the afterpulses themselves.
    """
    dead = memory.dead_gates
    far = 1 / (1 + m * dead)
    if not memory.p_trap:
        return 0.0
    if dead == 0:
        return sum(memory.p_trap)
    step = max(1, dead // _STEPS_PER_DEAD_TIME)  # gates per step
    per_dead = round(dead / step)
    p_step = -np.expm1(step * np.log1p(-min(m, 1 - 1e-12)))
    horizon = 20 * per_dead  # ringing has died out: each dead time damps it
    alive = np.zeros(horizon)
    clicked = 0.0  # probability of a click in the last D gates
    for t in range(per_dead, horizon):
        # The click at 0 blocks steps 0 .. per_dead-1; later clicks block per_dead steps after them.
        alive[t] = max(0.0, 1.0 - clicked)
        clicked += p_step * alive[t]
        if t >= 2 * per_dead - 1:
            clicked -= p_step * alive[t - per_dead + 1]
    total = 0.0
    for p_trap, hazard in zip(memory.p_trap, memory.p_release, strict=True):
        survive = (1 - hazard) ** (step * np.arange(horizon + 1, dtype=np.float64))
        total += p_trap * float((survive[:-1] - survive[1:]) @ alive + survive[-1] * far)
    return total
