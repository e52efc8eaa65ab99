"""Two-decoy bounds: how many detections came from pulses with no photon and with one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.counts import CountsError

Three = tuple[float, float, float]
Real = TypeVar("Real", float, NDArray[np.float64])  # one number on the live path, arrays in studies


def vacuum_from(tau_0: Real, mu2: Real, mu3: Real, n2_high: Real, n3_low: Real) -> Real:
    """Lim et al. 2014, eq. (2), from scaled counts e^mu_k / p_k n_k; unclamped.

    The one formula of all users: the live path, finite studies of one and of two decoys, and asymptotic ones (counts
    per pulse of one intensity, tau = 1: Ma et al. 2005, eq. 18).
    """
    return tau_0 * (mu2 * n3_low - mu3 * n2_high) / (mu2 - mu3)


def single_photons_from(
    tau_1: Real, intensities: tuple[Real, Real, Real], n1_high: Real, n2_low: Real, n3_high: Real, empty: Real
) -> Real:
    """Lim et al. 2014, eq. (3), from scaled counts; ``empty`` is s_0 / tau_0; unclamped.

    The same for all users: Ma et al. 2005, eq. (21), has tau = 1. One decoy (Rusca et al. 2018) is the case mu3 = 0
    with an upper bound on empty pulses' detections as both ``n3_high`` and ``empty``.
    """
    mu1, mu2, mu3 = intensities
    multi = (mu2**2 - mu3**2) / mu1**2 * (n1_high - empty)
    return tau_1 * mu1 * (n2_low - n3_high - multi) / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)


def single_photon_errors_from(tau_1: Real, mu2: Real, mu3: Real, m2_high: Real, m3_low: Real) -> Real:
    """Lim et al. 2014, eq. (4), from scaled error counts; unclamped. Ma et al. 2005, eq. (25), has tau = 1."""
    return tau_1 * (m2_high - m3_low) / (mu2 - mu3)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoySettings:
    """Mean photon numbers, brightest first, and the probabilities with which they were chosen.

    The intensity is chosen independently of the basis and of everything else. The probabilities are
    the ones the transmitter draws with, never observed frequencies: the proof rests on that.

    Raises:
        CountsError: the two-decoy bounds do not hold for these settings (Lim et al. 2014 need
            mu1 > mu2 + mu3 and mu2 > mu3 >= 0), or the probabilities do not sum to 1.
    """

    intensities: Three
    p_intensities: Three

    def __post_init__(self) -> None:
        if len(self.intensities) != 3 or len(self.p_intensities) != 3:
            raise CountsError("two-decoy bounds need three intensities and three probabilities")
        mu1, mu2, mu3 = self.intensities
        # "not all of ..." rather than "any of ... not", so that NaN is refused too.
        if not (math.isfinite(mu1) and mu1 > mu2 + mu3 and mu2 > mu3 >= 0):
            raise CountsError(f"intensities {self.intensities} do not satisfy mu1 > mu2 + mu3 and mu2 > mu3 >= 0")
        if not all(0 < p < 1 for p in self.p_intensities) or abs(math.fsum(self.p_intensities) - 1) > 1e-9:
            raise CountsError(f"probabilities {self.p_intensities} are not three numbers in (0, 1) that sum to 1")

    def tau(self, photons: int) -> float:
        """Probability that a pulse has this many photons: tau_n = sum_k p_k e^-mu_k mu_k^n / n!."""
        pairs = zip(self.p_intensities, self.intensities, strict=True)
        return math.fsum(p * math.exp(-mu) * mu**photons for p, mu in pairs) / math.factorial(photons)

    def scaled(self, which: int, count: float) -> float:
        """e^mu_k / p_k times a count: the count as if every pulse had this intensity, times e^mu_k."""
        return math.exp(self.intensities[which]) / self.p_intensities[which] * count


def deviation(total: float, epsilon_share: float) -> float:
    """Hoeffding: how far a sum of ``total`` independent labels lies from its mean at most, one side.

    The trials are *all* detections of the basis, also for a single intensity: an intensity's count is a
    sum of ``total`` labels, most of them 0. Source: Lim et al. 2014, eq. (A3), natural logarithm.
    """
    return math.sqrt(total / 2 * math.log(1 / epsilon_share))


def vacuum_bound(settings: DecoySettings, n: Three, epsilon_share: float) -> float:
    """Lower bound on detections of empty pulses, s_0. Source: Lim et al. 2014, eq. (2)."""
    _, mu2, mu3 = settings.intensities
    delta = deviation(math.fsum(n), epsilon_share)
    n3_low = settings.scaled(2, n[2] - delta)
    n2_high = settings.scaled(1, n[1] + delta)
    s0 = vacuum_from(settings.tau(0), mu2, mu3, n2_high, n3_low)
    # More empty-pulse detections than detections: the counts fell outside the bounds' confidence.
    return min(max(0.0, s0), math.fsum(n))


def single_photon_bound(settings: DecoySettings, n: Three, epsilon_share: float) -> float:
    """Lower bound on detections of one-photon pulses, s_1. Source: Lim et al. 2014, eq. (3)."""
    total = math.fsum(n)
    delta = deviation(total, epsilon_share)
    s0 = vacuum_bound(settings, n, epsilon_share)
    n1_high = settings.scaled(0, n[0] + delta)
    n2_low = settings.scaled(1, n[1] - delta)
    n3_high = settings.scaled(2, n[2] + delta)
    empty = s0 / settings.tau(0)
    s1 = single_photons_from(settings.tau(1), settings.intensities, n1_high, n2_low, n3_high, empty)
    return min(max(0.0, s1), total - s0)


def single_photon_errors_bound(settings: DecoySettings, m: Three, epsilon_share: float) -> float:
    """Upper bound on errors among one-photon detections, v_1. Source: Lim et al. 2014, eq. (4).

    The lowered count of the weakest intensity is clamped at 0: fewer than no errors cannot be, and
    without the clamp the bound would be needlessly loose.
    """
    _, mu2, mu3 = settings.intensities
    delta = deviation(math.fsum(m), epsilon_share)
    m2_high = settings.scaled(1, m[1] + delta)
    m3_low = settings.scaled(2, max(0.0, m[2] - delta))
    return max(0.0, single_photon_errors_from(settings.tau(1), mu2, mu3, m2_high, m3_low))
