"""Density evolution of LDPC ensembles on the binary symmetric channel: what a degree profile can reach.

Discretised sum-product density evolution (Chung, Forney, Richardson, Urbanke, IEEE Commun. Lett. 5, 58 (2001)):
message densities on a grid of log-likelihood ratios, variable nodes by FFT, check nodes by a pairwise table. Where a
result falls between two grid points its mass is shared between them, so that nothing drifts. Checked against
published thresholds in tests/distill/test_ldpc_design.py.

Run: python design/ldpc_density.py        (thresholds of published ensembles beside what was published)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

STEP = 0.125  # of the grid, in units of log-likelihood ratio
COUNT = 176  # magnitudes 0 .. 21.9
ITERATIONS_MAX = 1000


def entropy_bits(q: float) -> float:
    return 0.0 if q <= 0 else -(q * math.log2(q) + (1 - q) * math.log2(1 - q))


def qber_from_entropy(bits: float) -> float:
    low, high = 1e-9, 0.5
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if entropy_bits(middle) < bits else (low, middle)
    return low


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Where box-plus of two magnitudes falls: grid index below, and the share of the index above."""
    tanh = np.tanh(np.arange(COUNT) * STEP / 2)
    product = np.minimum(np.outer(tanh, tanh), 1 - 1e-16)
    # atanh near 1 loses digits; box-plus = min + log((1 + e^-(a+b)) / (1 + e^-|a-b|)) does not.
    a, b = np.meshgrid(np.arange(COUNT) * STEP, np.arange(COUNT) * STEP, indexing="ij")
    value = np.minimum(a, b) + np.log1p(np.exp(-(a + b))) - np.log1p(np.exp(-np.abs(a - b)))
    value = np.where(product < 0.5, 2 * np.arctanh(product), value) / STEP
    index = np.clip(np.floor(value), 0, COUNT - 2).astype(np.int32)
    return index, np.clip(value - index, 0, 1)


INDEX, SHARE = _tables()


@numba.njit(cache=True, error_model="numpy", fastmath=True)
def _box_plus(index, share, sum_a, difference_a, sum_b, difference_b):  # type: ignore[no-untyped-def]
    """Densities as (p(+m) + p(-m), p(+m) - p(-m)): signs multiply, magnitudes combine by the table."""
    count = len(sum_a)
    total, difference = np.zeros(count), np.zeros(count)
    for i in range(count):
        if sum_a[i] < 1e-30:
            continue
        for j in range(count):
            k, w = index[i, j], share[i, j]
            mass, signed = sum_a[i] * sum_b[j], difference_a[i] * difference_b[j]
            total[k] += (1 - w) * mass
            total[k + 1] += w * mass
            difference[k] += (1 - w) * signed
            difference[k + 1] += w * signed
    return total, difference


