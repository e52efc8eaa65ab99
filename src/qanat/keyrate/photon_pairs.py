"""Yields of photon numbers from two ends at a relay: exact for a channel, or bounded by three test intensities.

Y_mn is the probability that one given detector alone clicks when the ends send m and n photons. What follows from
them: the phase error bound of ``protocols/tf_cal.py``, which tells the formulas; why the bounds hold is in
docs/decisions/0051.
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb, factorial

import numpy as np

from qanat.keyrate.bessel import i0_less_1
from qanat.keyrate.parameter import Array, total_of
from qanat.keyrate.relay import clicks

CUT = 12  # photon numbers below it have their own yields where these are known exactly
CUT_DECOYS = 3  # the same where three test intensities bound them
ROUNDING = 32 * float(np.finfo(np.float64).eps)  # of a gain, relative; generous
TAIL = 200  # amplitudes above it are below 1e-100 for a^2 <= 10
Yields = dict[tuple[int, int], Array]


def yields(eta: Array, p_dark: Array) -> Yields:
    """Y_mn for m <= n < 12 of the same parity; no difference of nearly equal numbers is taken."""
    half = eta / 2
    part, lost, crossed = _powers(1 - half), _powers(1 - eta), _powers(half**2)
    gap = [0 * half]  # (1 - eta / 2)^s - (1 - eta)^s
    for s in range(2 * CUT - 2):
        gap.append((1 - half) * gap[s] + half * lost[s])
    of_sums = {s: gap[s] + p_dark * lost[s] for s in range(0, 2 * CUT - 1, 2)}
    both = {(s, j): part[s] * crossed[j] for s, j in _CROSSED}
    found = {}
    for pair, ways in _WAYS.items():
        seen = of_sums[sum(pair)]
        for count, which in ways:
            seen = seen + count * both[which]
        found[pair] = (1 - p_dark) * seen
    return found


_CROSSED = [(s, j) for j in range(1, CUT) for s in range(0, 2 * CUT - 1 - 2 * j, 2)]
_WAYS = {  # C(m, j) C(n, j) times (1 - eta / 2)^(m + n - 2 j) (eta / 2)^(2 j)
    (m, n): [(comb(m, j) * comb(n, j), (m + n - 2 * j, j)) for j in range(1, m + 1)]
    for m in range(CUT)
    for n in range(m, CUT, 2)
}


def _powers(x: Array) -> list[Array]:
    powers = [x**0]
    for _ in range(2 * CUT - 2):
        powers.append(powers[-1] * x)
    return powers


def yield_bounds(gain: Callable[[Array, Array], Array], tests: tuple[Array, Array, Array]) -> Yields:
    """Y_mn from above, from the gains of three test intensities, the weakest first; rounding is counted against us."""
    mixed = [[np.exp(a + b) * gain(a, b) for b in tests] for a in tests]
    along = [divided_differences(tests, [row[k] for row in mixed]) for k in range(CUT_DECOYS)]  # [b][order of a]
    size_along = [divided_differences(tests, [row[k] for row in mixed], sign=1) for k in range(CUT_DECOYS)]
    found = {}
    for m in range(CUT_DECOYS):
        across = divided_differences(tests, [column[m] for column in along])
        size = divided_differences(tests, [column[m] for column in size_along], sign=1)
        for n in range(m, CUT_DECOYS, 2):
            above = across[n] + ROUNDING * size[n]
            found[m, n] = np.clip(factorial(m) * factorial(n) * above, 0.0, 1.0)
    return found


def gain_of_test_light(eta: Array, p_dark: Array, a: Array, b: Array) -> Array:
    """Probability that one given detector alone clicks for phase-randomised light of intensities a and b."""
    g = eta * (a + b) / 2
    return (1 - p_dark) * np.exp(-g) * (i0_less_1(eta * np.sqrt(a * b)) + clicks(p_dark, g))


def divided_differences(at: tuple[Array, ...], values: list[Array], sign: int = -1) -> list[Array]:
    """f[x_0], f[x_0, x_1], f[x_0, x_1, x_2]: of a power series without negative terms none is below its coefficient.

    With ``sign`` +1 everything is added up: the size of what was subtracted.
    """
    found, column = [values[0]], values
    for order in range(1, len(at)):
        column = [(column[k + 1] + sign * column[k]) / (at[k + order] - at[k]) for k in range(len(column) - 1)]
        found.append(column[0])
    return found


def phase_errors(known: Yields, cut: int, mu: Array) -> Array:
    """e_Z p_XX from above, for key intensity mu = a^2 and yields of fewer than ``cut`` photons."""
    amplitudes = _amplitudes(mu)
    roots = {which: np.sqrt(found) for which, found in known.items()}
    total: Array = 0 * mu
    for parity in (0, 1):
        inner = range(parity, cut, 2)
        inside = total_of(
            (1 + (m < n)) * (amplitudes[m] * amplitudes[n] * roots[m, n]) for m in inner for n in inner[m // 2 :]
        )
        below = total_of(amplitudes[n] for n in inner)
        tail = total_of(amplitudes[inner[-1] + 2 :: 2])
        total = total + (inside + 2 * below * tail + tail * tail) ** 2
    return total


def _amplitudes(mu: Array) -> list[Array]:
    """c_n = e^(-mu / 2) mu^(n / 2) / sqrt(n!), until they no longer count."""
    found, root = [np.exp(-mu / 2)], np.sqrt(mu)
    for n in range(1, TAIL):
        found.append(found[-1] * (root / n**0.5))
        if n > CUT + 1 and found[-1].max() < 1e-18:
            break
    return found
