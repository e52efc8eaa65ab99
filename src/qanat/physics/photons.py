"""How many photons a pulse holds: laws of the photon number as columns, for sources that are not plain Poisson."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from qanat.physics.branch import Table

PHOTON_COUNT = 64  # columns; what is left above is below 1e-16 for mean numbers up to 10 (Poisson), 1 (thermal)


class PhotonLaw(StrEnum):
    """Statistics of one pulse of given mean photon number."""

    POISSON = "poisson"  # a laser with random phase
    THERMAL = "thermal"  # one mode of spontaneous emission: P(n) = mean**n / (1 + mean)**(n + 1)


def photon_numbers(law: PhotonLaw, means: Table, *, count: int = PHOTON_COUNT) -> Table:
    """P(n) for n = 0 .. count - 1, one row per mean; what is cut off goes to the last column.

    Example:
        >>> photon_numbers(PhotonLaw.THERMAL, np.array([1.0]))[0, :3].round(6).tolist()
        [0.5, 0.25, 0.125]
    """
    n = np.arange(count)
    mean = np.asarray(means, dtype=np.float64)[:, None]
    log_mean = np.log(np.where(mean > 0, mean, 1.0))
    weight = np.where((n > 0) & (mean <= 0), -np.inf, n * log_mean)  # mean**n; a dark pulse has no photon
    if law is PhotonLaw.POISSON:
        log_factorial = np.array([math.lgamma(k + 1) for k in range(count)])
        rows: Table = np.exp(weight - log_factorial - mean)
    else:
        rows = np.exp(weight - (n + 1) * np.log1p(mean))
    rows[:, -1] += np.maximum(0.0, 1 - rows.sum(axis=1))
    return rows
