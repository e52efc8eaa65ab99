"""Wavelength steering: Eve chooses the receiver's basis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import WavelengthSteering
from qanat.physics.attack.steering import steered
from qanat.physics.layout import Channel, Layout


def test_the_basis_ratio_becomes_eves_and_errors_stay_below_one_percent(faint, read) -> None:
    biased = replace(faint, p_x=0.83)
    honest, steered_law = (read.law(biased, attacks) for attacks in ((), [WavelengthSteering()]))
    assert read.share_x(honest) == pytest.approx(0.83)
    assert read.share_x(steered_law) == pytest.approx((0.986 + 0.003) / 2, rel=1e-6)
    # Her basis was the other one: half of those few are errors.
    assert read.qber(steered_law, 0) == pytest.approx(0.003 / 0.989 / 2, rel=1e-4)
    assert read.qber(steered_law, 1) == pytest.approx(0.014 / 1.011 / 2, rel=1e-4)
    assert read.gains(steered_law) == pytest.approx(read.gains(honest), rel=1e-6)


def test_the_receivers_basis_is_eves(faint, read) -> None:
    law = read.law(faint, [WavelengthSteering()])
    in_x = law.p_given[:, :4, [1, 2]].sum(axis=(1, 2))
    in_z = law.p_given[:, :4, [4, 8]].sum(axis=(1, 2))
    assert in_x / (in_x + in_z) == pytest.approx([0.986, 0.003], rel=1e-6)
    assert WavelengthSteering().eve_information(faint) == pytest.approx(0.986 / 0.989)


def test_who_mimics_the_splitters_ratio_is_seen_by_nothing_but_her_light(faint, read) -> None:
    """Her own choice set so that the ratio stays: q 0.986 + (1 - q) 0.003 = 0.83."""
    biased = replace(faint, p_x=0.83)
    q = (0.83 - 0.003) / (0.986 - 0.003)
    law = read.law(biased, [WavelengthSteering(choose_x=q)])
    assert read.share_x(law) == pytest.approx(0.83, rel=1e-6)
    assert max(read.qber(law, basis) for basis in (0, 1)) < 0.04


def test_channels_that_tell_no_basis_keep_their_share() -> None:
    layout = Layout(
        (
            Channel(name="X0", detector=0, basis=0, bit=0),
            Channel(name="side", detector=0, basis=None, bit=0),
            Channel(name="Z0", detector=1, basis=1, bit=0),
        )
    )
    shares = np.array([[0.3, 0.2, 0.1], [0.0, 0.0, 0.4]])
    assert steered(shares, layout, 0.9) == pytest.approx(np.array([[0.36, 0.2, 0.04], [0.0, 0.0, 0.04]]))


def test_clicks_show_the_ratio(sample, optics) -> None:
    """Binomial, six standard errors: false alarm 2e-9."""
    link = replace(optics, p_dark=(0.0,) * 4, efficiency=(0.05,) * 4)
    shares = [(clicks.basis == 0).mean() for clicks in (sample(link), sample(link, [WavelengthSteering()]))]
    assert abs(shares[0] - 0.7) < 0.02
    assert abs(shares[1] - 0.4945) < 0.02
