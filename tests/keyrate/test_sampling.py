"""From a sample's error rate to the rest's, against exact tails."""

import math

import numpy as np
import pytest
from scipy.stats import hypergeom

from qanat.core.streams import Streams
from qanat.keyrate.sampling import (
    binary_entropy,
    log_tail,
    phase_error_bound,
    printed_deviation,
    rest_rate_bound,
)

SIZES = [(100, 50), (500, 500), (1_000, 10_000), (10_000, 10_000), (100_000, 10_000), (30_000, 900_000)]


@pytest.mark.parametrize(("c", "d"), SIZES)
@pytest.mark.parametrize("errors", [0, 1, 2, 7, 20, 48])
def test_the_tail_bound_is_above_the_exact_tail_and_close(c, d, errors):
    for errors_total in np.unique(np.linspace(errors, errors + d // 2, 25).astype(int)):
        exact = hypergeom.logcdf(errors, c + d, int(errors_total), c)
        ours = log_tail(errors, c, d, int(errors_total))
        assert ours >= exact - 1e-6 * max(1, abs(exact))
        if math.isfinite(exact) and exact < -10:
            # Tight where it matters: the geometric sum costs 5 % of the exponent at most.
            assert ours <= exact + 0.05 * abs(exact)


@pytest.mark.parametrize("epsilon_sec", [1e-10, 1e-6])
@pytest.mark.parametrize(("c", "d"), SIZES)
@pytest.mark.parametrize("errors", [0, 1, 3, 10, 40, 45.5])
def test_the_phase_error_bound_fails_as_rarely_as_stated(c, d, errors, epsilon_sec):
    bound = phase_error_bound(errors=errors, c=c, d=d, epsilon_sec=epsilon_sec)
    if bound < 0.5:
        seen = math.ceil(errors)
        errors_total = seen + math.ceil(bound * d - 1e-9)
        assert hypergeom.logcdf(seen, c + d, errors_total, c) <= math.log(epsilon_sec / 21) + 1e-6


def test_the_printed_deviation_alone_would_be_none_with_few_errors():
    # The reason for the second bound: 20 errors among 1e4, printed tail 5e-11 where 5e-12 is claimed.
    rate = 20 / 1e4 + printed_deviation(1e-10, 20 / 1e4, 1e4, 1e4)
    assert hypergeom.logcdf(20, 20_000, 20 + math.ceil(rate * 1e4), 10_000) > math.log(1e-10 / 21)
    assert phase_error_bound(errors=20, c=1e4, d=1e4, epsilon_sec=1e-10) > rate


def test_no_errors_seen_still_means_some_in_the_rest():
    assert phase_error_bound(errors=0, c=1e4, d=1e5, epsilon_sec=1e-10) > 2e-3
    assert phase_error_bound(errors=0, c=1e9, d=1e9, epsilon_sec=1e-10) < 1e-7


def test_with_many_errors_the_printed_bound_stands():
    assert phase_error_bound(errors=1_000, c=1e5, d=1e6, epsilon_sec=1e-10) == 1e-2 + printed_deviation(
        1e-10, 1e-2, 1e5, 1e6
    )


@pytest.mark.parametrize(("errors", "c", "d"), [(0, 0, 10), (0, 10, 0), (5, 10, 1e6), (1, 0.5, 9), (3, 10, 10)])
def test_where_nothing_is_known_the_bound_is_one_half(errors, c, d):
    assert phase_error_bound(errors=errors, c=c, d=d, epsilon_sec=1e-10) == 0.5


def test_the_bound_grows_with_errors_and_shrinks_with_either_size():
    rng = Streams(seed=9).get("monotone")
    for _ in range(2_000):
        c, d = 10 ** rng.uniform(1.5, 7, 2)
        errors = rng.uniform(0, 0.2) * c
        epsilon_sec = 10 ** rng.uniform(-15, -3)
        here = phase_error_bound(errors=errors, c=c, d=d, epsilon_sec=epsilon_sec)
        factor = 1 + rng.uniform(0.01, 2)
        case = (errors, c, d, epsilon_sec, factor)
        slack = 2 / d  # the exact law counts whole errors
        assert phase_error_bound(errors=errors * factor, c=c, d=d, epsilon_sec=epsilon_sec) >= here - slack, case
        assert phase_error_bound(errors=errors, c=c * factor, d=d, epsilon_sec=epsilon_sec) <= here + slack, case
        assert phase_error_bound(errors=errors, c=c, d=d * factor, epsilon_sec=epsilon_sec) <= here + slack, case
        assert phase_error_bound(errors=errors, c=c, d=d, epsilon_sec=epsilon_sec / 10) >= here, case
        assert errors / c <= here <= 0.5, case


def test_drawn_samples_exceed_the_bound_no_more_often_than_stated():
    # epsilon 21 * 0.01: at most 1 % of 20000 samples. The exact bound is close to that; 6 sigma is 84.
    rng = Streams(seed=9).get("samples")
    c, d, errors_total = 2_000, 8_000, 300
    seen = rng.hypergeometric(errors_total, c + d - errors_total, c, 20_000)
    bounds = {int(v): rest_rate_bound(int(v), c, d, 0.01) for v in np.unique(seen)}
    failures = sum((errors_total - v) / d > bounds[int(v)] for v in seen)
    assert 20 < failures < 284


def test_entropy_at_known_points():
    assert binary_entropy(0.11) == pytest.approx(0.499916, abs=1e-6)
    assert binary_entropy(1e-12) == pytest.approx(1e-12 * (math.log2(1e12) + 1 / math.log(2)), rel=1e-9)
    assert binary_entropy(1.0) == 0.0
    for wrong in (-1e-9, 1.1, math.nan):
        with pytest.raises(ValueError):
            binary_entropy(wrong)
