"""How odd a count of classes is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

Bits = NDArray[np.uint8]  # one bit in each element


def tail(statistic: float, freedom: float) -> float:
    """igamc(freedom / 2, statistic / 2); a statistic that rounding brought below 0 counts as 0."""
    return float(gammaincc(freedom / 2, max(0.0, statistic) / 2))


def p_value(counts: NDArray[np.int64], shares: Sequence[float]) -> float:
    """Of counts in classes that should have these shares."""
    expected = int(counts.sum()) * np.array(shares)
    return tail(float(((counts - expected) ** 2 / expected).sum()), len(shares) - 1)
