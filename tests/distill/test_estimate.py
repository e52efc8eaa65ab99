"""What a key block is worth: single photons only, less all that was said; nothing when nothing is proven."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.distill.pairing import a_plan

from qanat.distill.estimate import AbortReason, estimate, reason_to_stop, sentence
from qanat.distill.gather import GatheredBlock
from qanat.keyrate.counts import DecoyCounts

PLAN = a_plan(block_sifted_bits=1_000_000)


def a_block(n_x=(700_000, 300_000, 40_000), n_z=(300_000, 130_000, 18_000), m_z=(2_000, 1_000, 400)):
    return GatheredBlock(
        number=0,
        first_number=0,
        last_number=9,
        start_ns=0,
        end_ns=10**9,
        n_pulses=10**7,
        size_bits=sum(n_x),
        x_bits=np.zeros(sum(n_x), dtype=np.uint8),
        counts=DecoyCounts(n_x=n_x, n_z=n_z, m_z=m_z),
        said=[],
    )


def entropy(p):
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def test_no_vacuum_is_credited_because_reconciliation_publishes_the_error_pattern():
    result = estimate(a_block(), PLAN, leak_bits=50_000)
    proof = result.proof
    assert proof.vacuum_bound > 10_000  # the paper's formula would grant it
    single = proof.single_photon_bound * (1 - entropy(proof.phase_error_bound))
    overhead = 128 + 6 * math.log2(21 / PLAN.epsilon_sec)
    assert result.length_bits == math.floor(single - 50_000 - overhead) // 8 * 8 > 0
    assert result.length_bits + 10_000 < proof.length_bits
    assert result.net_bits == result.length_bits - 640


@given(leak=st.integers(0, 2_000_000), errors=st.integers(0, 40_000))
def test_never_more_secret_than_sifted_and_each_disclosed_bit_costs_one(leak, errors):
    block = a_block(m_z=(errors, 1_000, 400))
    result = estimate(block, PLAN, leak)
    assert 0 <= result.length_bits <= block.size_bits
    assert result.length_bits % 8 == 0
    assert estimate(block, PLAN, leak + 8).length_bits in (0, result.length_bits - 8)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_z": (0, 0, 0), "m_z": (0, 0, 0)}, AbortReason.NO_TEST_BITS),
        ({"m_z": (75_000, 32_000, 4_500)}, AbortReason.QBER_HOPELESS),  # 25 %: measure and resend
        ({"m_z": (33_000, 14_000, 2_000)}, AbortReason.NOTHING_PROVEN),  # 11 %
        ({"n_x": (1, 0, 0)}, AbortReason.TOO_SMALL),
        ({}, None),
    ],
)
def test_hopeless_blocks_are_given_up_before_a_parity_is_spent(changes, reason):
    block = a_block(**changes)
    assert reason_to_stop(block, PLAN) is reason


@pytest.mark.parametrize("reason", AbortReason)
def test_every_reason_has_a_sentence_with_its_numbers(reason):
    text = sentence(reason, a_block(), PLAN, leak_bits=7)
    assert "1040000 sifted bits" in text or reason is AbortReason.QBER_HOPELESS
    assert len(text) > 20


def test_a_block_without_any_x_bit_still_has_its_reason():
    block = a_block(n_x=(0, 0, 0))
    assert reason_to_stop(block, PLAN) is AbortReason.TOO_SMALL
    assert sentence(AbortReason.TOO_SMALL, block, PLAN, 0) == "only 0 sifted bits in 1 s"
