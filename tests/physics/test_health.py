from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import Blinding, TrojanHorse
from qanat.physics.health import arrivals_from_moments, instruments_under, receiver_health, transmitter_health
from qanat.physics.sparse import SparseSampler
from qanat.physics.timing import Timing


def test_arrivals_tell_the_jitter_and_the_clicks_outside_the_window(optics, memory, settings) -> None:
    """Six standard errors; X0 has about 3e4 clicks."""
    timing = Timing(jitter_ps=(50.0, 60.0, 70.0, 80.0), gate_centre_ps=0.0, window_ps=200.0)
    quiet = replace(optics, timing=timing, p_dark=(0.0,) * 4)
    sampler = SparseSampler(optics=quiet, memory=replace(memory, p_trap=(), p_release=()), settings=settings, seed=b"h")
    clicks = sampler.clicks(0, 6_000_000)
    health = receiver_health(clicks.tally, instruments_under(quiet), 6e-3)
    for arrivals, jitter in zip(health.arrivals, timing.jitter_ps, strict=True):
        assert abs(arrivals.mean_ps) < 6 * jitter / np.sqrt(arrivals.count)
        assert abs(arrivals.std_ps - jitter) < 6 * jitter / np.sqrt(2 * arrivals.count)
        assert abs(arrivals.skewness) < 6 * np.sqrt(6 / arrivals.count)
    assert health.arrivals[0].out_of_gate_count / health.arrivals[0].count == pytest.approx(0.0455, rel=0.2)
    assert sum(health.gap_histogram) == clicks.gate.size - 1
    assert health.bias_current_na[0] > 100 * instruments_under(quiet).dark_bias_current_na[0]


def test_nothing_seen_is_no_division_by_zero() -> None:
    assert arrivals_from_moments([0.0] * 5).std_ps == 0.0


def test_attacks_show_on_the_meters_of_their_own_end(optics) -> None:
    calm = transmitter_health(instruments_under(optics))
    assert transmitter_health(instruments_under(optics, (TrojanHorse(),))).in_port_power_nw > calm.in_port_power_nw
    assert max(instruments_under(optics, (Blinding(),)).extra_bias_current_na) > 0
