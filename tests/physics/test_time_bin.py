from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.families.time_bin import time_bin_efficiency, time_bin_layout, time_bin_shares
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics, gate_law
from qanat.physics.sparse import SparseSampler


def time_bin_optics(**changes):
    values = {
        "intensities": (0.6, 0.2, 2e-3),
        "transmittance": 0.4,
        "efficiency": time_bin_efficiency((0.3, 0.2, 0.25), insertion_loss_db=2.0),
        "p_dark": (1e-4,) * 8,
        "misalignment": 0.02,
        "p_x": 0.7,
        "clock_hz": 1e9,
        "layout": time_bin_layout(250.0),
        "share_rule": time_bin_shares,
    }
    return Optics(**{**values, **changes})


@pytest.mark.parametrize("turn", [0.0, 0.4, math.pi / 2])
def test_shares_are_those_of_the_amplitudes(turn) -> None:
    """Both bins through coupler, two arms and two ports as complex amplitudes on six (port, slot) places."""
    optics = time_bin_optics(misalignment=0.0, rotation_rad=turn)
    root = 1 / math.sqrt(2)
    for state, (early, late) in enumerate([(1, 0), (0, 1), (root, root), (root, -root)]):
        ports = np.zeros((2, 3), dtype=complex)
        for slot, amplitude in ((0, early), (1, late)):
            for is_long in (0, 1):
                for port in (0, 1):
                    sign = -1 if is_long and port else 1
                    arm = np.exp(1j * turn) if is_long else 1
                    ports[port, slot + is_long] += amplitude * arm * sign / 2
        expected = [0.7 * early**2, 0.7 * late**2, *(0.3 * np.abs(ports.ravel()) ** 2)]
        assert time_bin_shares(optics)[state] == pytest.approx(expected, abs=1e-12)


def test_no_light_is_lost_or_made_and_half_of_the_interferometers_lands_beside() -> None:
    shares = time_bin_shares(time_bin_optics(preparation_error_rad=(0.1, -0.2, 0.3, 0.1), rotation_rad=0.5))
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))
    assert shares[:, [2, 4, 5, 7]].sum(axis=1) == pytest.approx(np.full(4, 0.15))


def test_sampled_clicks_have_the_errors_of_the_law_and_side_slots_stay_silent(settings) -> None:
    """Error shares within 5 standard deviations: false alarm 6e-7 per basis."""
    optics = time_bin_optics(p_dark=(0.0,) * 8)
    quiet = DetectorMemory(dead_gates=0)
    clicks = SparseSampler(optics=optics, memory=quiet, settings=settings, seed=b"bins").clicks(0, 4_000_000)
    sent = settings.at(clicks.gate)
    faint = sent.intensity == 1  # doubles are rare here
    for basis in (0, 1):
        seen = faint & (sent.basis == basis) & (clicks.basis == basis)
        n, p = int(seen.sum()), 0.02
        assert n > 500
        errors = int((clicks.bit != sent.bit)[seen].sum())
        assert abs(errors - n * p) < 5 * math.sqrt(n * p) + 0.004 * n  # multi-photon pulses: below 0.4 %
    assert clicks.tally.silent_count > 1000
    assert gate_law(replace(optics, background_hz=1e6)).p_any.min() > gate_law(optics).p_any.min()
