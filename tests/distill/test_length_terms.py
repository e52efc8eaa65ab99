"""The derivation of a key block's length adds up, exactly, at both ends."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.distill.pairing import Pair, a_plan

from qanat.core.report import BlockReport
from qanat.core.report_schema import report_schema
from qanat.distill.authenticate import RETURNED_BYTES
from qanat.distill.estimate import discard_loss, estimate
from qanat.distill.gather import GatheredBlock
from qanat.distill.length_terms import length_terms
from qanat.distill.release import TOKEN_BYTES
from qanat.keyrate.counts import DecoyCounts


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(50_000, 4_000_000),
    errors=st.floats(0.0, 0.05),
    leak=st.floats(0.0, 0.3),
    discarded=st.floats(0.0, 0.5),
)
def test_the_terms_of_any_made_block_add_up_to_the_bit(size, errors, leak, discarded):
    n_x = (round(size * 0.5), round(size * 0.48), size - round(size * 0.5) - round(size * 0.48))
    n_z = tuple(max(1, n // 10) for n in n_x)
    counts = DecoyCounts(n_x=n_x, n_z=n_z, m_z=tuple(int(n * errors) for n in n_z))
    block = GatheredBlock(
        number=0, first_number=0, last_number=1, start_ns=0, end_ns=1, n_pulses=1, counts=counts, said=[],
        size_bits=size, x_bits=np.zeros(sum(n_x), dtype=np.uint8),
    )  # fmt: skip
    gone = int(discarded * size)
    made = estimate(block, a_plan(), int(leak * size), tag_bits=320, discarded_bits=gone)
    terms = length_terms(block, made, discard_loss=discard_loss(made.proof, gone), is_made=made.length_bits > 0)
    if made.length_bits:
        assert math.fsum(term.enters_bits for term in terms) == made.net_bits
        rounding = next(term for term in terms if "rounding" in term.name)
        assert -made.proof.signed_bits - size < rounding.enters_bits <= 1  # it never adds a bit of key
        taken = sum(term.enters_bits for term in terms if "put back" in term.name or "token" in term.name)
        assert taken == -8 * (RETURNED_BYTES + TOKEN_BYTES)


def test_both_ends_derive_the_same_and_it_is_the_key():
    pair = Pair()
    pair.run(12)
    ours, theirs = ([replace(r, made_at_ns=0) for r in pair.reports(end)] for end in (pair.alice, pair.bob))
    assert ours == theirs
    for report, key in zip(ours, pair.keys(pair.bob), strict=True):
        assert math.fsum(term.enters_bits for term in report.terms) == report.secret_bits == key.bits.size_bits
        disclosed = {term.name: term.enters_bits for term in report.terms}
        assert disclosed["parities of the transmitter's key disclosed"] == -report.leak_bits


def test_a_block_that_was_given_up_shows_how_far_it_got():
    pair = Pair(plan=a_plan(epsilon_sec=1e-12), intercepted=0.25)
    pair.run(6)
    (report,) = pair.reports(pair.bob)
    assert report.aborted
    assert report.terms
    assert not any("rounding" in term.name for term in report.terms)


def test_the_schema_knows_the_terms():
    assert "LengthTerm" in report_schema(BlockReport)["$defs"]
