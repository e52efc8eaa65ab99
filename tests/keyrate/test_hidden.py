from __future__ import annotations

import math

import pytest
from scipy.stats import binom

from qanat.keyrate.hidden import fewest_hidden, most_hidden


@pytest.mark.parametrize("p_seen", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-6])
@pytest.mark.parametrize("total", [1, 7, 60, 400])
def test_neither_bound_fails_more_often_than_it_says_by_the_exact_law(p_seen, epsilon, total) -> None:
    """Summed over every possible number of seen ones: no sampling, no tolerance."""
    law = binom(total, p_seen)
    above = sum(law.pmf(seen) for seen in range(total + 1) if most_hidden(seen, p_seen, epsilon) < total - seen)
    below = sum(law.pmf(seen) for seen in range(total + 1) if fewest_hidden(seen, p_seen, epsilon) > total - seen)
    assert above <= epsilon
    assert below <= epsilon


def test_both_rise_with_what_was_seen_and_enclose_the_mean() -> None:
    for bound in (most_hidden, fewest_hidden):
        values = [bound(float(seen), 0.3, 1e-9) for seen in range(0, 4_000, 37)]
        assert values == sorted(values)
    assert fewest_hidden(3_000.0, 0.3, 1e-9) < 7_000 < most_hidden(3_000.0, 0.3, 1e-9)


def test_nothing_seen_leaves_what_luck_allows() -> None:
    assert most_hidden(0.0, 0.5, 1e-9) == pytest.approx(math.log(1e9) / math.log(2))
    assert fewest_hidden(0.0, 0.5, 1e-9) == 0.0
    assert fewest_hidden(5.0, 0.5, 1e-9) == 0.0
