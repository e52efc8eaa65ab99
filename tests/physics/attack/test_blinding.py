"""Detectors that obey: what is missing tells, and the bias current, and the clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import AfterGate, Blinding, Cut, Jamming, PulsedBlinding
from qanat.physics.errors import AttackError
from qanat.physics.instruments import Instruments
from qanat.physics.memory import DetectorMemory
from qanat.physics.photons import PhotonLaw
from qanat.physics.timing import Timing

NAIVE_THRESHOLD_NA = 50_000.0  # a monitor that was set to catch steady blinding of 100 uW


@pytest.mark.parametrize("law", PhotonLaw)
def test_blinding_keeps_rates_and_errors_and_takes_doubles_and_darks(fibre_100_km, read, law) -> None:
    link = replace(fibre_100_km, photon_law=law)
    honest, blind = (read.law(link, attacks) for attacks in ((), [Blinding()]))
    dark = 1.205e-6
    assert read.gains(blind)[:2] == pytest.approx(read.gains(honest)[:2] - dark, rel=1e-4)
    assert read.gains(blind)[2] == 0.0, "an empty pulse cannot click any more"
    assert read.qber(blind, 0) == pytest.approx(0.01, abs=1e-9), "the link's own, without the darks' part"
    assert read.doubles(honest) > 1e-9
    assert read.doubles(blind) == pytest.approx(0.0, abs=1e-16)
    assert read.share_x(blind) == pytest.approx(read.share_x(honest), rel=1e-4)


def test_the_blinded_receiver_sees_what_eves_copy_of_it_saw(optics, read) -> None:
    """Unequal detectors and splitter: per setting and detector as before, to the order of two photons at once."""
    link = replace(optics, p_dark=(0.0,) * 4, transmittance=1e-4)
    honest, blind = (read.law(link, attacks).p_pattern[:8] for attacks in ((), [Blinding()]))
    for c in range(4):
        assert blind[:, 1 << c] == pytest.approx(honest[:, 1 << c], rel=1e-4)


def test_part_blinding_lies_between(fibre_100_km, read) -> None:
    none, half, all_ = (read.law(fibre_100_km, [Blinding(f)]).p_pattern for f in (0.0, 0.5, 1.0))
    assert half == pytest.approx((none + all_) / 2, rel=1e-12, abs=1e-18)


def test_who_cuts_the_fibre_blinds_eve_too(fibre_100_km, read) -> None:
    for attacks in ([Cut(), Blinding(), Jamming(1e8)], [Jamming(1e8), Blinding(), Cut()]):
        law = read.law(fibre_100_km, attacks)
        assert law.p_any.max() == 0.0, "no faked pulse without a result, no stray click in a blind detector"


def test_steady_blinding_shows_in_the_bias_current_and_in_the_traps(fibre_100_km) -> None:
    memory = DetectorMemory(dead_gates=10, p_trap=(0.1, (0.2, 0.2, 0.3, 0.2)), p_release=(0.1, 0.2))
    meters = Blinding().on_instruments(Instruments(), fibre_100_km)
    assert min(meters.extra_bias_current_na) > NAIVE_THRESHOLD_NA > 1e3 * max(meters.dark_bias_current_na)
    assert Blinding().on_memory(memory).p_trap == (0.0, (0.0,) * 4)
    assert Blinding(0.5).on_memory(memory).p_trap == (0.05, (0.1, 0.1, 0.15, 0.1))


def test_bursts_stay_below_a_threshold_made_for_steady_light(fibre_100_km) -> None:
    burst, steady = (a.on_instruments(Instruments(), fibre_100_km) for a in (PulsedBlinding(), Blinding()))
    assert max(burst.extra_bias_current_na) < NAIVE_THRESHOLD_NA < min(steady.extra_bias_current_na)
    assert burst.extra_bias_current_na[0] == pytest.approx(0.02 * steady.extra_bias_current_na[0])
    assert PulsedBlinding().pulse_gates == (10_000, 200)
    assert PulsedBlinding().eve_information(fibre_100_km) == pytest.approx(0.06 / 1.04)
    with pytest.raises(AttackError, match="must not exceed period_gates"):
        PulsedBlinding(period_gates=100, length_gates=101)


def test_after_the_gate_darks_remain_and_light_comes_late(fibre_100_km, read) -> None:
    honest, late = (read.law(fibre_100_km, attacks) for attacks in ((), [AfterGate()]))
    assert read.gains(late) == pytest.approx(read.gains(honest), rel=1e-3)
    assert read.qber(late, 1) == pytest.approx(read.qber(honest, 1), rel=1e-3)
    assert [branch.offset_ps for branch in late.branches] == [400.0]
    memory = AfterGate().on_memory(DetectorMemory(dead_gates=10, p_trap=(0.1, 0.5), p_release=(0.1, 0.2)))
    assert memory.p_trap == (pytest.approx(0.3), 1.0)


def test_clicks_of_blind_detectors_have_no_doubles_no_darks_no_afterpulses(sample, optics) -> None:
    honest, blind = sample(optics), sample(optics, [Blinding()])
    assert honest.double_click_count > 100
    assert blind.double_click_count == 0
    assert {name: int((honest.truth.cause == k).sum()) > 100 for k, name in enumerate("LNA")} == {
        "L": 1,
        "N": 1,
        "A": 1,
    }
    assert not (blind.truth.cause > 0).any(), "all is light"
    assert set(blind.truth.label) == {blind.truth.names.index("blinding")}


def test_after_the_dead_time_of_a_blind_detector_comes_nothing_special(sample, optics) -> None:
    """Afterpulses crowd in the gates just after the hold-off of 40; without them gaps are geometric.

    Binomial, five standard deviations: false alarm 6e-7.
    """
    link = replace(optics, transmittance=0.02)
    excess = []
    for clicks in (sample(link, gates=8_000_000), sample(link, [Blinding()], gates=8_000_000)):
        gaps = np.diff(clicks.gate)
        p_mark = gaps.size / (clicks.gate[-1] - 40 * gaps.size)
        geometric = 1 - (1 - p_mark) ** 20
        soon = ((gaps > 40) & (gaps <= 60)).mean()
        excess.append((soon - geometric) / np.sqrt(geometric / gaps.size))
        assert gaps.size > 1000
    assert excess[0] > 5 > abs(excess[1])


def test_bursts_show_in_the_phase_and_in_the_gaps(sample, optics) -> None:
    """Clicks in the burst's fiftieth of the clock: binomial, five standard deviations, false alarm 6e-7."""
    link = replace(optics, transmittance=0.02, p_dark=(1e-6,) * 4)
    bursts = PulsedBlinding(period_gates=5000, length_gates=100, eagerness=10.0)
    calm, burst = (sample(link, attacks, memory=DetectorMemory(dead_gates=10)) for attacks in ((), [bursts]))

    def in_burst(clicks):
        return float((clicks.gate % 5000 < 100).mean())

    assert abs(in_burst(calm) - 0.02) < 5 * np.sqrt(0.02 / calm.gate.size)
    assert in_burst(burst) > 0.12
    mine = burst.truth.label == burst.truth.names.index("pulsed-blinding")
    assert (mine == (burst.gate % 5000 < 100)).mean() > 0.99, "the truth names the bursts"
    near = [c.tally.gaps[:7].sum() / c.tally.gaps.sum() for c in (calm, burst)]  # gaps below 128 gates
    assert near[1] > near[0] + 5 * np.sqrt(near[1] / burst.gate.size)


def test_after_gate_clicks_are_late_and_leave_more_afterpulses(sample, optics, memory) -> None:
    link = replace(optics, timing=Timing(jitter_ps=30.0), p_dark=(1e-5,) * 4)
    weak = replace(memory, p_trap=(0.03, 0.02))
    honest, late = sample(link, memory=weak), sample(link, [AfterGate(offset_ps=300.0)], memory=weak)
    means = [c.tally.moments[:, 1].sum() / c.tally.moments[:, 0].sum() for c in (honest, late)]
    assert abs(means[0]) < 10  # afterpulses of some percent, anywhere in 1000 ps: below 1 ps of error each
    assert means[1] > 250
    windowed = sample(replace(link, timing=Timing(jitter_ps=30.0, window_ps=400.0)), [AfterGate(offset_ps=300.0)])
    assert windowed.tally.moments[:, 4].sum() > 0.8 * windowed.tally.moments[:, 0].sum(), "a window sees it"
    share = [float((c.truth.cause == 2).mean()) for c in (honest, late)]
    assert 2 < share[1] / share[0] < 4
    assert int(np.diff(late.gate).min()) > memory.dead_gates, "the hole of the dead time"
