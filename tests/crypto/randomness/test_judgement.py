"""What both suites find together: how often sound bits fail, and which estimate counts."""

from __future__ import annotations

import numpy as np

from qanat.core.streams import Streams
from qanat.crypto.randomness.judgement import ALPHA, STEPS_COUNT, Judgement, judgement
from qanat.crypto.randomness.sp800_22.suite import Verdict, verdicts
from qanat.crypto.randomness.sp800_90b.suite import Estimate


def test_about_one_sound_sequence_in_a_hundred_fails() -> None:
    """1000 sequences of 1024 bits, at most 10 expected: more than 25 has probability 2e-5. The seed is fixed."""
    stream = Streams(seed=6).get("files")
    judged = [Judgement(verdicts(stream.integers(0, 2, 1024, np.uint8)), []) for _ in range(1000)]
    assert all(len(one.p_values) == 10 for one in judged)
    assert 1 <= sum(bool(one.failed) for one in judged) <= 25


def test_a_p_value_fails_below_alpha_over_their_number_and_the_rest_are_not_counted() -> None:
    tested = [Verdict("a", "", ALPHA / 2.1), Verdict("b", "", None, "needs more"), Verdict("c", "+1", ALPHA / 1.9)]
    found = Judgement(tested, [])
    assert found.p_value_min == ALPHA / 2
    assert found.failed == ["a"]
    assert list(found.p_values) == ["a", "c +1"]


def test_the_least_estimate_counts_even_if_it_is_zero_and_others_have_no_answer() -> None:
    estimated = [Estimate("a", None, "needs more"), Estimate("b", 0.5), Estimate("c", 0.0), Estimate("d", 1.0)]
    assert Judgement([], estimated).least.name == "c"


def test_every_step_is_told_before_it_runs() -> None:
    told: list[str] = []
    found = judgement(Streams(seed=6).get("steps").integers(0, 2, 7000, np.uint8), told.append)
    assert len(told) == STEPS_COUNT == 24
    assert len(found.estimated) == 10
