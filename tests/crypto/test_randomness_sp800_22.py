"""SP 800-22 against its printed examples, and against sequences that must fail."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.crypto.randomness import sp800_22 as tests
from qanat.crypto.randomness import sp800_22_patterns as patterns

PI = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"
RUN_128 = (
    "11001100000101010110110001001100111000000000001001"
    "00110101010001000100111101011010000000110101111100"
    "1100111001101101100010110010"
)


def bits(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8) - 48


def test_counts_give_the_printed_p_values() -> None:
    """2.1.4, 2.1.8, 2.2.4, 2.2.8, 2.3.4, 2.3.8, 2.13.4, 2.13.8."""
    near = pytest.approx
    assert tests.frequency(bits("1011010101")) == near(0.527089, abs=1e-6)
    assert tests.frequency(bits(PI)) == near(0.109599, abs=1e-6)
    assert tests.block_frequency(bits("0110011010"), 3) == near(0.801252, abs=1e-6)
    assert tests.block_frequency(bits(PI), 10) == near(0.706438, abs=1e-6)
    assert tests.runs(bits("1001101011")) == near(0.147232, abs=1e-6)
    assert tests.runs(bits(PI)) == near(0.500798, abs=1e-6)
    assert tests.cumulative_sums(bits("1011010111")) == near(0.4116588, abs=2e-6)
    assert tests.cumulative_sums(bits(PI)) == near(0.219194, abs=1e-6)
    assert tests.cumulative_sums(bits(PI)[::-1]) == near(0.114866, abs=1e-6)


def test_longest_run_gives_the_printed_p_value() -> None:
    """2.4.8 prints 0.180609 from a chi square that it rounds; unrounded it is 0.180598."""
    assert tests.longest_run(bits(RUN_128)) == pytest.approx(0.180609, abs=2e-5)


def test_patterns_give_the_printed_p_values() -> None:
    """2.11.4, 2.12.4, 2.12.8; 2.6.8 miscounts one peak, and 0.646355 is what its formulas give."""
    assert patterns.serial(bits("0011011101"), 3) == pytest.approx((0.808792, 0.670320), abs=1e-6)
    assert patterns.approximate_entropy(bits("0100110101"), 3) == pytest.approx(0.261961, abs=1e-6)
    assert patterns.approximate_entropy(bits(PI), 2) == pytest.approx(0.235301, abs=1e-6)
    assert patterns.spectral(bits(PI)) == pytest.approx(0.646355, abs=1e-6)


def test_ranks_are_those_of_slow_elimination() -> None:
    stream = Streams(seed=5).get("rank")
    for _ in range(200):
        matrix = stream.integers(0, 2, (7, 7))
        span = {0}
        for row in matrix:
            word = int("".join(map(str, row)), 2)
            span |= {word ^ other for other in span}
        rows = [int("".join(map(str, row)), 2) for row in matrix]
        assert 2 ** patterns._rank(rows) == len(span)


def test_sound_bits_pass_and_every_test_runs_on_a_million() -> None:
    """12 p-values above 1e-4: false alarm 1.2e-3; the seed is fixed."""
    found = tests.verdicts(Streams(seed=8).get("sound").integers(0, 2, 1_000_000, np.uint8))
    assert len(found) == 12
    assert all(one.p_value is not None and one.p_value > 1e-4 for one in found), found


def test_p_values_of_sound_bits_are_spread_evenly() -> None:
    """60 sequences: the mean of each p-value lies within 5 standard errors (0.289 / sqrt 60) of one half."""
    rows = [
        [one.p_value for one in tests.verdicts(Streams(seed=n).get("even").integers(0, 2, 40_000, np.uint8))]
        for n in range(60)
    ]
    for column in zip(*rows, strict=True):
        if column[0] is not None:
            assert abs(np.mean(column) - 0.5) < 5 * 0.289 / 60**0.5


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("frequency", lambda x: x | (Streams(seed=2).get("or").random(len(x)) < 0.02)),
        ("runs", lambda x: np.repeat(x, 2)[: len(x)]),
        ("matrix rank", lambda x: np.tile(x[:32], len(x) // 32)),
        ("spectral", lambda x: np.where(np.arange(len(x)) % 10 == 0, 1, x)),
        ("serial 1", lambda x: np.tile(x[:5000], len(x) // 5000)),
        ("universal", lambda x: np.repeat(x[::8], 8)),
    ],
)
def test_each_fault_is_found_by_its_test(name: str, fault) -> None:  # type: ignore[no-untyped-def]
    sound = Streams(seed=8).get("fault").integers(0, 2, 400_000, np.uint8)
    found = {one.name: one.p_value for one in tests.verdicts(fault(sound).astype(np.uint8))}
    assert found[name] is not None
    assert found[name] < 1e-6


@pytest.mark.parametrize("size", [0, 1, 99, 100, 128, 1024, 6272])
@pytest.mark.parametrize("fill", [0, 1])
def test_short_and_constant_sequences_raise_nothing(size: int, fill: int) -> None:
    for one in tests.verdicts(np.full(size, fill, np.uint8)):
        assert one.p_value is None or 0 <= one.p_value < 1e-6
