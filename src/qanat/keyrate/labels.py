"""How many events have a label that is drawn independently of everything else, in closed form, for arrays.

L = ln(1 / share), ``share`` the probability with which a bound fails at most. ``hidden.py`` solves the same bounds for
the live path, number by number.

- Labels with mean x in all, seen or not: P(X <= x - t) <= exp(-t^2 / (2 x)), so X >= x - sqrt(2 L x). Chernoff.
- Of a + v events v have a label of probability r, and a were seen to have the other one: probability exp(-(a + v) D(v /
  (a + v) || r)) at most, and D(p || r) >= (p - r)^2 / (2 p (1 - r)) for p > r, since its second derivative is 1 / (x (1
  - x)). With v_0 = a r / (1 - r) and c = L / (1 - r): v <= v_0 + c + sqrt(2 v_0 c + c^2). It rises with a and with r: a
  bound on either may stand in its place.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.parameter import Array


def least_seen(mean: Array, share: Array) -> Array:
    """How many there are at least of what has this mean or more: x - sqrt(2 L x), 0 below 2 L."""
    found: Array = mean - np.sqrt(2 * -np.log(share) * np.maximum(mean, 0.0))
    return np.where(mean > 0, np.maximum(found, 0.0), 0.0)


def most_beside(seen: Array, ratio_of_labels: Array, share: Array) -> Array:
    """Of events of two kinds, ``ratio_of_labels`` = r / (1 - r) times as probable as those seen: how many at most.

    Example:
        >>> round(float(most_beside(np.float64(1000.0), np.float64(2.0), np.float64(1e-10))))
        2599
    """
    fair, c = seen * ratio_of_labels, -np.log(share) * (1 + ratio_of_labels)
    found: Array = fair + c + np.sqrt(2 * fair * c + c**2)
    return found
