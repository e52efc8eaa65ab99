"""From the error rate in one random sample to the error rate in the rest."""

from __future__ import annotations

import math
from collections.abc import Callable


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


def printed_deviation(epsilon_sec: float, error_rate: float, c: float, d: float) -> float:
    """gamma(a, b, c, d) of Lim et al. 2014, eq. (5), as printed, for 0 < b < 1.

    Derived from Stirling's formula and a second-order expansion. It is an upper bound where the sample
    has many errors (about 50 and more) and is none where it has few; at b = 0 it is even 0.
    ``phase_error_bound`` therefore never relies on it alone.
    """
    b = error_rate
    harmonic = (c + d) / (c * d)
    inner = harmonic / ((1 - b) * b) * (21 / epsilon_sec) ** 2
    return math.sqrt(harmonic * (1 - b) * b / math.log(2) * math.log2(inner))


def phase_error_bound(*, errors: float, c: float, d: float, epsilon_sec: float) -> float:
    """Upper bound on the error rate of d events, from ``errors`` among c others drawn at random.

    The larger of the printed bound and of one proven from Hoeffding's inequality (``rest_rate_bound``),
    each failing with probability epsilon_sec / 21 at most. So the figures are the paper's where its
    formula holds, and a proof's where it does not. Returns 1/2, "nothing known", when it reaches that.

    Args:
        errors: v_Z1, upper bound on errors among the single photons in Z.
        c: s_Z1, lower bound on single photons in Z.
        d: s_X1, lower bound on single photons in X.
    """
    if c <= 0 or d <= 0 or errors >= c / 2:
        return 0.5
    b = errors / c
    printed = b + printed_deviation(epsilon_sec, b, c, d) if b > 0 else 0.0
    if printed >= 0.5:
        return 0.5
    return min(0.5, max(printed, rest_rate_bound(errors, c, d, epsilon_sec / 21)))


def rest_rate_bound(errors: float, c: float, d: float, epsilon_share: float) -> float:
    """Error rate of the rest that a random sample excludes, proven for every size.

    A sample drawn without replacement has tails no heavier than one drawn with replacement, whose tail is
    at most exp(-size * D(observed || true)), D the relative entropy. Source: Hoeffding, J. Am. Stat.
    Assoc. 58, 13 (1963), theorem 1 and section 6. Either part may be seen as the sample; each view gives
    a valid bound for a choice fixed in advance, and the smaller part, fixed by the sizes, is the better.
    """
    log_inverse = math.log(1 / epsilon_share)

    def is_excluded(rate: float) -> bool:
        mean = (errors + d * rate) / (c + d)  # error rate of both parts together
        if c <= d:
            return c * _relative_entropy(errors / c, mean) >= log_inverse
        return d * _relative_entropy(rate, mean) >= log_inverse

    return _smallest(is_excluded, low=errors / c, high=0.5)


def _relative_entropy(x: float, y: float) -> float:
    """D(x || y) in nats, for 0 <= x <= 1 and 0 < y < 1; 0 when both are 0."""
    first = x * math.log(x / y) if x > 0 else 0.0
    second = (1 - x) * math.log((1 - x) / (1 - y)) if x < 1 else 0.0
    return first + second


def _smallest(is_excluded: Callable[[float], bool], *, low: float, high: float) -> float:
    """The least excluded rate, from above, by bisection; ``high`` when even that is not excluded."""
    if not is_excluded(high):
        return high
    for _ in range(60):  # 2**-60 of the interval: below any count's resolution
        middle = (low + high) / 2
        low, high = (low, middle) if is_excluded(middle) else (middle, high)
    return high
