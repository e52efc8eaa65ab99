"""Time shift and faked states on detectors that answer at different times."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import FakedStates, InterceptResend, TimeShift
from qanat.physics.memory import DetectorMemory
from qanat.physics.timing import Timing

NO_TRAPS = DetectorMemory(dead_gates=40)


@pytest.mark.parametrize(("r", "known"), [(0.25, 0.278), (0.0667, 0.663), (0.01, 0.920)])
def test_a_shift_to_the_imbalance_r_tells_eve_as_much_as_printed(faint, read, r, known) -> None:
    optics, shift_ps = read.with_imbalance(faint, r)
    attack = TimeShift(shift_ps)
    assert attack.imbalance(optics) == pytest.approx((r, r))
    assert attack.imbalance(optics, 1) == pytest.approx((r, r))
    assert attack.eve_information(optics) == pytest.approx(known, abs=5e-4)


@pytest.mark.parametrize("r", [0.25, 0.01])
def test_early_and_late_bits_are_biased_by_one_over_one_plus_r(faint, read, r) -> None:
    optics, shift_ps = read.with_imbalance(faint, r)
    law = read.law(optics, [TimeShift(shift_ps)])
    early, late = sorted(range(2), key=lambda h: law.branches[h].offset_ps)
    for h, favoured in ((early, 0), (late, 1)):
        for basis in (0, 1):
            marks = law.p_given[h, basis * 2 : basis * 2 + 2].sum(axis=0)
            bits = np.array([marks[1 << (basis * 2 + bit)] for bit in (0, 1)])
            assert bits[favoured] / bits.sum() == pytest.approx(1 / (1 + r), rel=1e-5)
    both = law.p_pattern[:2].sum(axis=0)
    assert both[1] == pytest.approx(both[2]), "early and late together are even"


def test_a_shift_leaves_the_error_rate_and_lowers_the_counts(faint, read) -> None:
    optics, shift_ps = read.with_imbalance(replace(faint, misalignment=0.02), 0.25)
    honest, shifted = (read.law(optics, attacks) for attacks in ((), [TimeShift(shift_ps)]))
    assert read.qber(shifted, 0) == pytest.approx(0.02, abs=1e-6)
    assert read.qber(shifted, 1) == pytest.approx(read.qber(honest, 1), abs=1e-6)
    assert (read.gains(shifted)[:2] < 0.7 * read.gains(honest)[:2]).all()


def test_equal_detectors_are_immune(faint, read) -> None:
    attack = TimeShift(150.0)
    assert attack.imbalance(faint) == (1.0, 1.0)
    assert attack.eve_information(faint) == 0.0
    assert read.law(faint, [attack]).p_pattern == pytest.approx(read.law(faint).p_pattern, rel=1e-12)


@pytest.mark.parametrize(("r", "printed"), [(0.25, 0.286), (0.0667, 0.111), (0.01, 0.019)])
def test_faked_states_cost_the_errors_printed(faint, read, r, printed) -> None:
    optics, shift_ps = read.with_imbalance(faint, r)
    law = read.law(optics, [FakedStates(shift_ps)])
    for basis in (0, 1):
        assert read.qber(law, basis) == pytest.approx(2 * r / (1 + 3 * r), rel=1e-4)
        assert read.qber(law, basis) == pytest.approx(printed, abs=6e-4)


def test_faked_states_find_unequal_gates_whatever_their_sign(faint, read) -> None:
    """In Z the detectors answer the other way round: early for 1."""
    optics, shift_ps = read.with_imbalance(faint, 0.01)
    turned = replace(optics, timing=replace(optics.timing, gate_centre_ps=(-100.0, 100.0, 100.0, -100.0)))
    attack = FakedStates(shift_ps)
    assert attack.time_ps(turned, 0, 0) == -attack.time_ps(turned, 1, 0)


def test_faked_states_on_equal_detectors_are_half_errors(faint, read) -> None:
    # r = 1: 2 r / (1 + 3 r) = 1/2.
    law = read.law(faint, [FakedStates(100.0)])
    assert read.qber(law, 0) == pytest.approx(0.5, abs=1e-6)


def test_brightness_makes_up_for_what_is_not_sent(faint, read) -> None:
    optics, shift_ps = read.with_imbalance(faint, 0.01)
    dim, bright = (read.gains(read.law(optics, [FakedStates(shift_ps, brightness=b)]))[0] for b in (2.0, 8.0))
    assert bright == pytest.approx(4 * dim, rel=1e-4)
    assert FakedStates(shift_ps).eve_information(optics) > 0.9


def test_a_shift_over_a_resent_pulse_keeps_both_disturbances(faint, read) -> None:
    optics, shift_ps = read.with_imbalance(faint, 0.25)
    law = read.law(optics, [TimeShift(shift_ps), InterceptResend(1.0)])
    assert read.qber(law, 0) == pytest.approx(0.25, abs=1e-5)
    assert {branch.label for branch in law.branches} == {"time-shift+intercept-resend"}


def test_arrival_times_show_the_shift_and_its_side(sample, optics, settings) -> None:
    """Means of some 10 000 tags of 40 ps: 6 standard errors are 2.4 ps. False alarm 2e-9 per comparison."""
    timing = Timing(jitter_ps=40.0, gate_centre_ps=(-100.0, 100.0) * 2, gate_width_ps=300.0)
    link = replace(optics, timing=timing, p_dark=(0.0,) * 4)
    clicks = sample(link, [TimeShift(200.0, early=0.5)], memory=NO_TRAPS)
    honest = sample(link, memory=NO_TRAPS)
    for tally, expected_ps in ((honest.tally, 40.0), (clicks.tally, None)):
        count, total, squares = tally.moments[:, :3].T
        spread = np.sqrt(squares / count - (total / count) ** 2)
        if expected_ps:
            assert spread == pytest.approx([expected_ps] * 4, rel=0.1)
            assert np.abs(total / count).max() < 6 * 40 / np.sqrt(count.min())
        else:  # two groups 400 ps apart; at r = exp(-4/9) the mean of bit 0 is at -200 (1 - r) / (1 + r) ps
            assert (spread > 180).all()
            r = math.exp(-4 / 9)
            expected = 200 * (1 - r) / (1 + r) * np.array([-1, 1, -1, 1])
            assert (np.abs(total / count - expected) < 6 * 200 / np.sqrt(count)).all()
            assert np.abs(total / count).min() > 20
    assert clicks.gate.size < honest.gate.size
    assert abs(wrong_share(clicks, settings) - wrong_share(honest, settings)) < 6 * math.sqrt(0.04 / 10_000 * 2)


def test_faked_states_arrive_in_two_groups_that_tell_the_bit(sample, optics, settings) -> None:
    timing = Timing(jitter_ps=40.0, gate_centre_ps=(-100.0, 100.0) * 2, gate_width_ps=100.0)
    link = replace(optics, timing=timing, p_dark=(0.0,) * 4, misalignment=0.0)
    shift_ps = -math.log(0.01) * 100**2 / 200  # 230 ps
    clicks = sample(link, [FakedStates(shift_ps)], memory=NO_TRAPS)
    mean = clicks.tally.moments[:, 1] / clicks.tally.moments[:, 0]
    assert (np.sign(mean) == [-1, 1, -1, 1]).all()
    assert np.abs(mean).min() > 0.8 * shift_ps
    n = int((settings.at(clicks.gate).basis == clicks.basis).sum())
    assert n > 2000
    # 2 r / (1 + 3 r) = 1.94 %, a little more for pulses of several photons.
    assert 0.015 < wrong_share(clicks, settings) < 0.05


def wrong_share(clicks, settings) -> float:
    sent = settings.at(clicks.gate)
    kept = sent.basis == clicks.basis
    return float((sent.bit != clicks.bit)[kept].mean())
