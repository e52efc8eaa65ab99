"""Balance, runs and spectrum (SP 800-22, 2.1 to 2.4 and 2.6)."""

from __future__ import annotations

import math

import numpy as np
from scipy import fft

from qanat.crypto.randomness.sp800_22.chi_square import Bits, p_value, tail


def frequency(bits: Bits) -> float:
    """2.1: as many ones as zeros?"""
    ones = int(bits.sum(dtype=np.int64))
    return math.erfc(abs(2 * ones - len(bits)) / math.sqrt(2 * len(bits)))


def block_frequency(bits: Bits, block_bits: int) -> float:
    """2.2: as many in every block?"""
    count = len(bits) // block_bits
    shares = bits[: count * block_bits].reshape(count, block_bits).mean(axis=1)
    return tail(4 * block_bits * float(((shares - 0.5) ** 2).sum()), count)


def runs(bits: Bits) -> float:
    """2.3: does it change as often as it should? 0 where the balance already forbids."""
    size, share = len(bits), float(bits.mean())
    if abs(share - 0.5) >= 2 / math.sqrt(size):
        return 0.0
    count = 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))
    spread = share * (1 - share)
    return math.erfc(abs(count - 2 * size * spread) / (2 * math.sqrt(2 * size) * spread))


# 2.4.4 and 3.4: from which size on; block size; classes "at most" to "at least"; their shares.
LONGEST_RUN = (
    (750_000, 10_000, 10, 16, (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)),
    (6272, 128, 4, 9, (0.1174, 0.2430, 0.2493, 0.1752, 0.1027, 0.1124)),
    (128, 8, 1, 4, (0.2148, 0.3672, 0.2305, 0.1875)),
)


def longest_run(bits: Bits) -> float:
    """2.4: the longest run of ones in each block."""
    _, block_bits, least, most, shares = next(row for row in LONGEST_RUN if len(bits) >= row[0])
    count = len(bits) // block_bits
    longest = run = np.zeros(count, dtype=np.int64)
    for column in bits[: count * block_bits].reshape(count, block_bits).T:
        run = (run + 1) * column
        longest = np.maximum(longest, run)
    return p_value(np.bincount(np.clip(longest, least, most) - least, minlength=len(shares)), shares)


def spectral(bits: Bits) -> float:
    """2.6: are 95 % of the peaks of the Fourier transform below the 95 % threshold?"""
    size = len(bits)
    peaks = np.abs(fft.rfft(2.0 * bits - 1))[: size // 2]
    below = int(np.count_nonzero(peaks < math.sqrt(size * math.log(1 / 0.05))))
    excess = (below - 0.95 * size / 2) / math.sqrt(size * 0.95 * 0.05 / 4)
    return math.erfc(abs(excess) / math.sqrt(2))
