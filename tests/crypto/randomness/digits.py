"""Binary digits of e, pi and square roots, in whole numbers: the sequences for which SP 800-22 prints its results."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

GUARD_BITS = 64


def _bits(value: int, size_bits: int) -> np.ndarray:
    """The first bits of a number, from its first one on."""
    value >>= value.bit_length() - size_bits
    packed = (value << (-size_bits % 8)).to_bytes((size_bits + 7) // 8)
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))[:size_bits]
    bits.flags.writeable = False
    return bits


@cache
def e(size_bits: int) -> np.ndarray:
    """From the sum of 1 / n!."""
    terms = 5
    while math.lgamma(terms + 1) / math.log(2) < size_bits + GUARD_BITS:
        terms = int(terms * 1.2)

    def split(first: int, last: int) -> tuple[int, int]:
        if last - first == 1:
            return 1, last
        middle = (first + last) // 2
        (p, q), (p_next, q_next) = split(first, middle), split(middle, last)
        return p * q_next + p_next, q * q_next

    p, q = split(0, terms)
    return _bits(((q + p) << (size_bits + GUARD_BITS)) // q, size_bits)


@cache
def pi(size_bits: int) -> np.ndarray:
    """From the series of the Chudnovsky brothers, 47 bits a term."""

    def split(first: int, last: int) -> tuple[int, int, int]:
        if last - first == 1:
            p = (6 * first - 5) * (2 * first - 1) * (6 * first - 1)
            return p, first**3 * (640_320**3 // 24), (-1) ** first * p * (13_591_409 + 545_140_134 * first)
        middle = (first + last) // 2
        (p, q, t), (p_next, q_next, t_next) = split(first, middle), split(middle, last)
        return p * p_next, q * q_next, q_next * t + p * t_next

    shift = size_bits + GUARD_BITS
    _, q, t = split(1, shift // 47 + 2)
    return _bits(426_880 * math.isqrt(10_005 << (2 * shift)) * q // (13_591_409 * q + t), size_bits)


@cache
def root(of: int, size_bits: int) -> np.ndarray:
    return _bits(math.isqrt(of << (2 * (size_bits + GUARD_BITS))), size_bits)
