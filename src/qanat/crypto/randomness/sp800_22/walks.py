"""The sequence as a random walk: a one goes up, a zero goes down (SP 800-22, 2.13 to 2.15)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from qanat.crypto.randomness.sp800_22.chi_square import Bits, p_value

CYCLES_MIN = 500  # 2.14.4: fewer returns to zero make the law too coarse


def cumulative_sums(bits: Bits) -> dict[str, float]:
    """2.13: does the walk stray too far, read forwards and backwards?"""
    steps = 2 * bits.astype(np.int64) - 1
    return {
        name: _stray_p_value(int(np.abs(np.cumsum(way)).max()), len(bits))
        for name, way in (("forwards", steps), ("backwards", steps[::-1]))
    }


def _stray_p_value(far: int, size: int) -> float:
    root, ratio = math.sqrt(size), size / far

    def part(first: float, high: int, low: int) -> float:
        k = np.arange(math.ceil(first), math.floor((ratio - 1) / 4) + 1)
        return float((ndtr((4 * k + high) * far / root) - ndtr((4 * k + low) * far / root)).sum())

    return min(1.0, max(0.0, 1 - part((1 - ratio) / 4, 1, -1) + part((-ratio - 3) / 4, 3, 1)))


def _walk(bits: Bits) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The walk with a 0 at its end, the number of each place's cycle, and how many cycles there are."""
    walk = np.cumsum(2 * bits.astype(np.int64) - 1)
    if walk[-1] != 0:  # 2.14.4 step 3 closes the last cycle; one that ends by itself gets no empty one after it
        walk = np.append(walk, 0)
    is_end = walk == 0
    return walk, np.cumsum(is_end) - is_end, int(is_end.sum())


def excursions(bits: Bits, cycles_count_min: int = CYCLES_MIN) -> dict[str, float]:
    """2.14: how often each cycle between zeros visits the states -4 to 4. Nothing when there are too few cycles."""
    walk, cycle, count = _walk(bits)
    if count < cycles_count_min:
        return {}
    found = {}
    for state in (-4, -3, -2, -1, 1, 2, 3, 4):
        visits = np.bincount(cycle[walk == state], minlength=count)
        stays = 1 - 1 / (2 * abs(state))  # 3.14
        shares = [stays, *((1 - stays) ** 2 * stays ** (k - 1) for k in range(1, 5)), (1 - stays) * stays**4]
        found[f"{state:+d}"] = p_value(np.bincount(np.minimum(visits, 5), minlength=6), shares)
    return found


def excursions_variant(bits: Bits, cycles_count_min: int = CYCLES_MIN) -> dict[str, float]:
    """2.15: how often the whole walk visits the states -9 to 9. Nothing when there are too few cycles."""
    walk, _, count = _walk(bits)
    if count < cycles_count_min:
        return {}
    return {
        f"{state:+d}": math.erfc(
            abs(int(np.count_nonzero(walk == state)) - count) / math.sqrt(2 * count * (4 * abs(state) - 2))
        )
        for state in (*range(-9, 0), *range(1, 10))
    }
