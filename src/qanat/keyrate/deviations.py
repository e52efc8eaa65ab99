"""How far counts may lie from their means: two ways, both proven, both from what is seen.

A detection's intensity is a label drawn independently of everything else, given its photon number; an intensity's count
is a sum of such labels, 0 or 1. With L = ln(1 / share), a bound fails with probability ``share`` at most:

- *hoeffding*: n_k +- sqrt(n L / 2), n all detections of the basis. Lim et al. 2014, eq. (A3).
- *chernoff*: from P(X >= x + t) <= exp(-t^2 / (2 x + t)) and P(X <= x - t) <= exp(-t^2 / (2 x)) with x the mean
  (Chernoff's bounds in multiplicative form), solved for the mean: it is at most n_k + L + sqrt(2 L n_k + L^2), at
  least n_k + L / 2 - sqrt(2 L n_k + L^2 / 4). It depends on the intensity's own count, so that rare intensities gain.

The same number of events, so the same shares, in both; the derivation and its check: docs/decisions/0049.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qanat.keyrate.parameter import Array, total_of

Several = tuple[Array, ...]
Limits = Callable[[Several, Several, Array], tuple[Several, Several]]


def hoeffding(counts: Several, scales: Several, share: Array) -> tuple[Several, Several]:
    """Scaled counts lowered, and raised: scale_k (n_k -+ delta)."""
    delta = np.sqrt(total_of(counts) / 2 * -np.log(share))
    low = tuple(scale * (count - delta) for count, scale in zip(counts, scales, strict=True))
    return low, tuple(scale * (count + delta) for count, scale in zip(counts, scales, strict=True))


def chernoff(counts: Several, scales: Several, share: Array) -> tuple[Several, Several]:
    """The same from each count's own size."""
    pairs = [(scale, *mean_limits(count, share)) for count, scale in zip(counts, scales, strict=True)]
    return tuple(scale * low for scale, low, _ in pairs), tuple(scale * high for scale, _, high in pairs)


def mean_limits(count: Array, share: Array) -> tuple[Array, Array]:
    """Least and greatest mean of a sum of independent labels with which ``count`` is not rarer than ``share``.

    Example:
        >>> low, high = mean_limits(np.float64(10_000.0), np.float64(1e-10))
        >>> round(float(low)), round(float(high))
        (9333, 10702)
    """
    rare = -np.log(share)
    low = count + rare / 2 - np.sqrt(2 * rare * count + rare**2 / 4)
    return np.maximum(low, 0.0), count + rare + np.sqrt(2 * rare * count + rare**2)


def limits_named(name: str) -> Limits:
    return chernoff if name == "chernoff" else hoeffding
