"""The plain twins of the generators: Philox and xoshiro256++ in slow, readable Python.

``kernels/generators.py`` holds the same steps compiled; tests demand equal bits from both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MASK32 = (1 << 32) - 1
MASK64 = (1 << 64) - 1
# Multipliers and key increments of Philox4x32: Salmon et al. 2011, and Random123's philox.h.
M0, M1, W0, W1 = 0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
UNIT = 2.0**-53

Words = tuple[int, int, int, int]


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Philox4x32-10.

    Example:
        >>> ["%08x" % word for word in philox((0, 0, 0, 0), (0, 0))]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = M0 * c0, M1 * c2
        c0, c1, c2, c3 = second >> 32 ^ c1 ^ k0, second & MASK32, first >> 32 ^ c3 ^ k1, first & MASK32
        k0, k1 = k0 + W0 & MASK32, k1 + W1 & MASK32
    return c0, c1, c2, c3


def philox_columns(
    index: NDArray[np.int64], key: tuple[int, int], purpose: int, run: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Philox4x32-10 of many counters (index low, index high, purpose, run), by numpy."""
    slots, low, half = index.astype(np.uint64), np.uint64(MASK32), np.uint64(32)
    c0, c1 = slots & low, slots >> half
    c2, c3 = np.full_like(slots, purpose), np.full_like(slots, run)
    k0, k1 = key
    for _ in range(ROUNDS):
        first, second = np.uint64(M0) * c0, np.uint64(M1) * c2
        c0, c1 = second >> half ^ c1 ^ np.uint64(k0), second & low
        c2, c3 = first >> half ^ c3 ^ np.uint64(k1), first & low
        k0, k1 = k0 + W0 & MASK32, k1 + W1 & MASK32
    return c0, c1, c2, c3


class Xoshiro:
    """xoshiro256++ by Blackman and Vigna; the sampler's own chance, never the settings', never a key's."""

    def __init__(self, state: NDArray[np.uint64]) -> None:
        self.state = [int(word) for word in state]

    def next(self) -> int:
        s0, s1, s2, s3 = self.state
        out = _rotated((s0 + s3) & MASK64, 23) + s0 & MASK64
        t = s1 << 17 & MASK64
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        self.state = [s0, s1, s2 ^ t, _rotated(s3, 45)]
        return out

    def uniform(self) -> float:
        """In [0, 1), 53 bits."""
        return (self.next() >> 11) * UNIT

    def gap(self, inverse_log: float, most: int) -> int:
        """Failures before the first success, P(G = g) = (1-p)^g p, cut off at ``most``.

        ``inverse_log`` is 1 / log(1 - p), and 0 stands for p = 0.
        """
        if inverse_log == 0.0:
            return most
        gap = math.log(((self.next() >> 11) + 1) * UNIT) * inverse_log
        return int(gap) if gap < most else most

    def normal(self) -> float:
        """Mean 0, variance 1, by Box and Muller."""
        radius = math.sqrt(-2.0 * math.log(((self.next() >> 11) + 1) * UNIT))
        return radius * math.cos(2.0 * math.pi * self.uniform())

    def exponential(self) -> float:
        """Mean 1."""
        return -math.log(((self.next() >> 11) + 1) * UNIT)


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & MASK64
