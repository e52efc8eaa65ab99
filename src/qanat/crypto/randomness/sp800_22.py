"""Statistical tests of a sequence of bits, each with a p-value: NIST SP 800-22 rev. 1a (April 2010).

They find crude faults of a generator and prove nothing about secrecy: a counter under AES passes them all.
Those that count bits are here, those that look at patterns and structure in ``sp800_22_patterns``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bits = NDArray[np.uint8]

# Longest run of ones, 2.4.4: least length, block size, classes "at most low .. at least high", and their probabilities.
LONGEST_RUN = (
    (750_000, 10_000, 10, 16, (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)),
    (6272, 128, 4, 9, (0.1174, 0.2430, 0.2493, 0.1752, 0.1027, 0.1124)),
    (128, 8, 1, 4, (0.2148, 0.3672, 0.2305, 0.1875)),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One test: the probability that sound bits look at least as odd; None where the sequence is too short for it."""

    name: str
    p_value: float | None


def verdicts(bits: Bits) -> list[Verdict]:
    """All tests for which the sequence is long enough, by the standard's recommended least lengths."""
    from qanat.crypto.randomness import sp800_22_patterns as patterns  # noqa: PLC0415 - it needs this file

    size = len(bits)
    entropy_m = max(2, min(10, int(math.log2(max(size, 2))) - 6))  # 2.12.7: m < floor(log2 n) - 5
    tests: tuple[tuple[str, int, Callable[[], tuple[float, ...]]], ...] = (
        ("frequency", 100, lambda: (frequency(bits),)),
        ("block frequency", 100, lambda: (block_frequency(bits, max(20, size // 99 + 1)),)),
        ("runs", 100, lambda: (runs(bits),)),
        ("longest run of ones", 128, lambda: (longest_run(bits),)),
        ("cumulative sums", 100, lambda: (cumulative_sums(bits), cumulative_sums(bits[::-1]))),
        ("matrix rank", 38_912, lambda: (patterns.matrix_rank(bits),)),
        ("spectral", 1000, lambda: (patterns.spectral(bits),)),
        ("serial", 1024, lambda: patterns.serial(bits, entropy_m + 1)),
        ("approximate entropy", 1024, lambda: (patterns.approximate_entropy(bits, entropy_m),)),
        ("universal", 387_840, lambda: (patterns.universal(bits),)),
    )
    found: list[Verdict] = []
    for name, size_min, test in tests:
        if size < size_min:
            found.append(Verdict(name, None))
            continue
        values = test()
        found += [Verdict(name if len(values) == 1 else f"{name} {i}", value) for i, value in enumerate(values, 1)]
    return found


def chi_square_p(statistic: float, freedom: int) -> float:
    """igamc(freedom / 2, statistic / 2)."""
    from scipy.special import gammaincc  # noqa: PLC0415 - only this command needs it

    return float(gammaincc(freedom / 2, statistic / 2))


def frequency(bits: Bits) -> float:
    """2.1: as many ones as zeros."""
    ones = int(bits.sum(dtype="int64"))
    return math.erfc(abs(2 * ones - len(bits)) / math.sqrt(2 * len(bits)))


def block_frequency(bits: Bits, block_bits: int) -> float:
    """2.2: as many ones as zeros in every block."""
    count = len(bits) // block_bits
    shares = bits[: count * block_bits].reshape(count, block_bits).mean(axis=1)
    return chi_square_p(4 * block_bits * float(((shares - 0.5) ** 2).sum()), count)


def runs(bits: Bits) -> float:
    """2.3: as many changes as there should be; 0 where the frequency already forbids."""
    size, share = len(bits), float(bits.mean())
    if abs(share - 0.5) >= 2 / math.sqrt(size):
        return 0.0
    changes = 1 + int((bits[1:] != bits[:-1]).sum())
    spread = share * (1 - share)
    return math.erfc(abs(changes - 2 * size * spread) / (2 * math.sqrt(2 * size) * spread))


def longest_run(bits: Bits) -> float:
    """2.4: the longest run of ones in each block."""
    import numpy as np  # noqa: PLC0415 - this room imports without numpy

    _, block_bits, low, high, shares = next(row for row in LONGEST_RUN if len(bits) >= row[0])
    count = len(bits) // block_bits
    longest = run = np.zeros(count, np.int64)
    for column in bits[: count * block_bits].reshape(count, block_bits).T:
        run = (run + 1) * column
        longest = np.maximum(longest, run)
    seen = np.bincount(np.clip(longest, low, high) - low, minlength=len(shares))
    expected = count * np.array(shares)
    return chi_square_p(float(((seen - expected) ** 2 / expected).sum()), len(shares) - 1)


def cumulative_sums(bits: Bits) -> float:
    """2.13: how far the walk of the bits strays; pass them reversed for the backward mode."""
    import numpy as np  # noqa: PLC0415
    from scipy.special import ndtr  # noqa: PLC0415

    n = len(bits)
    z = int(np.abs(np.cumsum(2 * bits.astype(np.int64) - 1)).max())
    ks = np.arange(math.ceil((-n / z + 1) / 4), math.floor((n / z - 1) / 4) + 1)
    inner = ndtr((4 * ks + 1) * z / math.sqrt(n)) - ndtr((4 * ks - 1) * z / math.sqrt(n))
    ks = np.arange(math.ceil((-n / z - 3) / 4), math.floor((n / z - 1) / 4) + 1)
    outer = ndtr((4 * ks + 3) * z / math.sqrt(n)) - ndtr((4 * ks + 1) * z / math.sqrt(n))
    return float(min(1.0, max(0.0, 1 - inner.sum() + outer.sum())))
