"""Three-state time-bin light in all tiers: one test state, one law, and settings that stay a function of the slot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.physics import kernels
from qanat.physics.attack import InterceptResend
from qanat.physics.attack.registry import ATTACK_NAMES, attack_from_name
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.dense import DenseSampler
from qanat.physics.light import light_of
from qanat.physics.meanfield import click_law, crossed_cells, grouped_cells
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import detector_shares, gate_law, optics_from_sheets
from qanat.physics.plain_sparse import setting_of
from qanat.physics.settings import WORD, SettingsFunction, SettingsLaw, law_from_probabilities
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler
from qanat.physics.tables import choice_from_settings

REPLICAS, GATES, Z_MAX = 24, 1_000_000, 5.2  # as in test_law.py: false alarm below 1e-5 per cell
LAW = law_from_probabilities(intensities=(0.6, 0.2, 2e-3), p_intensities=(0.5, 0.3, 0.2), p_x=0.6, p_zero=(0.5, 1.0))
SETTINGS = SettingsFunction(b"simulation key of three states", LAW)
MEMORY = DetectorMemory(dead_gates=40, p_trap=(0.12,), p_release=(1 / 30,))


def time_bin_optics(**changes):
    """A hot link, so that every effect shows: little loss, many darks, uneven ports."""
    receiver = replace(
        load_receiver("time-bin-snspd"),
        efficiency=(0.3, 0.3, 0.5, 0.4),
        dark_rate_hz=(2e5, 2e5, 2e5, 2e5),
        misalignment=0.02,
        visibility=0.93,
        **changes,
    )
    sheet = replace(load_transmitter("time-bin-3state"), intensities=LAW.intensities)
    return optics_from_sheets(sheet, receiver, loss_db=3.0, clock_hz=2.5e9)


def test_the_test_basis_has_one_state_and_the_key_bits_stay_fair() -> None:
    """Six standard deviations; the law's own table agrees."""
    seen = SETTINGS.at(np.arange(400_000))
    assert not seen.bit[seen.basis == 1].any()
    key = seen.bit[seen.basis == 0]
    assert abs(key.mean() - 0.5) < 6 * 0.5 / np.sqrt(key.size)
    table = LAW.p_settings.reshape(3, 2, 2)
    assert table[:, 1, 1].sum() == 0.0
    assert table.sum() == pytest.approx(1, abs=1e-15)
    assert table[:, 1, 0].sum() == pytest.approx(0.4)


