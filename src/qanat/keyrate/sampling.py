"""From the error rate in one random sample to the error rate in the rest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def binary_entropy(x: float) -> float:
    """h(x) in bits.

    Example:
        >>> binary_entropy(0.5), binary_entropy(0.0)
        (1.0, 0.0)
    """
    if not 0 <= x <= 1:
        raise ValueError(f"{x} is not a probability")
    if x in (0.0, 1.0):
        return 0.0
    return -x * math.log2(x) - (1 - x) * math.log1p(-x) / math.log(2)


def rest_deviation(
    epsilon_share: NDArray[np.float64] | float,
    error_rate: NDArray[np.float64] | float,
    c: NDArray[np.float64] | float,
    d: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """gamma(a, b, c, d) of Lim et al. 2014, eq. (5), with a share a / 21 of the failure probability (a / 19 with one
    decoy): numbers or arrays, for the live path and for studies. 0 < b < 1."""
    variance = (1 - error_rate) * error_rate
    harmonic = (c + d) / (c * d)
    inner = np.maximum(1.0, harmonic / variance / epsilon_share**2)
    found: NDArray[np.float64] = np.sqrt(harmonic * variance / math.log(2) * np.log2(inner))
    return found


def serfling(
    n: NDArray[np.float64] | float, k: NDArray[np.float64] | float, epsilon_share: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """mu of Tomamichel et al. 2012: by how much n events may err more often than a random sample of k others, but with
    probability ``epsilon_share`` squared: numbers or arrays, for the live path and for studies."""
    found: NDArray[np.float64] = np.sqrt((n + k) * (k + 1) / (n * k * k) * -np.log(epsilon_share))
    return found


def printed_deviation(epsilon_sec: float, error_rate: float, c: float, d: float) -> float:
    """gamma(a, b, c, d) of Lim et al. 2014, eq. (5), as printed, for 0 < b < 1.

    Derived from Stirling's formula and a second-order expansion. It is an upper bound where the sample
    has many errors (about 50 and more) and is none where it has few; at b = 0 it is even 0.
    ``phase_error_bound`` therefore never relies on it alone.
    """
    return float(rest_deviation(epsilon_sec / 21, error_rate, c, d))


def phase_error_bound(*, errors: float, c: float, d: float, epsilon_sec: float) -> float:
    """Upper bound on the error rate of d events, from ``errors`` among c others drawn at random.

    The larger of the printed bound and of one from the exact law (``rest_rate_bound``), which fails with
    probability epsilon_sec / 21 at most. So the figures are the paper's where its formula is a bound,
    and honest where it is not. Returns 1/2, "nothing known", when it reaches that.

    Args:
        errors: v_Z1, upper bound on errors among the single photons in Z.
        c: s_Z1, lower bound on single photons in Z.
        d: s_X1, lower bound on single photons in X.
    """
    if c < 1 or d < 1 or errors >= c / 2:
        return 0.5
    b = errors / c
    printed = b + printed_deviation(epsilon_sec, b, c, d) if b > 0 else 0.0
    if printed >= 0.5:
        return 0.5
    rest = rest_rate_bound(math.ceil(errors), math.floor(c), math.floor(d), epsilon_sec / 21)
    return min(0.5, max(printed, rest))


def rest_rate_bound(errors: int, c: int, d: int, epsilon_share: float) -> float:
    """Error rate that the d events outside a random sample of c cannot reach, from the sample's errors.

    The errors in a random sample follow the hypergeometric law. The bound is the least number of errors
    in all c + d events with which so few in the sample have probability ``epsilon_share`` at most, less
    those in the sample, over d. At most 1/2.
    """
    limit = math.log(epsilon_share)
    low, high = errors, errors + d // 2  # total errors: not excluded, excluded
    if log_tail(errors, c, d, high) > limit:
        return 0.5
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if log_tail(errors, c, d, middle) <= limit else (middle, high)
    return (high - errors) / d


def log_tail(errors: int, c: int, d: int, errors_total: int) -> float:
    """Natural logarithm of a bound on P(at most ``errors`` of ``errors_total`` fall into the sample).

    The law's probabilities fall off below the mode at least as fast as at ``errors``, where each is r
    times the one above; the tail is therefore at most p(errors) / (1 - r).
    """
    if errors >= errors_total:
        return 0.0
    right = c - errors  # correct ones in the sample, at least
    right_total = c + d - errors_total
    if right > right_total:
        return -math.inf
    r = errors * (right_total - right) / ((errors_total - errors + 1) * (right + 1))
    if r >= 1:
        return 0.0
    point = _log_choose(errors_total, errors) + _log_choose(right_total, right) - _log_choose(c + d, c)
    return point - math.log1p(-r)


def _log_choose(n: int, k: int) -> float:
    # lgamma(1e9) is 2e10, so cancellation costs 1e-5 of a nat at block sizes far above any of ours.
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
