from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics import kernels, plain
from qanat.physics.attack import Cut, InterceptResend
from qanat.physics.clicks import stream_state
from qanat.physics.errors import SamplerError
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import gate_law
from qanat.physics.sparse import SparseSampler, tables_from_law
from qanat.physics.squash import squash_plain, squashed_law


def sampler_of(optics, memory, settings, seed=b"sparse", attacks=()):
    sampler = SparseSampler(optics=optics, memory=memory, settings=settings, seed=seed)
    sampler.set_attacks(attacks)
    return sampler


@pytest.mark.parametrize("start", [0, (1 << 40) + 17])
def test_the_kernel_and_its_plain_twin_make_the_same_clicks(start, optics, memory, settings) -> None:
    end = start + 30_000
    sampler = sampler_of(optics, memory, settings, attacks=(InterceptResend(0.5),))
    rng = plain.Xoshiro(sampler.state.copy())
    fast = sampler.clicks(start, end)
    carriers: list[tuple[int, int]] = []
    clicks, candidates, alive_from = plain.sparse_clicks(sampler.tables, rng, carriers, 0, start, end)
    squashed = squash_plain([pattern for _, pattern in clicks], optics.p_x, rng)
    assert len(clicks) > 400
    assert fast.gate.tolist() == [gate for gate, _ in clicks]
    assert list(zip(fast.basis.tolist(), fast.bit.tolist(), strict=True)) == squashed
    assert fast.candidate_count == candidates
    assert [int(word) for word in sampler.state] == rng.state
    assert alive_from == fast.gate[-1] + memory.dead_gates + 1


def test_xoshiro_is_the_published_generator() -> None:
    """First outputs of xoshiro256++ from state (1, 2, 3, 4), as printed by the rand_xoshiro crate's tests."""
    known = [41943041, 58720359, 3588806011781223, 3591011842654386, 9228616714210784205, 9973669472204895162]
    state = np.array([1, 2, 3, 4], dtype=np.uint64)
    rng = plain.Xoshiro(state)
    assert [rng.next() for _ in known] == known
    assert [int(kernels.next_word(state)) for _ in known] == known


def test_the_same_seed_gives_the_same_clicks_and_another_gives_others(optics, memory, settings) -> None:
    runs = [sampler_of(optics, memory, settings, seed).clicks(0, 50_000) for seed in (b"a", b"a", b"b")]
    assert np.array_equal(runs[0].gate, runs[1].gate)
    assert np.array_equal(runs[0].bit, runs[1].bit)
    assert not np.array_equal(runs[0].gate[:50], runs[2].gate[:50])


def test_no_two_clicks_are_closer_than_the_dead_time_even_across_chunks(optics, memory, settings) -> None:
    sampler = sampler_of(optics, memory, settings)
    gate = np.concatenate([sampler.clicks(a, a + 23).gate for a in range(0, 46_000, 23)])
    assert gate.size > 600
    assert np.diff(gate).min() == memory.dead_gates + 1


def test_the_click_rate_saturates_as_a_non_paralysable_dead_time(optics, settings) -> None:
    """R = r / (1 + r tau); six standard errors of the count, Fano factor from renewal theory."""
    for dead_gates in (0, 10, 100, 1000):
        sampler = sampler_of(optics, DetectorMemory(dead_gates=dead_gates), settings)
        m = float(settings.law.p_settings @ gate_law(optics).p_any)
        expected = 2_000_000 * m / (1 + m * dead_gates)
        sigma = np.sqrt(expected * (1 - m)) / (1 + m * dead_gates)
        assert abs(sampler.clicks(0, 2_000_000).gate.size - expected) < 6 * sigma + 1


def test_afterpulse_only_gates_have_settings_tilted_away_from_bright_pulses(optics, settings) -> None:
    """Nothing but afterpulses can click here, started by one carrier per slot put in by hand.

    Gates that click by a release alone have P(s | no mark) = p(s) (1 - c(s)) / (1 - p); with darks and light so
    strong that c differs widely, the tilt is far from p(s). Chi square, 3 cells: 2 degrees, 1e-6 at 27.6.
    """
    bright = replace(optics, transmittance=1.0, efficiency=(0.9,) * 4, p_dark=(0.0,) * 4)
    c = gate_law(bright).p_any
    p = settings.law.p_settings
    release_alone = np.zeros(3)
    sampler = sampler_of(bright, DetectorMemory(dead_gates=0), settings)
    for gate in range(0, 40_000, 2):
        sampler._carrier_gate[0], sampler._carrier_detector[0], sampler._carrier_count = gate, 2, 1
        clicks, pattern, _, _ = sampler._chunk(gate, gate + 1)
        assert clicks.tolist() == [gate]
        if pattern[0] == 1 << 2:
            # Detector Z0 alone: by the release, or by the release and a mark of Z0 only.
            release_alone[settings.at(clicks).intensity[0]] += 1
    law = gate_law(bright).p_pattern
    expected = (p * (1 - c + law[:, 1 << 2])).reshape(3, 4).sum(axis=1)
    expected *= release_alone.sum() / expected.sum()
    assert ((release_alone - expected) ** 2 / expected).sum() < 27.6
    plain_law = p.reshape(3, 4).sum(axis=1) * release_alone.sum()
    assert ((release_alone - plain_law) ** 2 / plain_law).sum() > 100  # the naive law is refuted


