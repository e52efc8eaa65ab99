"""What a decoy source sends, and what counts of it tell: of exactly known intensities.

Counts are scaled by ``scales``: as if every pulse had the intensity, and further as each proof needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qanat.keyrate.decoy import single_photon_errors_from, single_photons_from, vacuum_from
from qanat.keyrate.parameter import ZERO, Array, total_of

Counts = tuple[Array, ...]  # per intensity, brightest first


@dataclass(frozen=True, kw_only=True)  # no slots: what several bounds need is computed once
class Light:
    """Mean photon numbers, brightest first, and their probabilities. Arrays that broadcast.

    Where counts are lower and upper limits, they are scaled, and per intensity; what is returned are counts, unclamped.
    """

    intensities: Counts
    p_intensities: Counts

    def tau(self, photons: int) -> Array:
        """tau_0 or tau_1: probability of an empty pulse, of one photon."""
        pairs = zip(self.p_intensities, self.intensities, strict=True)
        return total_of(p * np.exp(-mu) * mu**photons for p, mu in pairs)

    @cached_property
    def taus(self) -> tuple[Array, Array]:
        """tau_0 and tau_1."""
        return self.tau(0), self.tau(1)

    def scales(self) -> Counts:
        """e^mu_k / p_k."""
        pairs = zip(self.p_intensities, self.intensities, strict=True)
        return tuple(np.exp(mu) / p for p, mu in pairs)

    def empty(self, low: Counts, high: Counts) -> Array:
        """Empty pulses' detections at least, from the two weakest intensities."""
        brighter, weaker = self.intensities[-2:]
        return vacuum_from(self.taus[0], brighter, weaker, high[-2], low[-1])

    def single(self, low: Counts, high: Counts, empty: Array) -> Array:
        """Single photons' detections at least, from three intensities and ``empty`` detections at least."""
        mu1, mu2, mu3 = self.intensities
        return single_photons_from(self.taus[1], (mu1, mu2, mu3), high[0], low[1], high[2], empty / self.taus[0])

    def single_beside(self, low: Counts, high: Counts, errors_high: Counts, deviation: Array) -> Array:
        """The same from two intensities: of empty pulses' detections half are errors, but for ``deviation``."""
        mu1, mu2 = self.intensities
        most: Array = 2 * (np.minimum(*errors_high) + deviation / self.taus[0])
        return single_photons_from(self.taus[1], (mu1, mu2, ZERO), high[0], low[1], most, most)

    def errors(self, low: Counts, high: Counts) -> Array:
        """Single photons' errors at most, from the two weakest intensities."""
        brighter, weaker = self.intensities[-2:]
        return single_photon_errors_from(self.taus[1], brighter, weaker, high[-2], np.maximum(low[-1], 0.0))
