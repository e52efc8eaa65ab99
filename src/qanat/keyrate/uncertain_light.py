"""Decoy bounds when each intensity is only known to lie within an interval: drifting lasers, seeded lasers.

Pulse i, sent with setting k, has a mean photon number m_ki anywhere in [mu_k (1 - s), mu_k (1 + s) (1 + rise)], with
s = ``intensity_spread`` and rise = ``intensity_rise``. Eve may know, or choose, what m_ki would be under each setting,
pulse by pulse; which setting is drawn she does not know. Then the yield of n photons may differ from pulse to pulse but
not between settings of one pulse, and an n-photon detection has setting k with probability

    p_k w_n(m_ki) / tau_n,  w_n(m) = e^-m m^n,  tau_n = sum_k p_k w_n(m_ki).

Wang, Peng, Zhang, Yang, Pan, Phys. Rev. A 77, 042311 (2008), bound single photons from the ranges of a source's
parameters; we could read no more than the abstract. The bounds here are derived here, and tested against random
adversaries and the best one that a linear program finds.

With c_k the counts over p_k, mu > nu > omega, and "-", "+" an interval's ends, each bound adds up counts such that no
detection of n photons contributes more than it may, whatever its intensities within the intervals:

- c_nu - kappa c_omega - gamma c_mu, kappa = e^(omega+ - nu-): empty pulses give nothing or less. So do two photons and
  more, with gamma = max over n >= 2 of (w_n(nu+) - kappa w_n(omega-)) / w_n(mu-), the worst case for mu+ <= 2. A single
  photon gives at most C = (w_1 of nu at most - kappa w_1 of omega at least - gamma w_1 of mu at least) / tau_1. So
  s_1 >= (c_nu - kappa c_omega - gamma c_mu + gamma s_0 min(w_0(mu) / tau_0)) / C.
- c_omega - lambda c_nu, lambda = max w_1(omega) / min w_1(nu): only empty pulses give anything, so it bounds s_0.
- errors: c_nu - kappa' c_omega, kappa' = e^(omega- - nu+): nothing gives less than nothing, a single photon at least
  min (w_1(nu) - kappa' w_1(omega)) / tau_1.
- one decoy: c_nu - gamma c_mu with gamma = max w_2(nu) / min w_2(mu), and empty pulses from above by errors.

Intervals of no width give the bounds of Ma et al. (2005), Lim et al. (2014) and Rusca et al. (2018) back. Labels stay
independent given what was detected, so that Hoeffding's and Chernoff's deviations hold, and the finite keys with them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate import correlated as correlation
from qanat.keyrate.decoy_light import Counts, Light
from qanat.keyrate.fibre import ratio
from qanat.keyrate.parameter import Array, total_of
from qanat.keyrate.protocol import Values

ASSUMPTION = "each intensity lies within its interval, however far off independently of the setting; phases stay random"
LEAST, MOST = 0, 1
INTENSITY_MAX = 2.0  # up to here e^-m m^n rises with m for all n >= 2


@dataclass(frozen=True)  # no slots: weights and coefficients are computed once
class Interval:
    """Where a mean photon number may lie."""

    low: Array
    high: Array

    def weight(self, photons: int) -> tuple[Array, Array]:
        """Least and most of e^-m m^n for none, one and two photons: it rises up to m = n, then falls."""
        if photons == 0:
            return self._none
        return self._one if photons == 1 else self._two

    @cached_property
    def _none(self) -> tuple[Array, Array]:
        return np.exp(-self.high), np.exp(-self.low)

    @cached_property
    def _one(self) -> tuple[Array, Array]:
        return self._between(1)

    @cached_property
    def _two(self) -> tuple[Array, Array]:
        return self._between(2)

    def _between(self, photons: int) -> tuple[Array, Array]:
        high, low = self._none
        ends = low * self.low**photons, high * self.high**photons
        is_inside = (self.low < photons) & (photons < self.high)
        peak = np.exp(-float(photons)) * float(photons) ** photons
        return np.minimum(*ends), np.where(is_inside, peak, np.maximum(*ends))


@dataclass(frozen=True, kw_only=True)
class UncertainLight(Light):
    """Light of which each intensity lies within its interval; ``intensities`` are the nominal ones.

    ``p_intensities`` are also the shares in which intensities make key: 1 for the signal and 0 else in the limit of
    long blocks, where the counts are per pulse of one intensity.
    """

    intervals: tuple[Interval, ...]

    def scales(self) -> Counts:
        """1 / p_k."""
        return tuple(1 / p for p in self.p_intensities)

    def empty(self, low: Counts, high: Counts) -> Array:
        share, gives = self._empties
        return ratio(low[-1] - share * high[-2], gives)

    @cached_property
    def _empties(self) -> tuple[Array, Array]:
        """lambda, and what an empty pulse gives at most."""
        brighter, weaker = self.intervals[-2:]
        share: Array = weaker.weight(1)[MOST] / brighter.weight(1)[LEAST]
        gives = weaker.weight(0)[MOST] - share * brighter.weight(0)[LEAST]
        return share, gives / self._tau(0, *self._others(LEAST), LEAST, MOST)

    def single(self, low: Counts, high: Counts, empty: Array) -> Array:
        kappa, gamma, of_empty, most = self._singles
        return ratio(low[1] - kappa * high[2] - gamma * (high[0] - of_empty * empty), most)

    @cached_property
    def _singles(self) -> tuple[Array, Array, Array, Array]:
        """kappa, gamma, min(w_0(mu) / tau_0) and C."""
        signal, decoy, faint = self.intervals
        kappa = np.exp(faint.high - decoy.low)
        gamma = worst_multiphoton(signal, decoy, faint, kappa)
        gives = decoy.weight(1)[MOST] - kappa * faint.weight(1)[LEAST] - gamma * signal.weight(1)[LEAST]
        of_empty = signal.weight(0)[LEAST] / self._tau(0, LEAST, MOST, MOST)
        return kappa, gamma, of_empty, gives / self._tau(1, LEAST, MOST, LEAST)

    def single_beside(self, low: Counts, high: Counts, errors_high: Counts, deviation: Array) -> Array:
        signal, decoy = self.intervals
        most = 2 * (np.minimum(*self._empty_errors(errors_high)) + deviation)
        gamma = decoy.weight(2)[MOST] / signal.weight(2)[LEAST]
        empty, gives = (
            (decoy.weight(n)[MOST] - gamma * signal.weight(n)[LEAST]) / self._tau(n, LEAST, MOST) for n in (0, 1)
        )
        return ratio(low[1] - gamma * high[0] - empty * most, gives)

    def errors(self, low: Counts, high: Counts) -> Array:
        brighter, weaker = self.intervals[-2:]
        kappa = np.exp(weaker.low - brighter.high)
        gives = brighter.weight(1)[LEAST] - kappa * weaker.weight(1)[MOST]
        tau = self._tau(1, *self._others(MOST), LEAST, MOST)
        return ratio(high[-2] - kappa * np.maximum(low[-1], 0.0), gives / tau, np.inf)

    def _empty_errors(self, errors_high: Counts) -> Counts:
        """Empty pulses' errors at most, from each intensity's errors."""
        signal, decoy = (each.weight(0)[LEAST] for each in self.intervals)
        return (
            errors_high[0] * self._tau(0, LEAST, MOST) / signal,
            errors_high[1] * self._tau(0, MOST, LEAST) / decoy,
        )

    def _others(self, extreme: int) -> tuple[int, ...]:
        """The same extreme for all intensities but the two weakest."""
        return (extreme,) * (len(self.intervals) - 2)

    def _tau(self, photons: int, *extremes: int) -> Array:
        """n! tau_n with each intensity at its least or most weight."""
        each = zip(self.p_intensities, self.intervals, extremes, strict=True)
        return total_of(p * interval.weight(photons)[extreme] for p, interval, extreme in each)


def worst_multiphoton(signal: Interval, decoy: Interval, faint: Interval, kappa: Array) -> Array:
    """gamma: the largest of A a^n - B b^n over n >= 2, a = nu+ / mu- and b = omega- / mu- both below 1.

    As a function of a real n it has one maximum, where (a / b)^n = B ln b / (A ln a); of the two integers beside it the
    better one is taken.
    """
    a, b = decoy.high / signal.low, faint.low / signal.low
    scale_a, scale_b = np.exp(signal.low - decoy.high), kappa * np.exp(signal.low - faint.low)
    if not np.any(b > 0):  # a weakest decoy of vacuum: two photons, since a < 1
        return scale_a * a**2
    is_there = (b > 0) & (b < a) & (a < 1)
    a_safe, b_safe = np.where(is_there, a, 0.5), np.where(is_there, b, 0.25)
    top = np.log(scale_b * np.log(b_safe) / (scale_a * np.log(a_safe))) / np.log(a_safe / b_safe)
    n = np.maximum(np.where(is_there, np.floor(top), 2.0), 2.0)
    found: Array = np.maximum(scale_a * a**n - scale_b * b**n, scale_a * a ** (n + 1) - scale_b * b ** (n + 1))
    return np.maximum(found, 0.0)


def is_uncertain(values: Values) -> bool:
    """Whether any intensity may be off."""
    off = values["intensity_spread"], values["intensity_rise"], correlation.spread_of(values)
    return any(bool(each.any()) for each in off)


def assumed(values: Values) -> tuple[str, ...]:
    """What is assumed of the light, besides what is always."""
    correlated = (correlation.ASSUMPTION,) if correlation.is_correlated(values) else ()
    return (ASSUMPTION, *correlated) if is_uncertain(values) else ()


def interval(values: Values, intensity: Array) -> Interval:
    """Where the mean photon number of pulses with this nominal one lies."""
    spread, of_earlier = values["intensity_spread"], correlation.spread_of(values)
    return Interval(
        intensity * (1 - spread) * (1 - of_earlier),
        intensity * (1 + spread) * (1 + values["intensity_rise"]) * (1 + of_earlier),
    )


def uncertain(values: Values, light: Light) -> Light:
    """The same light with intervals; itself where nothing is uncertain."""
    if not is_uncertain(values):
        return light
    return UncertainLight(
        intensities=light.intensities,
        p_intensities=light.p_intensities,
        intervals=tuple(interval(values, each) for each in light.intensities),
    )


def are_apart(values: Values, intensities: Counts) -> NDArray[np.bool_]:
    """Whether the bounds hold: intervals do not touch, and the brightest ends at 2 photons."""
    found = [interval(values, each) for each in intensities]
    held = found[0].high <= INTENSITY_MAX
    for brighter, weaker in pairwise(found):
        held = held & (weaker.high < brighter.low)
    return np.asarray(held)
