"""The Toeplitz product without rounding: a number-theoretic transform. Slow, exact by construction.

Sums of bits, at most ``POINTS_MAX`` = 2**26, stay below the prime 15 * 2**27 + 1, so that residues *are* the sums; its
multiplicative group has elements of order 2**27, so that transforms of up to 2**27 points exist. Products of two
residues stay below 2**62. Source: Pollard, Math. Comp. 25, 365 (1971).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PRIME = 15 * 2**27 + 1
_GENERATOR = 31  # a primitive root modulo PRIME; the tests check it


def cyclic_parities(a: NDArray[np.uint8], b: NDArray[np.uint8], *, first: int, stop: int) -> NDArray[np.uint8]:
    """Parities of the terms ``first`` to ``stop`` (excluded) of a cyclic convolution of at least ``stop`` points."""
    points = 1 << max(0, stop - 1).bit_length()
    product = _transformed(a, points)
    product *= _transformed(b, points)
    product %= np.uint64(PRIME)
    _invert(product)
    scale = np.uint64(pow(points, -1, PRIME))
    return (product[first:stop] * scale % np.uint64(PRIME) & np.uint64(1)).astype(np.uint8)


def _transformed(bits: NDArray[np.uint8], points: int) -> NDArray[np.uint64]:
    """The transform, in bit-reversed order: decimation in frequency (Gentleman and Sande)."""
    values = np.zeros(points, dtype=np.uint64)
    values[: len(bits)] = bits
    prime = np.uint64(PRIME)
    half = points // 2
    while half:
        pairs = values.reshape(-1, 2, half)
        low, high = pairs[:, 0], pairs[:, 1]
        difference = (low + (prime - high)) * _powers(_root(2 * half), half) % prime
        np.remainder(low + high, prime, out=low)
        high[:] = difference
        half //= 2
    return values


def _invert(values: NDArray[np.uint64]) -> None:
    """Back to natural order, in place and times the number of points: decimation in time (Cooley and Tukey)."""
    prime = np.uint64(PRIME)
    half = 1
    while half < len(values):
        pairs = values.reshape(-1, 2, half)
        low, high = pairs[:, 0], pairs[:, 1]
        turned = high * _powers(pow(_root(2 * half), -1, PRIME), half) % prime
        np.remainder(low + (prime - turned), prime, out=high)
        np.remainder(low + turned, prime, out=low)
        half *= 2


def _root(order: int) -> int:
    return pow(_GENERATOR, (PRIME - 1) // order, PRIME)


def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """base**0 to base**(count - 1), by doubling; count is a power of two."""
    powers = np.ones(count, dtype=np.uint64)
    known = 1
    while known < count:
        step = np.uint64(pow(base, known, PRIME))
        powers[known : 2 * known] = powers[:known] * step % np.uint64(PRIME)
        known *= 2
    return powers
