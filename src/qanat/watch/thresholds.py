"""Thresholds of CUSUM tests from the mean time between false alarms that somebody is willing to bear.

Source: Lorden, Ann. Math. Stat. 42, 1897 (1971); Siegmund, *Sequential Analysis* (1985), chapter X, for
the overshoot constant 1.166 = 2 * 0.583.
"""

from __future__ import annotations

import math

OVERSHOOT = 1.166  # expected overshoot of a normal walk at both barriers, in steps of sqrt(2 k)


def effective_height(gamma: float, k: float) -> float:
    """The height h' that solves h' = ln(gamma k + h' + 1): threshold plus overshoot.

    Args:
        gamma: Mean number of windows between false alarms.
        k: Kullback-Leibler divergence of the change per window, in nats.
    """
    height = math.log1p(gamma * k)
    for _ in range(60):
        height = math.log(gamma * k + height + 1)
    return height


def cusum_threshold(gamma: float, k: float) -> float:
    """Threshold of one CUSUM with a mean of about ``gamma`` windows between false alarms.

    Below one nat per window Siegmund's formula holds (checked by Monte Carlo: design/watch_thresholds.py). Above,
    the overshoot is no longer that of a normal walk and ln(gamma) is used: by Wald's inequality it never
    has more false alarms than asked, whatever the law of the log-likelihood ratio.

    Example:
        >>> round(cusum_threshold(2.592e6, 0.251), 2), round(cusum_threshold(2.592e6, 40.0), 2)
        (12.56, 14.77)
    """
    conservative = math.log(gamma)
    if k >= 1:
        return conservative
    return max(0.0, min(conservative, effective_height(gamma, k) - OVERSHOOT * math.sqrt(2 * k)))


def delay_bound(gamma: float, k: float) -> float:
    """D*: the least mean delay, in windows, of any test with that ``gamma`` (Lorden 1971, corrected after Siegmund).

    Example:
        >>> round(delay_bound(2.592e6, 0.251))  # windows, for a QBER of 2 -> 2.1 % at 1e4 bits each
        49
    """
    return max(1.0, (effective_height(gamma, k) - 1) / k)


def kl_binomial(p: float, q: float) -> float:
    """Divergence of a Bernoulli(p) from a Bernoulli(q), nats per bit.

    Example:
        >>> round(kl_binomial(0.03, 0.02) * 1e3, 1)
        2.2
    """
    return p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))


def kl_poisson(ratio: float) -> float:
    """Divergence of a Poisson of mean ratio * m from one of mean m, nats per expected count."""
    return ratio * math.log(ratio) - ratio + 1
