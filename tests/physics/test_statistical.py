from __future__ import annotations

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.physics import kernels
from qanat.physics.light import light_of
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import gate_law
from qanat.physics.renewal import HORIZON_DEAD_TIMES, alive_after_click_plain
from qanat.physics.statistical import StatisticalSampler, click_law, grouped_cells, total_clicks


@pytest.mark.parametrize("fano", [0.001, 0.3, 1.0, 1.4])
@pytest.mark.parametrize("mean", [0.2, 30.0, 9e5])
def test_totals_have_the_mean_and_width_asked_for(mean: float, fano: float) -> None:
    """Six standard errors of the mean; the variance to 15 % (20000 draws: 1 % per sigma), integers allowing."""
    stream = Streams(seed=5).get(f"{mean}/{fano}")
    drawn = total_clicks(stream, mean, fano, 20_000)
    least = (mean % 1) * (1 - mean % 1)  # no integer law of this mean is narrower
    variance = max(mean * fano, least)
    assert abs(drawn.mean() - mean) < 6 * np.sqrt(max(variance, 1e-3) / 20_000)
    assert drawn.var() == pytest.approx(variance, rel=0.15, abs=0.05)


def test_without_afterpulses_rate_and_width_are_those_of_renewal_theory(optics, settings) -> None:
    law = click_law(light_of(optics, DetectorMemory(dead_gates=50)), settings.law)
    m = float(settings.law.p_settings @ gate_law(optics).p_any)
    assert law.rate_per_gate == pytest.approx(m / (1 + 50 * m), rel=1e-12)
    assert law.fano == pytest.approx((1 - m) / (1 + 50 * m) ** 2, rel=1e-12)
    assert law.p_cell.sum() == pytest.approx(1)
    assert 0.5 < grouped_cells(law).sum() < 1


def test_counts_are_consistent_and_nothing_comes_from_nothing(optics, memory, settings) -> None:
    sampler = StatisticalSampler(
        optics=optics, memory=memory, settings=settings.law, stream=Streams(seed=2).get("counts")
    )
    for n_gates in (0, 1, 1000, 10**12):
        counts = sampler.counts(n_gates)
        sifted = sum(map(sum, counts.sifted_counts))
        errors = sum(counts.error_counts_x) + sum(counts.error_counts_z)
        assert errors <= sifted <= counts.detection_count <= n_gates
        assert counts.double_click_count <= counts.detection_count


@pytest.mark.parametrize("p_step", [0.0, 1e-6, 0.02, 0.9])
@pytest.mark.parametrize("per_dead", [1, 2, 400])
def test_the_kernel_of_renewal_theory_and_its_plain_twin_agree_bit_for_bit(p_step: float, per_dead: int) -> None:
    alive = np.zeros(HORIZON_DEAD_TIMES * per_dead)
    kernels.alive_after_click(p_step, per_dead, alive)
    assert np.array_equal(alive, alive_after_click_plain(p_step, per_dead))
    mean = 1 / (1 - p_step + p_step * per_dead)
    assert alive[-per_dead:].mean() == pytest.approx(mean, rel=0.05), "long after, over one ring"
