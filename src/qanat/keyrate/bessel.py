"""The modified Bessel function I0, which averages interference over random phases, without cancellation.

numpy.i0 is good to about 1e-8 only, and what the relay protocols need is what is left after I0 has been subtracted from
nearly the same number. So both functions here sum the power series I0(x) = sum_k (x^2 / 4)^k / k!^2 from where it no
longer cancels: every term is positive, and the relative error is a few 1e-16. Arguments are mean photon numbers that
arrive, at most 10; the series ends by itself.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.parameter import Array

TERMS_MAX = 400  # x = 200 needs 300


def i0_less_1(x: Array) -> Array:
    """I0(x) - 1.

    Example:
        >>> float(i0_less_1(np.array(2e-9)))
        1e-18
    """
    return _series(x, 1, 1.0)


def i0_second_difference(x: Array) -> Array:
    """I0(2 x) - 4 I0(x) + 3 = sum over k >= 2 of (4^k - 4) (x^2 / 4)^k / k!^2."""
    return _series(x, 2, 4.0)


def _series(x: Array, first: int, base: float) -> Array:
    """Sum over k >= first of (base^k - base if base > 1 else 1) (x^2 / 4)^k / k!^2."""
    quarter = np.square(x) / 4
    power = np.ones_like(quarter)
    total = np.zeros_like(quarter)
    for k in range(1, TERMS_MAX):
        power = power * (quarter / k**2)
        if k < first:
            continue
        term = power * (base**k - base if base > 1 else 1.0)
        total = total + term
        if (term <= 1e-18 * total).all():
            break
    return total
