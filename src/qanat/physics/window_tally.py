"""What a receiver would have counted beside its clicks in a window of the statistical tier: times and gaps."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Table
from qanat.physics.meanfield import ClickLaw


def moments_drawn(law: ClickLaw, counts: tuple[int, ...], lost: tuple[int, ...], stream: np.random.Generator) -> Table:
    """Rows as ``Tally.moments``: clicks, sums of the offset's first three powers, clicks outside the window.

    Mean, width and skewness have the standard errors of a normal law: s / sqrt(n), s / sqrt(2 n), sqrt(6 / n); too
    small for the last two where a few tags lie far away.
    """
    rows = [[n, *_sums(n, law.offset_moments[d], stream.standard_normal(3)), lost[d]] for d, n in enumerate(counts)]
    return np.array(rows, dtype=np.float64)


def _sums(n: int, powers: Table, chance: NDArray[np.float64]) -> tuple[float, float, float]:
    if n == 0:
        return 0.0, 0.0, 0.0
    first, second, third = powers.tolist()
    variance = max(0.0, second - first**2)
    width = math.sqrt(variance)
    skewness = (third - 3 * first * variance - first**3) / variance**1.5 if variance > 0 else 0.0
    mean = first + float(chance[0]) * width / math.sqrt(n)
    width = max(0.0, width * (1 + float(chance[1]) / math.sqrt(2 * n)))
    cube = (skewness + float(chance[2]) * math.sqrt(6 / n)) * width**3
    return n * mean, n * (width**2 + mean**2), n * (cube + 3 * mean * width**2 + mean**3)
