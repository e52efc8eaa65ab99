from __future__ import annotations

import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from qanat.keyrate.counts import CountsError
from qanat.keyrate.tomamichel2012 import pair_secret_length, phase_error_rate_bound, serfling_deviation

COMMON = {"tag_bits": 128, "epsilon_sec": 1e-10, "epsilon_cor": 1e-12}


def test_the_length_is_the_printed_formula_where_many_errors_were_seen() -> None:
    n, k, errors, leak = 200_000, 50_000, 1_000, 30_000
    mu = math.sqrt((n + k) / (n * k) * (k + 1) / k * math.log(4e10))
    q = errors / k + mu
    entropy = -q * math.log2(q) - (1 - q) * math.log2(1 - q)
    expected = n * (1 - entropy) - leak - 128 - math.log2(1e20)
    result = pair_secret_length(n=n, k=k, errors=errors, leak_bits=leak, **COMMON)
    assert result.length_bits == math.floor(expected)
    assert result.phase_error_bound == pytest.approx(q, rel=1e-12)


def test_the_key_approaches_one_minus_two_entropies_for_long_blocks() -> None:
    """Asymptotic BB84: 1 - 2 h(Q), nothing above 11.0 % error (Shor and Preskill 2000)."""
    n = 10**12
    for q, expected in ((0.01, 0.8384), (0.05, 0.4272), (0.11, 0.0002)):
        h = -q * math.log2(q) - (1 - q) * math.log2(1 - q)
        result = pair_secret_length(n=n, k=n, errors=int(q * n), leak_bits=int(n * h), **COMMON)
        assert result.length_bits / n == pytest.approx(expected, abs=2e-4)
    h = -0.111 * math.log2(0.111) - 0.889 * math.log2(0.889)
    assert pair_secret_length(n=n, k=n, errors=int(0.111 * n), leak_bits=int(n * h), **COMMON).length_bits == 0


def test_the_deviation_bounds_the_exact_law_of_small_blocks() -> None:
    """Hypergeometric tail in exact fractions: the rest exceeds Q + mu more rarely than (epsilon / 4)**2."""
    n, k, epsilon = 60, 60, 0.3
    for errors in (0, 3, 8):
        bound = phase_error_rate_bound(errors=errors, k=k, n=n, epsilon_sec=epsilon)
        rest = math.ceil(bound * n)
        total = errors + rest
        tail = sum(Fraction(comb(total, j) * comb(n + k - total, k - j), comb(n + k, k)) for j in range(errors + 1))
        assert float(tail) <= (epsilon / 4) ** 2
    assert serfling_deviation(n=n, k=k, epsilon_sec=epsilon) > 0


def test_the_bound_fails_no_more_often_than_promised() -> None:
    """20 000 draws; failures allowed (0.4 / 4)**2 = 1 %, so 200 with standard deviation 14. False alarm below 1e-6."""
    stream = np.random.default_rng(7)
    n, k, failures = 2_000, 500, 0
    for errors in stream.hypergeometric(125, n + k - 125, k, size=20_000):
        bound = phase_error_rate_bound(errors=int(errors), k=k, n=n, epsilon_sec=0.4)
        failures += (125 - errors) / n > bound
    assert failures < 200 + 5 * 14


@pytest.mark.parametrize(
    "counts",
    [
        {"n": 1000, "k": 0, "errors": 0},
        {"n": 0, "k": 1000, "errors": 0},
        {"n": 1000, "k": 1000, "errors": 500},
        {"n": 1000, "k": 20, "errors": 0},
    ],
)
def test_nothing_is_proven_from_too_little(counts) -> None:
    assert pair_secret_length(**counts, leak_bits=0, **COMMON).length_bits == 0


@pytest.mark.parametrize(
    "change",
    [
        {"errors": 11, "k": 10},
        {"n": -1},
        {"leak_bits": -1},
        {"epsilon_sec": 0.0},
        {"epsilon_cor": 1.0},
        {"tag_bits": 8},
    ],
)
def test_counts_that_cannot_be_are_refused(change) -> None:
    values = {"n": 100, "k": 100, "errors": 0, "leak_bits": 0, **COMMON, **change}
    with pytest.raises(CountsError):
        pair_secret_length(**values)
