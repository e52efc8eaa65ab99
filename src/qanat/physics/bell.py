"""CHSH: how strong the correlations of two ends are, from counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHSH_ALICE_RAD = (0.0, math.pi / 2)
CHSH_BOB_RAD = (math.pi / 4, 3 * math.pi / 4)
_SIGNS = np.array([[1, -1], [1, 1]])


@dataclass(frozen=True, slots=True)
class Chsh:
    """Estimate of S and its standard error; S <= 2 for any local model, 2 sqrt(2) at most for any quantum one."""

    value: float
    error: float


def chsh_from_counts(counts: NDArray[np.int64]) -> Chsh:
    """S = E(a, b) - E(a, b') + E(a', b) + E(a', b'), from coincidences.

    The standard error is that of four independent multinomial samples: each E has variance (1 - E**2) / N.
    It takes for granted that what was lost is a fair sample; nothing here is device-independent.

    Args:
        counts: Coincidences, shape (2, 2, 2, 2): Alice's basis, Bob's basis, Alice's bit, Bob's bit.

    Raises:
        ValueError: another shape, or a pair of bases without a coincidence.

    Source: Clauser, Horne, Shimony, Holt, Phys. Rev. Lett. 23, 880 (1969).

    Example:
        >>> perfect = np.array([[[[1, 0], [0, 1]], [[0, 1], [1, 0]]], [[[1, 0], [0, 1]], [[1, 0], [0, 1]]]])
        >>> chsh_from_counts(perfect).value
        4.0
    """
    if counts.shape != (2, 2, 2, 2):
        raise ValueError(f"CHSH counts have shape {counts.shape}, not (2, 2, 2, 2)")
    total = counts.sum(axis=(2, 3))
    if not total.min() > 0:
        raise ValueError("CHSH needs coincidences in all four pairs of bases")
    correlation = (counts[:, :, 0, 0] + counts[:, :, 1, 1] - counts[:, :, 0, 1] - counts[:, :, 1, 0]) / total
    variance = (1 - correlation**2) / total
    return Chsh(float((_SIGNS * correlation).sum()), math.sqrt(float(variance.sum())))
