"""Patterns: templates, serial and approximate entropy (SP 800-22, 2.7, 2.8, 2.11, 2.12)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qanat.crypto.randomness.sp800_22.chi_square import Bits, p_value, tail


def windows(bits: Bits, size_bits: int, *, is_cyclic: bool = False) -> NDArray[np.int64]:
    """Every window of that size, as a number; cyclic: the end is joined to the start."""
    longer = np.concatenate([bits, bits[: size_bits - 1]]) if is_cyclic else bits
    count = len(longer) - size_bits + 1
    numbers = np.zeros(count, dtype=np.int64)
    for place in range(size_bits):
        numbers = 2 * numbers + longer[place : place + count]
    return numbers


def aperiodic(size_bits: int) -> list[str]:
    """The templates that cannot overlap themselves: 148 of nine bits."""
    words = (f"{number:0{size_bits}b}" for number in range(2**size_bits))
    return [word for word in words if not any(word.startswith(word[shift:]) for shift in range(1, size_bits))]


def non_overlapping(bits: Bits, size_bits: int = 9, blocks_count: int = 8) -> dict[str, float]:
    """2.7: how often each aperiodic template occurs in each block. It cannot overlap itself, so windows are counted."""
    block_bits = len(bits) // blocks_count
    mean = (block_bits - size_bits + 1) / 2**size_bits
    variance = block_bits * (1 / 2**size_bits - (2 * size_bits - 1) / 2 ** (2 * size_bits))
    blocks = bits[: blocks_count * block_bits].reshape(blocks_count, block_bits)
    counts = np.array([np.bincount(windows(block, size_bits), minlength=2**size_bits) for block in blocks])
    statistics = ((counts - mean) ** 2).sum(axis=0) / variance
    return {word: tail(float(statistics[int(word, 2)]), blocks_count) for word in aperiodic(size_bits)}


# 3.8, the exact law of Hamano and Kaneko: nine ones, blocks of 1032 bits. The printed examples have an older one.
OVERLAPPING = (0.364091, 0.185659, 0.139381, 0.100571, 0.0704323, 0.139865)


def overlapping(bits: Bits, shares: Sequence[float] = OVERLAPPING) -> float:
    """2.8: how often nine ones follow each other in blocks of 1032 bits, overlaps counted."""
    hits = overlapping_hits(bits, 9, 1032)
    return p_value(np.bincount(np.minimum(hits, 5), minlength=6), shares)


def overlapping_hits(bits: Bits, size_bits: int, block_bits: int) -> NDArray[np.int64]:
    """Runs of that many ones in each block, overlaps counted."""
    count = len(bits) // block_bits
    is_hit = np.zeros(len(bits), dtype=bool)
    is_hit[: len(bits) - size_bits + 1] = windows(bits, size_bits) == 2**size_bits - 1
    blocks = is_hit[: count * block_bits].reshape(count, block_bits)
    hits: NDArray[np.int64] = blocks[:, : block_bits - size_bits + 1].sum(axis=1)  # none that reaches into the next
    return hits


def _psi_square(bits: Bits, size_bits: int) -> float:
    if size_bits <= 0:
        return 0.0
    counts = np.bincount(windows(bits, size_bits, is_cyclic=True))
    return float((counts.astype(np.float64) ** 2).sum()) * 2.0**size_bits / len(bits) - len(bits)


def serial(bits: Bits, size_bits: int) -> dict[str, float]:
    """2.11: does every pattern of that size occur as often?"""
    three, two, one = (_psi_square(bits, size_bits - less) for less in range(3))
    return {
        "1": tail(three - two, 2.0 ** (size_bits - 1)),
        "2": tail(three - 2 * two + one, 2.0 ** (size_bits - 2)),
    }


def approximate_entropy(bits: Bits, size_bits: int) -> float:
    """2.12: does a pattern help to guess the bit after it?"""
    entropy = _phi(bits, size_bits) - _phi(bits, size_bits + 1)
    return tail(2 * len(bits) * (math.log(2) - entropy), 2.0**size_bits)


def _phi(bits: Bits, size_bits: int) -> float:
    shares = np.bincount(windows(bits, size_bits, is_cyclic=True)) / len(bits)
    shares = shares[shares > 0]
    return float((shares * np.log(shares)).sum())