def _check_powers(density: tuple[np.ndarray, np.ndarray], degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Box-plus of ``degree - 1`` messages, by squaring."""
    result, square, left = None, density, degree - 1
    while left:
        if left & 1:
            result = square if result is None else _box_plus(INDEX, SHARE, *result, *square)
        left >>= 1
        if left:
            square = _box_plus(INDEX, SHARE, *square, *square)
    assert result is not None
    return result


@dataclass(frozen=True)
class Ensemble:
    """Edge-perspective degree profile: share of edges at nodes of each degree."""

    variable: dict[int, float]
    check: dict[int, float]

    @property
    def syndrome_rate(self) -> float:
        """Checks per variable."""
        return sum(s / d for d, s in self.check.items()) / sum(s / d for d, s in self.variable.items())

    @property
    def degree_mean(self) -> float:
        return 1 / sum(s / d for d, s in self.variable.items())


def concentrated(degree: float) -> dict[int, float]:
    """Check profile with two neighbouring degrees and this mean (checks' average)."""
    low = math.floor(degree)
    share_high = degree - low  # of checks
    edges = {low: (1 - share_high) * low, low + 1: share_high * (low + 1)}
    return {d: e / degree for d, e in edges.items() if e > 1e-12}


_ENTROPY = np.log2(1 + np.exp(-np.arange(-(COUNT - 1), COUNT) * STEP))


def message_entropy(density: np.ndarray) -> float:
    """Of a density on the grid."""
    return float(density @ _ENTROPY)


def channel(q: float) -> np.ndarray:
    """The channel's density: +-log((1 - q) / q), shared between grid points."""
    place = math.log((1 - q) / q) / STEP
    low = min(COUNT - 2, int(place))
    density = np.zeros(2 * COUNT - 1)
    for index, share in ((low, low + 1 - place), (low + 1, place - low)):
        density[COUNT - 1 + index] += (1 - q) * share
        density[COUNT - 1 - index] += q * share
    return density


def _split(density: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positive, negative = density[COUNT - 1 :].copy(), density[COUNT - 1 :: -1].copy()
    negative[0] = 0
    return positive + negative, positive - negative


def _joined(total: np.ndarray, difference: np.ndarray) -> np.ndarray:
    density = np.zeros(2 * COUNT - 1)
    density[COUNT - 1 :] = (total + difference) / 2
    density[COUNT - 1 :: -1][1:] = ((total - difference) / 2)[1:]
    density[COUNT - 1] = total[0]
    return np.maximum(density, 0)


class Evolution:
    """Density evolution of one ensemble at one error rate."""

    def __init__(self, ensemble: Ensemble, q: float, degree_max: int = 0) -> None:
        self.ensemble = ensemble
        self.channel = channel(q)
        longest = max(degree_max, *ensemble.variable) - 1
        self.size = 1 << ((2 * COUNT) * (longest + 1) - 1).bit_length()
        self.variable_in = self.channel
        self._spectrum_channel = self._spectrum(self.channel)

    def _spectrum(self, density: np.ndarray) -> np.ndarray:
        line = np.zeros(self.size)
        line[:COUNT] = density[COUNT - 1 :]
        line[-(COUNT - 1) :] = density[: COUNT - 1]
        return np.fft.rfft(line)

    def _density(self, spectrum: np.ndarray) -> np.ndarray:
        line = np.fft.irfft(spectrum, self.size)
        half = self.size // 2
        density = np.concatenate([line[-(COUNT - 1) :], line[:COUNT]])
        density[-1] += line[COUNT:half].sum()
        density[0] += line[half : self.size - COUNT + 1].sum()
        density = np.maximum(density, 0)
        return density / density.sum()

    def check_step(self) -> np.ndarray:
        """Check-to-variable density."""
        split = _split(self.variable_in)
        total = np.zeros(2 * COUNT - 1)
        lowest = min(self.ensemble.check)
        powers = {lowest: _check_powers(split, lowest)}
        for degree, share in sorted(self.ensemble.check.items()):
            if degree - 1 in powers:
                powers[degree] = _box_plus(INDEX, SHARE, *powers[degree - 1], *split)
            elif degree not in powers:
                powers[degree] = _check_powers(split, degree)
            total += share * _joined(*powers[degree])
        return total / total.sum()

    def variable_step(self, check_out: np.ndarray) -> None:
        spectrum = self._spectrum(check_out)
        mixed = sum(share * spectrum ** (d - 1) for d, share in self.ensemble.variable.items())
        self.variable_in = self._density(mixed * self._spectrum_channel)

    def entropies_by_degree(self, check_out: np.ndarray, degrees: list[int]) -> np.ndarray:
        spectrum = self._spectrum(check_out)
        return np.array([message_entropy(self._density(spectrum ** (d - 1) * self._spectrum_channel)) for d in degrees])


def iterations_needed(ensemble: Ensemble, q: float, limit: int = ITERATIONS_MAX, goal: float = 1e-5) -> int | None:
    """Flooding iterations until the messages' entropy is below ``goal``; None when it stands still."""
    evolution = Evolution(ensemble, q)
    last = 2.0
    for iteration in range(1, limit + 1):
        evolution.variable_step(evolution.check_step())
        now = message_entropy(evolution.variable_in)
        if now < goal:
            return iteration
        if last - now < 1e-7 and last - now < 1e-5 * now:
            return None
        last = now
    return None


def threshold(ensemble: Ensemble, limit: int = ITERATIONS_MAX, digits: float = 2e-4) -> float:
    """Largest error rate that density evolution corrects, to a relative ``digits``."""
    high = qber_from_entropy(min(1.0, ensemble.syndrome_rate))
    low = high * 0.5
    while high - low > digits * high:
        middle = (low + high) / 2
        if iterations_needed(ensemble, middle, limit) is None:
            high = middle
        else:
            low = middle
    return low


# Bit error thresholds of the sum-product decoder on the BSC, from Richardson, Shokrollahi and Urbanke, IEEE Trans.
# Inf. Theory 47, 619 (2001) and Richardson and Urbanke, IEEE Trans. Inf. Theory 47, 599 (2001), table II.
PUBLISHED = {
    "(3,6)": (Ensemble({3: 1.0}, {6: 1.0}), 0.084),
    "(4,8)": (Ensemble({4: 1.0}, {8: 1.0}), 0.076),
    "(3,5)": (Ensemble({3: 1.0}, {5: 1.0}), 0.113),
    "(4,6)": (Ensemble({4: 1.0}, {6: 1.0}), 0.116),
    "(3,4)": (Ensemble({3: 1.0}, {4: 1.0}), 0.167),
}


def main() -> None:
    for name, (ensemble, published) in PUBLISHED.items():
        print(
            f"{name:6} rate {1 - ensemble.syndrome_rate:.3f} threshold {threshold(ensemble):.4f} published {published}"
        )


if __name__ == "__main__":
    main()
