"""Tap, cut, jamming."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import Cut, Jamming, Tap


@pytest.fixture
def fibre_50_km(fibre_100_km):
    return replace(fibre_100_km, transmittance=0.1)


@pytest.mark.parametrize(("n", "qber", "vacuum"), [(1e-5, 0.0111, 1.1e-5), (1e-4, 0.0197, 1e-4), (1e-3, 0.092, 1e-3)])
def test_jamming_raises_vacuum_gain_and_errors_as_printed(fibre_50_km, read, n, qber, vacuum) -> None:
    """n: stray photons detected per gate. The printed figures have two or three digits."""
    law = read.law(fibre_50_km, [Jamming(n * fibre_50_km.clock_hz / 0.1)])
    for basis in (0, 1):
        assert read.qber(law, basis) == pytest.approx(qber, rel=0.006)
    assert read.gains(law)[2] == pytest.approx(vacuum, rel=0.02)


def test_a_tap_scales_the_gains_of_all_intensities_and_not_the_vacuum(fibre_50_km, read) -> None:
    honest, tapped = (read.gains(read.law(fibre_50_km, attacks)) for attacks in ((), [Tap(0.97)]))
    assert (tapped - tapped[2])[:2] == pytest.approx((honest - honest[2])[:2] * 0.97, rel=1e-3)
    assert tapped[2] == honest[2]
    errors = [read.qber(read.law(fibre_50_km, attacks), 1) for attacks in ((), [Tap(0.97)])]
    assert 0 < errors[1] - errors[0] < 1e-4


def test_a_cut_leaves_darks_and_half_of_errors(fibre_50_km, read) -> None:
    law = read.law(fibre_50_km, [Cut()])
    assert read.gains(law) == pytest.approx([1.205e-6] * 3, rel=1e-5)
    assert read.qber(law, 0) == pytest.approx(0.5)


def test_what_the_tap_holds(fibre_50_km) -> None:
    assert Tap(0.9).eve_information(fibre_50_km) == pytest.approx(1 - math.exp(-0.05))
    assert Cut().eve_information(fibre_50_km) == Jamming().eve_information(fibre_50_km) == 0.0


def test_jamming_falls_at_all_times_in_the_gate(sample, optics) -> None:
    """Uniform over the slot of 1000 ps: standard deviation 288.7 ps; of n clicks its error is below 130 / sqrt(n)."""
    clicks = sample(replace(optics, p_dark=(0.0,) * 4), [Cut(), Jamming(5e7)])
    count, total, squares = clicks.tally.moments[:, :3].sum(axis=0)
    assert count > 3000
    spread = math.sqrt(squares / count - (total / count) ** 2)
    assert spread == pytest.approx(1000 / math.sqrt(12), abs=6 * 130 / math.sqrt(count))
    assert set(np.unique(clicks.truth.label)) == {clicks.truth.names.index("cut+jamming")}
