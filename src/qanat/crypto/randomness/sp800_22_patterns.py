"""Tests of SP 800-22 that look at patterns and structure: rank, spectrum, overlapping words, Maurer's statistic."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qanat.crypto.randomness.sp800_22 import chi_square_p

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bits = NDArray[np.uint8]

# Universal test, 2.9.4: word size, expected value and variance for random bits; least length 1010 * 2**L * L.
UNIVERSAL = (
    (6, 5.2177052, 2.954), (7, 6.1962507, 3.125), (8, 7.1836656, 3.238), (9, 8.1764248, 3.311), (10, 9.1723243, 3.356),
    (11, 10.170032, 3.384), (12, 11.168765, 3.401), (13, 12.168070, 3.410), (14, 13.167693, 3.416),
    (15, 14.167488, 3.419), (16, 15.167379, 3.421),
)  # fmt: skip


def matrix_rank(bits: Bits, side: int = 32) -> float:
    """2.5: ranks of square matrices over the field of two elements."""
    import numpy as np  # noqa: PLC0415 - this room imports without numpy

    count = len(bits) // side**2
    weights = (1 << np.arange(side, dtype=np.int64))[::-1]
    rows = (bits[: count * side**2].reshape(count, side, side) @ weights).tolist()
    ranks = [_rank(matrix) for matrix in rows]
    full, next_lower = sum(rank == side for rank in ranks), sum(rank == side - 1 for rank in ranks)
    seen = np.array([full, next_lower, count - full - next_lower])
    expected = count * np.array([0.2888, 0.5776, 0.1336])  # 2.5.4 step 4
    return chi_square_p(float(((seen - expected) ** 2 / expected).sum()), 2)


def _rank(rows: list[int]) -> int:
    """Rank of a matrix whose rows are integers."""
    rank, rows = 0, list(rows)
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            lowest = pivot & -pivot
            rows = [row ^ pivot if row & lowest else row for row in rows]
    return rank


def spectral(bits: Bits) -> float:
    """2.6: no period stands out."""
    import numpy as np  # noqa: PLC0415

    n = len(bits)
    peaks = np.abs(np.fft.rfft(2.0 * bits - 1))[: n // 2]
    below = int((peaks < math.sqrt(n * math.log(1 / 0.05))).sum())
    return math.erfc(abs(below - 0.95 * n / 2) / math.sqrt(n * 0.95 * 0.05 / 4) / math.sqrt(2))


def _word_counts(bits: Bits, m: int) -> NDArray[np.int64]:
    """How often each word of m bits occurs, the sequence closed to a ring."""
    import numpy as np  # noqa: PLC0415

    words = np.zeros(len(bits), np.int64)
    for shift in range(m):
        words = words * 2 + np.roll(bits, -shift)
    return np.bincount(words, minlength=2**m)


def _psi_square(bits: Bits, m: int) -> float:
    return float((_word_counts(bits, m) ** 2).sum()) * 2**m / len(bits) - len(bits) if m > 0 else 0.0


def serial(bits: Bits, m: int) -> tuple[float, float]:
    """2.11: all words of m bits are equally frequent, given those of m - 1 and of m - 2."""
    a, b, c = (_psi_square(bits, m - less) for less in range(3))
    return chi_square_p(max(0.0, a - b), 2 ** (m - 1)), chi_square_p(max(0.0, a - 2 * b + c), 2 ** (m - 2))


def approximate_entropy(bits: Bits, m: int) -> float:
    """2.12: words of m + 1 bits bring a whole new bit over words of m."""
    import numpy as np  # noqa: PLC0415

    def phi(size: int) -> float:
        shares = _word_counts(bits, size) / len(bits)
        shares = shares[shares > 0]
        return float((shares * np.log(shares)).sum())

    return chi_square_p(max(0.0, 2 * len(bits) * (math.log(2) - phi(m) + phi(m + 1))), 2**m)


def universal(bits: Bits) -> float:
    """2.9: Maurer's statistic: how far back the same word was seen."""
    import numpy as np  # noqa: PLC0415

    size, mean, variance = [row for row in UNIVERSAL if len(bits) >= 1010 * 2 ** row[0] * row[0]][-1]
    learning, count = 10 * 2**size, len(bits) // size
    words = (bits[: count * size].reshape(count, size) @ (1 << np.arange(size, dtype=np.int64))).tolist()
    last, total = [0] * 2**size, 0.0
    for index, word in enumerate(words, 1):
        if index > learning:
            total += math.log2(index - last[word])
        last[word] = index
    k = count - learning
    c = 0.7 - 0.8 / size + (4 + 32 / size) * k ** (-3 / size) / 15
    return math.erfc(abs(total / k - mean) / (math.sqrt(2 * variance / k) * c))
