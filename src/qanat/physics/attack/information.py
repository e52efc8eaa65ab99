"""Small formulas of information theory that several attacks need."""

from __future__ import annotations

import math


def binary_entropy(p: float) -> float:
    """h(p) in bits.

    Example:
        >>> binary_entropy(0.5), binary_entropy(0.0)
        (1.0, 0.0)
    """
    if p <= 0 or p >= 1:
        return 0.0
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def biased_bit_information(r: float) -> float:
    """What one learns of a bit that is one value with probability 1 / (1 + r): 1 - h(r / (1 + r)).

    Example:
        >>> round(biased_bit_information(0.25), 3), round(biased_bit_information(0.01), 3)
        (0.278, 0.92)
    """
    return 1.0 if math.isinf(r) else 1 - binary_entropy(r / (1 + r))
