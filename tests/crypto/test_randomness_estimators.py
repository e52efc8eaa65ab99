"""SP 800-90B estimators against the worked examples of the standard and against sources of known entropy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.crypto.randomness.estimators import collision, compression, estimates, markov, most_common_value
from qanat.crypto.randomness.predictors import lag, lz78y, multi_mcw, multi_mmc
from qanat.crypto.randomness.tuples import tuple_estimates

TEN = 10
REPEATERS = ("longest repeated substring", "lag prediction")
BITS_40 = [int(bit) for bit in "1000111001010101110011000111001010101110"]
BITS_48 = [*BITS_40, 1, 1, 1, 0, 0, 0, 1, 1]
TERNARY = np.array([2, 2, 0, 1, 0, 2, 0, 1, 2, 1, 2, 0, 1, 2, 1, 0, 0, 1, 0, 0, 0], np.uint8)


def test_most_common_value_collision_and_markov_give_the_printed_examples() -> None:
    """6.3.1 to 6.3.3 print 0.5363, 0.4483 and 0.761."""
    samples = np.array([0, 1, 1, 2, 0, 1, 2, 2, 0, 1, 0, 1, 1, 0, 2, 2, 1, 0, 2, 1], np.uint8)
    assert most_common_value(samples) == pytest.approx(0.5363, abs=2e-4)
    assert collision(np.array(BITS_40, np.uint8)) == pytest.approx(0.4483, abs=2e-4)
    assert markov(np.array(BITS_40, np.uint8)) == pytest.approx(0.761, abs=1e-3)


def test_compression_gives_the_printed_example() -> None:
    """6.3.4 prints 0.1345 for a dictionary of four words."""
    assert compression(np.array(BITS_48, np.uint8), dictionary_count=4) == pytest.approx(0.1345, abs=2e-4)


def test_tuples_give_the_printed_examples() -> None:
    """6.3.5 and 6.3.6 print 0.273 and 0.6146 with a cutoff of 3."""
    common, rare = tuple_estimates(TERNARY, cutoff=3)
    assert common == pytest.approx(0.273, abs=1e-3)
    assert rare == pytest.approx(0.6146, abs=2e-4)


def test_predictors_give_the_printed_examples() -> None:
    """6.3.7 to 6.3.10 print 0.3908, 0.735, 0.0755 and 0.0191 with small windows and depths."""
    assert multi_mcw([1, 2, 1, 0, 2, 1, 1, 2, 2, 0, 0, 0], (3, 5, 7, 9)) == pytest.approx(0.3908, abs=2e-4)
    assert lag([2, 1, 3, 2, 1, 3, 1, 3, 1, 2], 3) == pytest.approx(0.735, abs=1e-3)
    assert multi_mmc([2, 1, 3, 2, 1, 3, 1, 3, 1], 3) == pytest.approx(0.0755, abs=2e-4)
    assert lz78y([2, 1, 3, 2, 1, 3, 1, 3, 1, 2, 1, 3, 2], 4) == pytest.approx(0.0191, abs=2e-4)


@pytest.mark.parametrize("p", [0.5, 0.6, 0.8])
def test_no_estimator_says_much_more_than_a_biased_source_has_and_the_direct_one_says_as_much(p: float) -> None:
    """30 000 bits. The margin of 99 % makes all say less, the compression estimate up to 0.4 less."""
    bits = (Streams(seed=3).get(f"bias {p}").random(30_000) < p).astype(np.uint8)
    truth = -math.log2(p)
    found = {one.name: one.min_entropy_bits for one in estimates(bits, 5000)}
    assert len(found) == TEN
    assert found["most common value"] == pytest.approx(truth, abs=0.03)
    for name, value in found.items():
        assert value is not None, name
        # Repeated substrings and lags guess by repetition, which on independent bits meets with p**2 + q**2 only.
        limit = -math.log2(p * p + (1 - p) ** 2) if name in REPEATERS else truth
        assert truth - 0.4 <= value <= limit + 0.03, name


def test_a_source_that_repeats_itself_is_seen_by_memory_and_not_by_counting() -> None:
    bits = np.tile((Streams(seed=3).get("tile").random(100) < 0.5).astype(np.uint8), 60)
    found = {one.name: one.min_entropy_bits or 0.0 for one in estimates(bits)}
    assert found["most common value"] > 0.8
    assert max(found["lag prediction"], found["t-tuple"]) < 0.05


@pytest.mark.parametrize("size", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("fill", [0, 1])
def test_constant_and_tiny_inputs_have_no_entropy_and_raise_nothing(size: int, fill: int) -> None:
    for one in estimates(np.full(size, fill, np.uint8)):
        assert one.min_entropy_bits is None or 0 <= one.min_entropy_bits <= 1


def test_constant_data_score_zero_quickly() -> None:
    found = [one for one in estimates(np.zeros(20_000, np.uint8), 5000) if one.min_entropy_bits is not None]
    assert max(one.min_entropy_bits or 0 for one in found if one.name != "longest repeated substring") < 0.01
