"""The statistical tier: counts per window in one draw, for hours to years of link time.

Approximate, where the other two are exact: the law of the clicks is the mean field of ``meanfield.py``. A window's
clicks are drawn with that mean and width and dealt to the cells independently, so that a cell with share w has Fano
factor 1 - w (1 - F). Many windows go through one call of a kernel: about 2 microseconds each (bench/photons.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.core.report import Counts
from qanat.physics.attack import Attack
from qanat.physics.clicks import Tally
from qanat.physics.gaps import drawn_gaps, gap_law
from qanat.physics.light import light_of
from qanat.physics.meanfield import ClickLaw, click_law, crossed_cells, grouped_cells
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics
from qanat.physics.settings import SettingsLaw
from qanat.physics.window_tally import moments_drawn

__all__ = ["CellCounts", "StatisticalSampler", "WindowTable", "click_law", "grouped_cells", "total_clicks"]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCounts:
    """Counts of one window, as a LinkReport has them and, for tests, errors in X too.

    Attributes:
        sifted_counts: Matching-basis detections per intensity, brightest first: (X, Z).
        error_counts_z, error_counts_x: Errors among them, per intensity.
        detector_counts: Clicks of each detector, before the window and squashing.
        lost_counts: Of those, outside the window.
        crossed_counts: Of three-state light, per intensity: detections in Z of what was prepared in X with outcome 0,
            with outcome 1; empty for four states, whose proof needs none.
    """

    detection_count: int
    double_click_count: int
    sifted_counts: Counts
    error_counts_z: tuple[int, ...]
    error_counts_x: tuple[int, ...]
    detector_counts: tuple[int, ...]
    lost_counts: tuple[int, ...]
    crossed_counts: Counts = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowTable:
    """Counts of n windows as columns. K intensities, D detectors.

    Attributes:
        cells: Per (intensity, basis, is_error), matching bases, shape (n, K, 2, 2).
        crossed: Per (intensity, outcome), see ``CellCounts``, shape (n, K, 2); K = 0 for four states.
        detectors, lost: As in ``CellCounts``, shape (n, D).
    """

    detection_count: Integers
    double_click_count: Integers
    cells: Integers
    crossed: Integers
    detectors: Integers
    lost: Integers


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
        self._state = stream.integers(1, 1 << 63, size=4, dtype=np.uint64)
        self._tagger = stream.spawn(1)[0]  # its own chance: who asks for times and gaps does not change the counts
        self._attacks: tuple[Attack, ...] = ()
        self._renew()

    def set_attacks(self, attacks: Sequence[Attack]) -> None:
        """From the next window on, the light has this law."""
        self._attacks = tuple(attacks)
        self._renew()

    def set_optics(self, optics: Optics, memory: DetectorMemory | None = None) -> None:
        """From the next window on, the link has drifted to these values; its layout stays."""
        self.optics = optics
        self.memory = self.memory if memory is None else memory
        self._renew()

    def _renew(self) -> None:
        self._light = light_of(self.optics, self.memory, self._attacks)
        self.law: ClickLaw = click_law(self._light, self.settings)
        self._gap_law: NDArray[np.float64] | None = None
        self._p_rest = _dealing(self.law, is_three_state=self.settings.p_zero != (0.5, 0.5))

    def counts(self, n_gates: int) -> CellCounts:
        """Counts of a window of this many slots."""
        return row_of(self.counts_many(1, n_gates), 0)

    def tally(self, counts: CellCounts) -> Tally:
        """What the receiver would have counted beside these clicks of the present light: arrival times and gaps."""
        if self._gap_law is None:
            self._gap_law = gap_law(self._light, self.settings)
        silent = self.law.silent_rate / max(self.law.rate_per_gate, 1e-300) * counts.detection_count
        return Tally(
            moments=moments_drawn(self.law, counts.detector_counts, counts.lost_counts, self._tagger),
            gaps=drawn_gaps(self._gap_law, counts.detection_count, self._tagger),
            silent_count=int(self._tagger.poisson(silent)),
        )

    def counts_many(self, n_windows: int, n_gates: int) -> WindowTable:
        """Counts of this many windows of this many slots each."""
        from qanat.physics import kernels

        totals = total_clicks(self._stream, n_gates * self.law.rate_per_gate, self.law.fano, n_windows)
        totals = np.minimum(totals, n_gates)
        drawn = np.empty((n_windows, len(self._p_rest)), dtype=np.int64)
        kernels.dealt(totals, self._p_rest, self._state, drawn)
        doubles = np.empty(n_windows, dtype=np.int64)
        kernels.thinned(totals, float(self.law.p_cell[:, :, 1].sum()), self._state, doubles)
        matched_count = 4 * len(self.settings.intensities)
        detectors, lost = self._detectors(totals, n_gates)
        return WindowTable(
            detection_count=totals,
            double_click_count=doubles,
            cells=drawn[:, :matched_count].reshape(n_windows, -1, 2, 2),
            crossed=drawn[:, matched_count:].reshape(n_windows, -1, 2),
            detectors=detectors,
            lost=lost,
        )

    def _detectors(self, totals: Integers, n_gates: int) -> tuple[Integers, Integers]:
        """Detectors' clicks go with the window's total, each with a width of its own; of them, those lost."""
        from qanat.physics import kernels

        count = len(self.law.detector_rate)
        fired, lost = (np.zeros((count, len(totals)), dtype=np.int64) for _ in range(2))
        for d, (rate, lost_rate) in enumerate(zip(self.law.detector_rate, self.law.lost_rate, strict=True)):
            if self.law.rate_per_gate > 0:
                whole, part = divmod(float(rate) / self.law.rate_per_gate, 1.0)
                kernels.thinned(totals, part, self._state, fired[d])
                fired[d] += int(whole) * totals
            else:
                fired[d] = self._stream.poisson(n_gates * rate, len(totals))
            kernels.thinned(fired[d], float(lost_rate / max(rate, 1e-300)), self._state, lost[d])
        return fired.T, lost.T


def row_of(table: WindowTable, index: int) -> CellCounts:
    """One window of a table."""
    cells = table.cells[index].tolist()  # (intensity, basis, is_error)
    return CellCounts(
        detection_count=int(table.detection_count[index]),
        double_click_count=int(table.double_click_count[index]),
        sifted_counts=tuple((sum(x), sum(z)) for x, z in cells),
        error_counts_z=tuple(z[1] for _, z in cells),
        error_counts_x=tuple(x[1] for x, _ in cells),
        detector_counts=tuple(table.detectors[index].tolist()),
        lost_counts=tuple(table.lost[index].tolist()),
        crossed_counts=tuple((zero, one) for zero, one in table.crossed[index].tolist()),
    )


def total_clicks(stream: np.random.Generator, mean: float, fano: float, count: int = 1) -> Integers:
    """Integers with this mean and this variance over mean: binomial below 1, Poisson at 1, Pascal above."""
    if mean <= 0:
        return np.zeros(count, dtype=np.int64)
    if fano < 1 - 1e-9:
        trials = max(round(mean / (1 - fano)), math.ceil(mean))
        return stream.binomial(trials, mean / trials, count)
    if fano > 1 + 1e-9:
        return stream.negative_binomial(mean / (fano - 1), 1 / fano, count)
    return stream.poisson(mean, count)


def _dealing(law: ClickLaw, *, is_three_state: bool) -> NDArray[np.float64]:
    """Each cell's share of what it and the cells after it get: (intensity, basis, is_error) of matching bases, for
    three states then (intensity, outcome) of crossed ones; the rest of the clicks is mismatched."""
    shares = grouped_cells(law).ravel()
    if is_three_state:
        shares = np.concatenate([shares, crossed_cells(law).ravel()])
    rest = 1.0 - np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    return np.asarray(np.clip(np.divide(shares, rest, out=np.zeros_like(shares), where=rest > 0), 0.0, 1.0))
