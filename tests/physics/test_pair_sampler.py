"""Clicks at both ends against the law, the oracle and the twin."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.physics import plain
from qanat.physics.bell import CHSH_ALICE_RAD, CHSH_BOB_RAD, chsh_from_counts
from qanat.physics.errors import SamplerError
from qanat.physics.memory import DetectorMemory
from qanat.physics.pair_sampler import DensePairSampler, PairSampler
from qanat.physics.pairs import PairLink, PairSource, end_from_angles, pair_law
from qanat.physics.plain_memory import PlainMemory

NOTHING = DetectorMemory(dead_gates=0)
MEMORY = DetectorMemory(dead_gates=20, p_trap=(0.15, 0.1), p_release=(1 / 30, 1 / 100))
Z_MAX = 5.0  # 6e-7 per comparison, both tails; below 1e-4 for all of this file


def a_link(**changes):
    alice = end_from_angles((0.0, math.pi / 2), efficiency=0.4, p_dark=1e-3, transmittance=0.7, visibility=0.95)
    bob = end_from_angles((0.2, 1.3), efficiency=0.3, p_dark=2e-3, transmittance=0.5, visibility=0.9)
    source = PairSource(mean_pairs=0.3, visibility=0.9)
    return replace(PairLink(source=source, alice=alice, bob=bob), **changes)


def sampler_of(kind=PairSampler, link=None, memory=NOTHING, seed=b"pairs"):
    return kind(link=link or a_link(), alice_memory=memory, bob_memory=memory, seed=seed)


@pytest.mark.parametrize("kind", [PairSampler, DensePairSampler])
def test_joint_marks_have_the_law(kind) -> None:
    gates, patterns = sampler_of(kind)._marks(100, 400_100)
    assert np.all(np.diff(gates) > 0)
    assert gates[0] >= 100
    seen = np.bincount(patterns, minlength=256)
    expected = 400_000 * pair_law(a_link())
    for pattern in np.flatnonzero(expected[1:] > 25) + 1:
        assert abs(seen[pattern] - expected[pattern]) < Z_MAX * math.sqrt(expected[pattern]), pattern


@pytest.mark.parametrize("is_simultaneous", [True, False])
def test_the_memory_kernel_and_its_plain_twin_make_the_same_clicks(is_simultaneous) -> None:
    memory = replace(MEMORY, is_simultaneous=is_simultaneous)
    sampler = sampler_of(memory=memory)
    end = sampler.alice
    twin = PlainMemory(traps=end.traps, rng=plain.Xoshiro(end.state.copy()), alive_from=[0, 0, 0, 0])
    for start in (0, 20_000):
        gates, patterns = sampler._marks(start, start + 20_000)
        low = patterns & 15
        gates, low = gates[low > 0], low[low > 0]
        gate, pattern = end._remembered(gates, low, start, start + 20_000)
        slow = twin.clicks(zip(gates.tolist(), low.tolist(), strict=True), start + 20_000)
        assert len(slow) > 300
        assert list(zip(gate.tolist(), pattern.tolist(), strict=True)) == slow
    assert [int(word) for word in end.state] == twin.rng.state


@pytest.mark.parametrize("kind", [PairSampler, DensePairSampler])
def test_memory_acts_on_each_end_alone(kind) -> None:
    """Rate of a non-paralysable end without traps, m / (1 + m D); the other end's clicks do not hold it off."""
    memory = DetectorMemory(dead_gates=30)
    alice, bob = sampler_of(kind, memory=memory).clicks(0, 400_000)
    law = pair_law(a_link()).reshape(16, 16)
    for clicks, m in ((alice, 1 - law[:, 0].sum()), (bob, 1 - law[0].sum())):
        assert np.diff(clicks.gate).min() > 30
        expected = 400_000 * m / (1 + 30 * m)
        assert abs(len(clicks.gate) - expected) < Z_MAX * math.sqrt(expected)
    close = np.abs(alice.gate - bob.gate[np.searchsorted(bob.gate, alice.gate).clip(0, len(bob.gate) - 1)])
    assert (close[close > 0] <= 30).any()


def test_chsh_of_sampled_clicks_is_that_of_the_werner_state() -> None:
    alice = end_from_angles(CHSH_ALICE_RAD, efficiency=0.6, p_dark=1e-6, transmittance=1.0)
    bob = end_from_angles(CHSH_BOB_RAD, efficiency=0.6, p_dark=1e-6, transmittance=1.0)
    link = PairLink(source=PairSource(mean_pairs=2e-3, visibility=0.9), alice=alice, bob=bob)
    results = []
    for each in (link, replace(link, intercepted=1.0)):
        first, second = sampler_of(link=each).clicks(0, 30_000_000)
        common, i, j = np.intersect1d(first.gate, second.gate, return_indices=True)
        counts = np.zeros((2, 2, 2, 2), dtype=np.int64)
        np.add.at(counts, (first.basis[i], second.basis[j], first.bit[i], second.bit[j]), 1)
        assert len(common) > 10_000
        results.append(chsh_from_counts(counts))
    honest, taken = results
    # Accidentals take about mean_pairs of the visibility; that is inside the margin of 0.02.
    assert abs(honest.value - 2 * math.sqrt(2) * 0.9) < Z_MAX * honest.error + 0.02
    assert honest.value > 2 + Z_MAX * honest.error
    assert taken.value < math.sqrt(2) + Z_MAX * taken.error


def test_chunks_go_on_where_the_last_ended() -> None:
    sampler = sampler_of(memory=MEMORY)
    parts = [sampler.clicks(start, start + 37)[0].gate for start in range(0, 37_000, 37)]
    gate = np.concatenate(parts)
    assert len(gate) > 500
    assert np.diff(gate).min() > 20
    with pytest.raises(SamplerError):
        sampler.clicks(0, 10)