def test_fair_bits_are_those_of_laws_without_a_bit_probability() -> None:
    """A recording or a run of before means what it meant: the bit is the lowest bit of word 3."""
    from qanat.physics import plain

    fair = SettingsFunction(b"simulation key of three states", replace(LAW, thresholds_zero=(WORD // 2, WORD // 2)))
    index = np.arange(5_000)
    words = plain.philox_columns(index, fair.key_words, 0, 0)
    assert np.array_equal(fair.at(index).bit, (words[3] & np.uint64(1)).astype(np.uint8))
    three = SETTINGS.at(index)
    assert np.array_equal(three.bit[three.basis == 0], fair.at(index).bit[three.basis == 0])


@pytest.mark.parametrize("zero", [(WORD // 2, WORD), (WORD // 3, 5), (0, WORD), (WORD, 0)])
def test_all_twins_draw_the_same_settings_with_any_bit_probability(zero) -> None:
    function = SettingsFunction(b"simulation key of three states", replace(LAW, thresholds_zero=zero))
    index = np.concatenate([np.arange(4_096), np.random.default_rng(3).integers(0, 1 << 62, 4_096)])
    fast, slow = function.at(index), function.at_plain(index)
    packed = (fast.intensity * 2 + fast.basis) * 2 + fast.bit
    assert np.array_equal(packed, (slow.intensity * 2 + slow.basis) * 2 + slow.bit)
    choice = choice_from_settings(function)
    assert [setting_of(int(slot), choice) for slot in index[::16]] == packed[::16].tolist()
    words, filled = (np.empty(4_096, dtype=np.uint64) for _ in range(2))
    kernels.fill_settings(0, choice, words, filled)
    assert np.array_equal(filled, packed[:4_096].astype(np.uint64))


def test_thresholds_of_the_bit_outside_a_word_are_refused() -> None:
    with pytest.raises(ValueError, match="thresholds_zero"):
        SettingsLaw(intensities=(0.5,), thresholds=(WORD,), threshold_x=1, thresholds_zero=(1, WORD + 1))


def cells(clicks):
    """Counts of one replica: matched cells, crossed by outcome, other mismatches, totals, side slots, detectors."""
    sent = SETTINGS.at(clicks.gate)
    matched, crossed = sent.basis == clicks.basis, (sent.basis == 0) & (clicks.basis == 1)
    cell = (sent.intensity.astype(int) * 2 + sent.basis) * 2 + (sent.bit != clicks.bit)
    by_outcome = sent.intensity.astype(int) * 2 + clicks.bit
    return np.concatenate(
        [
            np.bincount(cell[matched], minlength=12),
            np.bincount(by_outcome[crossed], minlength=6),
            np.bincount(sent.intensity[~matched & ~crossed], minlength=3),
            [clicks.gate.size, clicks.double_click_count, clicks.tally.silent_count],
            clicks.tally.moments[:, 0],
        ]
    )


def replicas(sampler_class, attacks, **changes):
    sampler = sampler_class(optics=time_bin_optics(**changes), memory=MEMORY, settings=SETTINGS, seed=b"three")
    sampler.set_attacks(attacks)
    sampler.clicks(0, 2000)
    starts = range(2000, 2000 + REPLICAS * GATES, GATES)
    return np.array([cells(sampler.clicks(start, start + GATES)) for start in starts], dtype=float)


def z_scores(a, b):
    variance = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)
    return (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(np.maximum(variance, 0.25 / len(a)))


@pytest.mark.parametrize("attacks", [(), (InterceptResend(0.6),)], ids=["no Eve", "intercepted"])
def test_dense_sparse_and_statistical_tiers_have_one_law(attacks) -> None:
    dense, sparse = (replicas(kind, attacks) for kind in (DenseSampler, SparseSampler))
    assert dense[:, 12:18].sum() > 10_000
    assert np.abs(z_scores(dense, sparse)).max() < Z_MAX
    counted = statistical(attacks)
    law_share = counted.sum(axis=0) / counted[:, :18].sum()
    seen_share = sparse[:, :18].sum(axis=0) / sparse[:, :18].sum()
    # The mean field is approximate where carriers and hold-off meet: 3 % of a cell, or six standard deviations.
    room = 0.03 * seen_share + 6 * np.sqrt(seen_share / sparse[:, :18].sum()) + 1e-5
    assert (np.abs(law_share[:18] - seen_share) < room).all()
    assert counted[:, :18].sum() == pytest.approx(sparse[:, :18].sum(), rel=0.02)


def statistical(attacks):
    stream = Streams(seed=4).get("three states")
    sampler = StatisticalSampler(optics=time_bin_optics(), memory=MEMORY, settings=LAW, stream=stream)
    sampler.set_attacks(attacks)
    table = sampler.counts_many(REPLICAS, GATES)
    return np.concatenate([table.cells.reshape(REPLICAS, 12), table.crossed.reshape(REPLICAS, 6)], axis=1)


def test_the_comparison_sees_a_fringe_that_is_a_little_weaker() -> None:
    """A test that cannot fail proves nothing."""
    honest = replicas(DenseSampler, ())
    weaker = np.array(replicas_of_visibility(0.88), dtype=float)
    assert np.abs(z_scores(honest, weaker)).max() > Z_MAX


def replicas_of_visibility(visibility):
    optics = time_bin_optics()
    rule = optics.share_rule
    other = replace(optics, share_rule=type(rule)(rule.func, visibility=visibility))
    sampler = SparseSampler(optics=other, memory=MEMORY, settings=SETTINGS, seed=b"three")
    sampler.clicks(0, 2000)
    return [cells(sampler.clicks(start, start + GATES)) for start in range(2000, 2000 + REPLICAS * GATES, GATES)]


def test_four_state_light_has_no_crossed_counts_and_draws_what_it_drew() -> None:
    law = replace(LAW, thresholds_zero=(WORD // 2, WORD // 2))
    sampler = StatisticalSampler(
        optics=time_bin_optics(), memory=MEMORY, settings=law, stream=Streams(seed=4).get("four")
    )
    assert sampler.counts(10_000).crossed_counts == ()


@pytest.mark.parametrize("visibility", [1.0, 0.96, 0.8])
def test_visibility_is_the_phase_error_and_leaves_the_key_basis_alone(visibility) -> None:
    """(1 - V) / 2 of errors in Z, from the datasheet to the click law, without darks and memory."""
    receiver = replace(load_receiver("time-bin-snspd"), visibility=visibility, dark_rate_hz=(0.0,) * 4)
    optics = optics_from_sheets(load_transmitter("time-bin-3state"), receiver, loss_db=30.0, clock_hz=2.5e9)
    law = click_law(light_of(optics, DetectorMemory(dead_gates=0)), LAW)
    right, wrong = grouped_cells(law).sum(axis=0).T
    x, z = wrong / (right + wrong)
    assert z == pytest.approx((1 - visibility) / 2, abs=2e-4)  # 30 dB: two photons in one pulse are rare
    assert x == pytest.approx(receiver.misalignment, abs=2e-4)


def test_half_of_the_interferometers_light_lands_beside_the_middle_slot() -> None:
    """Also with loss in the interferometer; and crossed photons go to either port alike."""
    quiet = replace(time_bin_optics(), p_dark=(0.0,) * 8, transmittance=1e-4)
    marks = gate_law(quiet).p_mark[0]
    shares = detector_shares(quiet)
    assert shares[:, [2, 4, 5, 7]].sum(axis=1) == pytest.approx(shares[:, [3, 6]].sum(axis=1), rel=1e-12)
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))
    even = marks[2, [3, 6]] / np.array([0.5, 0.4])
    assert even[1] / even.sum() == pytest.approx((1 - 0.93) / 2, abs=1e-4)
    for key_state in (0, 1):
        ports = marks[key_state, [3, 6]] / np.array([0.5, 0.4])
        assert ports[0] == pytest.approx(ports[1], rel=1e-6)
        sides = marks[key_state, [2, 4]]
        assert sides[key_state] == pytest.approx(sides.sum() * 0.98, rel=1e-4)
    law = click_law(light_of(quiet, DetectorMemory(dead_gates=0)), LAW)
    ones = crossed_cells(law)[:, 1].sum() / crossed_cells(law).sum()
    assert ones == pytest.approx(0.4 / 0.9, abs=1e-3)


@pytest.mark.parametrize("name", ATTACK_NAMES)
def test_every_attack_plays_on_time_bin_light_in_all_tiers(name) -> None:
    attack = attack_from_name(name)
    args = {"optics": time_bin_optics(), "memory": MEMORY}
    for kind in (DenseSampler, SparseSampler):
        sampler = kind(settings=SETTINGS, seed=b"attacked", **args)
        sampler.set_attacks((attack,))
        clicks = sampler.clicks(0, 50_000)
        assert clicks.tally.moments.shape[0] == 3
    counted = StatisticalSampler(settings=LAW, stream=Streams(seed=1).get(name), **args)
    counted.set_attacks((attack,))
    assert counted.counts(50_000).detection_count >= 0
