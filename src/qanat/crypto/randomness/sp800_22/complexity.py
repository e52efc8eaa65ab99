"""Linear dependence and compression (SP 800-22, 2.5, 2.9, 2.10)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qanat.crypto.randomness.sp800_22.chi_square import Bits, p_value


def matrix_rank(bits: Bits, side: int = 32) -> float:
    """2.5: the ranks over GF(2) of square matrices filled row by row: full, one less, fewer."""
    count = len(bits) // side**2
    rows = bits[: count * side**2].reshape(count, side, side) @ (1 << np.arange(side, dtype=np.int64))
    missing = np.clip([side - rank(matrix) for matrix in rows.tolist()], 0, 2)
    full, one_less = rank_share(side, side), rank_share(side, side - 1)
    return p_value(np.bincount(missing, minlength=3), (full, one_less, 1 - full - one_less))


def rank_share(side: int, rank: int) -> float:
    """3.5: probability that a random square matrix has that rank."""
    share = 2.0 ** (rank * (2 * side - rank) - side**2)
    for i in range(rank):
        share *= (1 - 2.0 ** (i - side)) ** 2 / (1 - 2.0 ** (i - rank))
    return share


def rank(rows: list[int]) -> int:
    """Of a matrix whose rows are the bits of whole numbers."""
    basis: list[int] = []
    for row in rows:
        for known in basis:
            row = min(row, row ^ known)
        if row:
            basis.append(row)
    return len(basis)


# 2.9.4, 2.9.5: word size L, expected value and variance; it takes 1010 * 2**L words.
UNIVERSAL = (
    (6, 5.2177052, 2.954), (7, 6.1962507, 3.125), (8, 7.1836656, 3.238), (9, 8.1764248, 3.311), (10, 9.1723243, 3.356),
    (11, 10.170032, 3.384), (12, 11.168765, 3.401), (13, 12.168070, 3.410), (14, 13.167693, 3.416),
    (15, 14.167488, 3.419), (16, 15.167379, 3.421),
)  # fmt: skip


def universal(bits: Bits) -> float:
    """2.9, Maurer: how far back was each word seen last?"""
    size, expected, variance = [row for row in UNIVERSAL if len(bits) >= 1010 * 2 ** row[0] * row[0]][-1]
    learning, count = 10 * 2**size, len(bits) // size
    words = bits[: count * size].reshape(count, size) @ (1 << np.arange(size - 1, -1, -1))
    tested = count - learning
    mean = float(np.log2(distances(words)[learning:]).mean())
    c = 0.7 - 0.8 / size + (4 + 32 / size) * tested ** (-3 / size) / 15
    return math.erfc(abs(mean - expected) / (math.sqrt(2 * variance / tested) * c))


def distances(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many places ago each word was seen last; never: its place, counted from 1."""
    order = np.argsort(words, kind="stable")
    before = np.where(words[order[1:]] == words[order[:-1]], order[:-1], -1)
    found = np.empty(len(words), dtype=np.int64)
    found[order] = order - np.concatenate(([-1], before))
    return found


# 3.10. The first share is 1/96; the printed examples have 0.01047 there.
COMPLEXITY = (0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833)


def linear_complexity(bits: Bits, block_bits: int, shares: tuple[float, ...] = COMPLEXITY) -> float:
    """2.10: how long is the shortest shift register that makes each block?"""
    count = len(bits) // block_bits
    sign = -1.0 if block_bits % 2 else 1.0
    mean = block_bits / 2 + (9 - sign) / 36 - (block_bits / 3 + 2 / 9) / 2.0**block_bits
    blocks = bits[: count * block_bits].reshape(count, block_bits)
    deviation = sign * (np.array([shift_register(block.tolist()) for block in blocks]) - mean) + 2 / 9
    return p_value(np.bincount(np.searchsorted(np.arange(-2.5, 3), deviation), minlength=7), shares)


def shift_register(block: list[int]) -> int:
    """Berlekamp and Massey over GF(2), polynomials as whole numbers: bit i is the coefficient of D**i."""
    connection = before = 1
    length, last, seen = 0, -1, 0
    for place, bit in enumerate(block):
        seen = (seen << 1) | bit  # bit i is what came i bits ago
        if (connection & seen).bit_count() & 1:
            kept = connection
            connection ^= before << (place - last)
            if 2 * length <= place:
                length, last, before = place + 1 - length, place, kept
    return length
