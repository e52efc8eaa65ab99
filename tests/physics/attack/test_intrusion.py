"""Light sent into the transmitter: no count tells of a Trojan horse, all of a seeded laser."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import LaserSeeding, TrojanHorse, phase_error_with_leak
from qanat.physics.instruments import Instruments
from qanat.physics.photons import PhotonLaw


def test_a_trojan_horse_changes_no_count_and_lights_the_in_port(optics, read) -> None:
    honest, attacked = (read.law(optics, attacks) for attacks in ((), [TrojanHorse(500.0)]))
    assert np.array_equal(honest.p_pattern, attacked.p_pattern)
    meters = TrojanHorse(500.0).on_instruments(Instruments(in_port_power_nw=2.0), optics)
    assert meters == Instruments(in_port_power_nw=502.0)


def test_the_leak_is_the_power_less_the_isolation(optics) -> None:
    # 1e11 photons per gate and 170 dB leave 1e-6; 1e11 photons of 1.28e-19 J at 1 GHz are 12.8 W.
    power_nw = 1e11 * 6.62607015e-34 * 299792458 / 1550e-9 * 1e9 * 1e9
    attack = TrojanHorse(power_nw, 170.0)
    assert attack.leaked_photons(optics) == pytest.approx(1e-6, rel=1e-9)
    assert attack.eve_information(optics) == pytest.approx(2.1e-5, rel=0.1)  # h(1e-6)
    assert TrojanHorse(1000.0, 400.0).eve_information(optics) < 1e-30


def test_the_phase_error_under_a_leak_is_the_published_one() -> None:
    assert phase_error_with_leak(0.01, 1e-6, 0.0126) == pytest.approx(0.012662433344842747, abs=1e-15)
    assert phase_error_with_leak(0.01, 0.0, 0.0126) == 0.01
    assert phase_error_with_leak(0.01, 1.0, 0.0126) == 0.5
    leaks = [phase_error_with_leak(0.01, 10.0**-k, 0.0126) for k in range(9, 2, -1)]
    assert leaks == sorted(leaks)


@pytest.mark.parametrize(("factor", "printed"), [(1.1, 0.651), (1.3, 0.770), (2.0, 1.19)])
def test_a_seeded_laser_makes_the_decoy_estimate_claim_too_much(fibre_100_km, read, factor, printed) -> None:
    """0 km, efficiency 0.6, true Y1 = 0.600; the vacuum and weak decoy bound, with the nominal mu and nu."""
    mu, nu = 0.5, 0.1
    link = replace(fibre_100_km, transmittance=1.0, efficiency=(0.6,) * 4, p_dark=(0.0,) * 4)
    q = read.gains(read.law(link, [LaserSeeding(factor)]))
    y1 = mu / (mu * nu - nu**2) * (q[1] * math.exp(nu) - q[0] * math.exp(mu) * nu**2 / mu**2)
    assert y1 == pytest.approx(printed, abs=6e-4)


@pytest.mark.parametrize("law", PhotonLaw)
def test_all_gains_but_the_vacuum_rise_by_one_factor(fibre_100_km, read, law) -> None:
    link = replace(fibre_100_km, photon_law=law)
    honest, seeded = (read.gains(read.law(link, attacks)) for attacks in ((), [LaserSeeding(1.03)]))
    assert (seeded - seeded[2])[:2] == pytest.approx(1.03 * (honest - honest[2])[:2], rel=1e-4)
    assert seeded[2] == honest[2]


def test_the_monitor_diode_shows_it_or_not(optics) -> None:
    seen, half, unseen = (
        LaserSeeding(1.2, seen=share).on_instruments(Instruments(), optics) for share in (1.0, 0.5, 0.0)
    )
    assert [m.power_ratio for m in (seen, half, unseen)] == pytest.approx([1.2, 1.1, 1.0])
    assert unseen.in_port_power_nw == 1.6e6
    assert LaserSeeding().eve_information(optics) is None


def test_clicks_rise_in_all_intensities(sample, optics, settings) -> None:
    """Ratios of counts against 1.5, six standard errors (false alarm 2e-9), less what dead time eats."""
    faint = replace(optics, transmittance=0.004, p_dark=(0.0,) * 4)
    counts = [
        np.bincount(settings.at(sample(faint, attacks, gates=4_000_000).gate).intensity, minlength=3)[:2]
        for attacks in ((), [LaserSeeding(1.5)])
    ]
    ratio = counts[1] / counts[0]
    assert (np.abs(ratio - 1.5) < 6 * 1.5 * np.sqrt(1 / counts[0] + 1 / counts[1]) + 0.03).all()
    assert (ratio > 1.1).all()
