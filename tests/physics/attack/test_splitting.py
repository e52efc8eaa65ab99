"""Photon-number splitting: only the ratio of the gains tells."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import PhotonNumberSplitting, Tap
from qanat.physics.optics import honest_branches
from qanat.physics.photons import PhotonLaw

FULL = PhotonNumberSplitting()


def test_the_decoy_gain_falls_and_the_signal_gain_stays(fibre_100_km, read) -> None:
    honest, split = (read.gains(read.law(fibre_100_km, attacks)) for attacks in ((), [FULL]))
    assert honest[1] == pytest.approx(1.0120e-4, rel=1e-4)
    assert honest[0] / honest[1] == pytest.approx(4.95, abs=0.005)
    assert split[0] == pytest.approx(honest[0], rel=1e-9)
    assert split[0] / split[1] == pytest.approx(18.5, abs=0.05)
    # The table prints 2.704e-5, without dark counts in the gates whose photon was blocked; nature has those too.
    without = split[1] - 1.205e-6 * 0.1 * math.exp(-0.1)
    assert without == pytest.approx(2.704e-5, rel=1e-3)
    assert split[1] / honest[1] == pytest.approx(0.268, abs=0.0005)


def test_the_error_rate_of_the_signal_stays(fibre_100_km, read) -> None:
    for basis in (0, 1):
        honest, split = (read.qber(read.law(fibre_100_km, attacks), basis) for attacks in ((), [FULL]))
        assert split == pytest.approx(honest, rel=2e-4)  # two photons in one gate are no more


def test_the_bound_on_single_photons_goes_below_zero(fibre_100_km, read) -> None:
    mu, nu, y0 = 0.5, 0.1, 1.205e-6

    def y1(q):
        return (
            mu
            / (mu * nu - nu**2)
            * (q[1] * math.exp(nu) - q[0] * math.exp(mu) * nu**2 / mu**2 - (mu**2 - nu**2) / mu**2 * y0)
        )

    assert y1(read.gains(read.law(fibre_100_km))) > 9e-4  # true: 1e-3
    assert y1(read.gains(read.law(fibre_100_km, [FULL]))) < 0


@pytest.mark.parametrize(("loss_db", "is_whole"), [(7.40, False), (7.45, True)])
def test_the_loss_that_hides_all_of_it_is_7_4_db(fibre_100_km, loss_db, is_whole) -> None:
    branch = honest_branches(replace(fibre_100_km, transmittance=10 ** (-loss_db / 10)))[0]
    blocked, sent = FULL.plan(branch)
    assert (blocked == 1.0, sent < 1.0) == (is_whole, is_whole)


def test_a_short_line_hides_nothing(fibre_100_km, read) -> None:
    # P(n >= 2) < t (mu - P(1)) below 3.4 dB.
    near, far = (replace(fibre_100_km, transmittance=10 ** (-loss_db / 10)) for loss_db in (3.2, 3.5))
    assert np.array_equal(read.law(near, [FULL]).p_pattern, read.law(near).p_pattern)
    assert not np.array_equal(read.law(far, [FULL]).p_pattern, read.law(far).p_pattern)
    assert FULL.eve_information(near) == 0.0 < FULL.eve_information(far)


@pytest.mark.parametrize("loss_db", [0.0, 2.0, 7.0, 30.0])
@pytest.mark.parametrize("law", PhotonLaw)
@pytest.mark.parametrize("block_single", [0.05, 1.0])
def test_the_signal_gain_stays_at_any_loss_and_for_any_source(fibre_100_km, read, loss_db, law, block_single) -> None:
    optics = replace(fibre_100_km, transmittance=10 ** (-loss_db / 10), photon_law=law)
    attack = PhotonNumberSplitting(block_single=block_single)
    honest, split = (read.gains(read.law(optics, attacks)) for attacks in ((), [attack]))
    assert split[0] == pytest.approx(honest[0], rel=1e-6)
    assert split[1] <= honest[1] * (1 + 1e-12)


def test_a_weak_attack_takes_five_percent_of_the_single_photons(fibre_100_km) -> None:
    blocked, sent = PhotonNumberSplitting(block_single=0.05).plan(honest_branches(fibre_100_km)[0])
    assert blocked == 0.05
    assert 0 < sent < 0.06


def test_eve_holds_a_photon_of_every_bit(fibre_100_km) -> None:
    assert FULL.eve_information(fibre_100_km) == 1.0
    assert 0 < FULL.eve_information(replace(fibre_100_km, transmittance=0.3)) < 1


def test_twice_is_no_more_than_once(fibre_100_km, read) -> None:
    once, twice = (read.law(fibre_100_km, [FULL] * n).p_pattern for n in (1, 2))
    assert twice == pytest.approx(once, rel=1e-9, abs=1e-15)


def test_a_tap_with_its_loss_made_up_for_leaves_no_trace(fibre_100_km, read) -> None:
    better = replace(fibre_100_km, transmittance=fibre_100_km.transmittance / 0.5)
    assert np.allclose(read.law(better, [Tap(0.5)]).p_pattern, read.law(fibre_100_km).p_pattern, rtol=1e-12)


def test_clicks_show_the_ratio(sample, optics, settings) -> None:
    """Dim over bright clicks. A Poisson ratio's error is sqrt(1/a + 1/b); six of those: false alarm 2e-9."""
    lossy = replace(optics, transmittance=0.1, p_dark=(1e-6,) * 4)
    counts = []
    for attacks in ((), [FULL]):
        clicks = sample(lossy, attacks, gates=4_000_000)
        counts.append(np.bincount(settings.at(clicks.gate).intensity, minlength=3))
    honest, split = counts
    assert abs(math.log(honest[0] / split[0])) < 6 * math.sqrt(1 / honest[0] + 1 / split[0])
    assert split[1] / split[0] < 0.6 * honest[1] / honest[0]
    assert set(clicks.truth.names) == {"honest", "photon-number-splitting"}
