"""Limits of a mean from a count, against exact tails."""

import numpy as np
import pytest
from scipy.stats import binom, poisson

from qanat.core.streams import Streams
from qanat.keyrate.deviations import chernoff, hoeffding, mean_limits


@pytest.mark.parametrize("share", [1e-3, 1e-6, 1e-10, 5e-12])
def test_own_limits_fail_more_rarely_than_their_share_in_the_exact_law(share):
    """With the mean at its limit, a count as extreme as the one seen is rarer than the share: binomial and Poisson."""
    counts = np.unique(np.concatenate([np.arange(0, 60), np.geomspace(60, 1e6, 60).astype(int)])).astype(float)
    low, high = mean_limits(counts, np.float64(share))
    assert (low <= counts).all()
    assert (high >= counts).all()
    assert (poisson.cdf(counts, high) <= share).all()
    has_low = low > 0
    assert (poisson.sf(counts[has_low] - 1, low[has_low]) <= share).all()
    for trials in (2.0, 10.0):  # a binomial law is narrower than Poisson's
        total = np.ceil(trials * high)
        assert (binom.cdf(counts, total, high / total) <= share).all()
        assert (binom.sf(counts[has_low] - 1, total[has_low], low[has_low] / total[has_low]) <= share).all()


def test_unequal_labels_keep_the_limits_as_well():
    """Labels with different probabilities, as of different photon numbers: 1e5 draws, failures at most 1 % each way."""
    rng = Streams(seed=53).get("labels")
    p = np.array([0.5, 0.05, 0.3])
    trials = np.array([400, 3000, 100])
    counts = sum(rng.binomial(n, q, 100_000) for n, q in zip(trials, p, strict=True)).astype(float)
    low, high = mean_limits(counts, np.float64(0.01))
    mean = float(trials @ p)
    assert (high < mean).mean() < 0.01
    assert (low > mean).mean() < 0.01


def test_rare_intensities_gain_and_scales_apply():
    counts, scales = (np.float64(1e6), np.float64(1e3)), (np.float64(2.0), np.float64(30.0))
    share = np.float64(1e-10)
    (_, wide_low), (_, wide_high) = hoeffding(counts, scales, share)
    (_, low), (_, high) = chernoff(counts, scales, share)
    assert wide_low < low < 30e3 < high < wide_high