def test_an_afterpulse_comes_from_the_detector_that_clicked(optics, settings) -> None:
    """Only X0 can be marked; with sure traps every click chain stays in X0."""
    one = replace(optics, efficiency=(0.5, 0.0, 0.0, 0.0), p_dark=(0.0,) * 4)
    clicks = sampler_of(one, DetectorMemory(dead_gates=5, p_trap=(0.5,), p_release=(0.05,)), settings).clicks(0, 10**5)
    assert clicks.gate.size > 1000
    assert not clicks.basis.any()
    assert not clicks.bit.any()


def test_a_cut_leaves_half_of_the_bits_wrong(optics, memory, settings) -> None:
    """Six sigma of a fair coin."""
    clicks = sampler_of(replace(optics, p_dark=(1e-3,) * 4), memory, settings, attacks=(Cut(),)).clicks(0, 4_000_000)
    sent = settings.at(clicks.gate)
    matched = sent.basis == clicks.basis
    errors, count = int((sent.bit != clicks.bit)[matched].sum()), int(matched.sum())
    assert count > 4000
    assert abs(errors - count / 2) < 3 * np.sqrt(count)


def test_sure_clicks_and_sure_releases_do_not_break_the_gaps(optics, settings) -> None:
    blinding = replace(optics, p_dark=(1.0,) * 4)
    clicks = sampler_of(blinding, DetectorMemory(dead_gates=9), settings).clicks(0, 1000)
    assert clicks.gate.tolist() == list(range(0, 1000, 10))
    assert clicks.double_click_count == 100
    always = DetectorMemory(dead_gates=0, p_trap=(1.0,), p_release=(1.0,))
    assert np.all(np.diff(sampler_of(optics, always, settings).clicks(0, 3000).gate) == 1)


def test_a_broken_bound_and_full_traps_raise(optics, settings) -> None:
    sampler = sampler_of(optics, DetectorMemory(dead_gates=0), settings)
    sampler.tables = replace(sampler.tables, p_max=sampler.tables.p_max / 2)
    with pytest.raises(SamplerError, match="bound"):
        sampler.clicks(0, 100_000)
    hoarding = DetectorMemory(dead_gates=0, p_trap=(1.0,), p_release=(1e-9,))
    with pytest.raises(SamplerError, match="trapped"):
        sampler_of(replace(optics, p_dark=(1.0,) * 4), hoarding, settings).clicks(0, 5000)


def test_every_candidate_probability_is_within_the_bound(optics, memory, settings) -> None:
    tables = tables_from_law(gate_law(optics, [InterceptResend(0.5)]), settings, memory)
    assert tables.cumulative[:, -1].max() == tables.p_max
    assert np.all(np.sort(tables.pattern, axis=1) == np.arange(1, 16))


def test_squashing_is_a_fair_coin_and_cross_basis_follows_the_splitter() -> None:
    """Six sigma per pattern."""
    state, n = stream_state(b"squash", "test"), 40_000
    for pattern, law in enumerate(squashed_law(0.7)):
        if pattern == 0:
            continue
        basis, bit = np.empty(n, dtype=np.uint8), np.empty(n, dtype=np.uint8)
        doubles = kernels.squash(np.full(n, pattern), 0.7, state, basis, bit)
        assert doubles == (n if pattern.bit_count() > 1 else 0)
        seen = np.bincount(basis * 2 + bit, minlength=4)
        assert np.all(np.abs(seen - n * law) <= 6 * np.sqrt(n * law * (1 - law)))


def test_the_samplers_stream_is_not_the_settings_key(settings) -> None:
    """One secret given for both purposes still yields unrelated numbers: each is hashed under its own name."""
    words = set(stream_state(b"simulation key of a test link", "sparse").tolist())
    assert not words & set(settings.key_words)
