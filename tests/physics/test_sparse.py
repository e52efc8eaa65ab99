from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from qanat.physics import kernels, plain
from qanat.physics.attack import Cut, InterceptResend, LightAttack
from qanat.physics.clicks import stream_state
from qanat.physics.errors import SamplerError
from qanat.physics.layout import POLARISATION, Channel, Layout
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import gate_law
from qanat.physics.photons import PhotonLaw
from qanat.physics.plain_recorder import PlainRecorder
from qanat.physics.plain_sparse import PlainSparse
from qanat.physics.sparse import SparseSampler
from qanat.physics.squash import squash_tables, squashed_law
from qanat.physics.timing import Timing

# One detector per bit in three time slots each; the middle one tells basis 1, the outer ones together basis 0.
SLOTTED = Layout(
    tuple(
        Channel(name=f"{bit}{slot}", detector=bit, basis=basis, bit=bit, slot_ps=slot)
        for bit in (0, 1)
        for slot, basis in ((-250.0, 0), (0.0, 1), (250.0, None))
    )
)


@dataclass(frozen=True)
class Chopper(LightAttack):
    """The light is cut but for a few gates in every period."""

    pulse_gates: tuple[int, int]

    def on(self, branches, optics):
        return [replace(branch, transmittance=0.1 * branch.transmittance, label="chopped") for branch in branches]


JITTER = Timing(pulse_ps=60.0, jitter_ps=(300.0, 250.0, 280.0, 350.0), window_ps=900.0, tail_ps=90.0, p_tail=0.1)
TWINS = {
    "one eavesdropper": ({}, {}, (InterceptResend(0.5),)),
    "a hold-off per detector": (
        {},
        {"dead_gates": (40, 20, 40, 60), "is_simultaneous": False},
        (InterceptResend(0.5),),
    ),
    "wide jitter": ({"timing": JITTER}, {"dead_gates": 3}, ()),
    "a pulsed attack, bounded": ({}, {}, (Chopper((20, 5)), InterceptResend(1.0))),
    "a pulsed attack, stopped at": ({}, {"is_simultaneous": False}, (Chopper((2000, 500)),)),
    "everything": (
        {"timing": JITTER, "photon_law": PhotonLaw.THERMAL, "fluctuation": 0.2, "background_hz": 3e7},
        {"is_simultaneous": False, "p_trap": ((0.1, 0.2, 0.1, 0.1), 0.08)},
        (Chopper((300, 100)), InterceptResend(0.5)),
    ),
}


def sampler_of(optics, memory, settings, seed=b"sparse", attacks=()):
    sampler = SparseSampler(optics=optics, memory=memory, settings=settings, seed=seed)
    sampler.set_attacks(attacks)
    return sampler


def twins(sampler):
    """Plain copies of a sampler and its recorder, as they stand."""
    sparse = PlainSparse(
        choice=sampler.choice,
        wiring=sampler.wiring,
        traps=sampler.traps,
        pulses=sampler.light.pulses,
        marks=sampler.marks,
        causes=sampler.causes,
        rng=plain.Xoshiro(sampler.state.copy()),
        alive_from=sampler.alive_from.tolist(),
    )
    recorder = PlainRecorder(
        clock=sampler.recorder.clock,
        wiring=sampler.wiring,
        squash=sampler.recorder.squash,
        rng=plain.Xoshiro(sampler.recorder.state.copy()),
        moments=[[0.0] * 5 for _ in sampler.alive_from],
    )
    return sparse, recorder


@pytest.mark.parametrize("start", [0, (1 << 40) + 17])
@pytest.mark.parametrize("name", TWINS)
def test_the_kernels_and_their_plain_twins_make_the_same_clicks(name, start, optics, memory, settings) -> None:
    optics_changes, memory_changes, attacks = TWINS[name]
    end = start + 20_000
    optics, memory = replace(optics, **optics_changes), replace(memory, **memory_changes)
    sampler = sampler_of(optics, memory, settings, attacks=attacks)
    sparse, recorder = twins(sampler)
    fast = sampler.clicks(start, end)
    sparse.clicks(start, end + sampler.recorder.reach_gates)
    for row in sparse.behind():
        recorder.add(*row)
    slow = recorder.clicks(start, end)
    assert len(slow) > 200
    columns = (fast.gate, fast.basis, fast.bit, fast.truth.label, fast.truth.cause)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == slow
    assert fast.candidate_count == sparse.candidate_count
    assert fast.tally.moments.tolist() == recorder.moments
    assert fast.tally.gaps.tolist() == recorder.gaps
    assert (fast.double_click_count, fast.tally.silent_count) == (recorder.double_count, recorder.silent_count)
    assert [int(word) for word in sampler.state] == sparse.rng.state
    assert [int(word) for word in sampler.recorder.state] == recorder.rng.state
    assert sampler.alive_from.tolist() == sparse.alive_from


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
        sampler._carriers[:, 0], sampler._carrier_count = (gate, 2), 1
        (clicks, pattern, *_), _, _ = sampler._chunk(gate, gate + 1)
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
    sampler.marks = sampler.marks._replace(p_bound=sampler.marks.p_bound / 2)
    with pytest.raises(SamplerError, match="bound"):
        sampler.clicks(0, 100_000)
    hoarding = DetectorMemory(dead_gates=0, p_trap=(1.0,), p_release=(1e-9,))
    with pytest.raises(SamplerError, match="trapped"):
        sampler_of(replace(optics, p_dark=(1.0,) * 4), hoarding, settings).clicks(0, 5000)


@pytest.mark.parametrize("is_simultaneous", [True, False])
def test_every_candidate_probability_is_within_the_bound(is_simultaneous, optics, memory, settings) -> None:
    sampler = sampler_of(optics, replace(memory, is_simultaneous=is_simultaneous), settings)
    sampler.set_attacks((InterceptResend(0.5), Chopper((20, 5))))
    marks = sampler.marks
    assert np.all(marks.cumulative[:, :, -1].reshape(*marks.p_bound.shape, -1).max(axis=2) <= marks.p_bound)
    assert marks.cumulative[:, :, -1].max() == marks.p_bound.max()
    assert np.all(np.sort(marks.pattern, axis=2) == np.arange(1, 16))


def test_squashing_is_a_fair_coin_and_cross_basis_follows_the_splitter() -> None:
    """Six sigma per pattern."""
    n, state = 40_000, stream_state(b"squash", "test")
    for pattern, law in enumerate(squashed_law(0.7)):
        if pattern == 0:
            continue
        channels = [c for c in range(4) if pattern >> c & 1]
        events = np.zeros((4, n * len(channels)), dtype=np.int64)
        events[0], events[1] = np.repeat(np.arange(n), len(channels)), channels * n
        out, gaps = np.empty((5, n), dtype=np.int64), np.zeros(24, dtype=np.int64)
        args = (events, events.shape[1], 0, n, squash_tables(0.7, POLARISATION), state, -1, gaps, out)
        clicks, doubles, silent, used, last = kernels.merged_events(*args)
        assert (clicks, silent, used, last) == (n, 0, events.shape[1], n - 1)
        assert doubles == (n if pattern.bit_count() > 1 else 0)
        seen = np.bincount(out[1] * 2 + out[2], minlength=4)
        assert np.all(np.abs(seen - n * law) <= 6 * np.sqrt(n * law * (1 - law)))


def test_the_samplers_stream_is_not_the_settings_key(settings) -> None:
    """One secret given for both purposes still yields unrelated numbers: each is hashed under its own name."""
    words = set(stream_state(b"simulation key of a test link", "sparse").tolist())
    assert not words & set(settings.key_words)
