"""Every attack in both exact samplers: one law of the whole record, counts, truth, times and gaps.

Welch tests over 12 replicas each, as in test_law.py; |z| > 7 has a probability below 5e-6 per cell (Student, 11 to 22
degrees of freedom: 2.3e-5 at worst), a table has under 60 cells, the file 15 tables: a false alarm in about 1 % of all
seeds. Seeds are fixed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import (
    ATTACK_NAMES,
    FakedStates,
    InterceptResend,
    PhotonNumberSplitting,
    PulsedBlinding,
    Tap,
    TimeShift,
    attack_from_name,
)
from qanat.physics.dense import DenseSampler
from qanat.physics.memory import DetectorMemory
from qanat.physics.sparse import SparseSampler
from qanat.physics.timing import Timing

REPLICAS, GATES, Z_MAX = 12, 200_000, 7.0
SITUATIONS = {name: (attack_from_name(name),) for name in ATTACK_NAMES if name != "cut"} | {
    "photon-number-splitting": (PhotonNumberSplitting(0.6, 0.5), Tap(0.7)),
    "pulsed-blinding": (PulsedBlinding(period_gates=997, length_gates=100),),
    "four at once": (TimeShift(150.0), InterceptResend(0.4, "breidbart"), FakedStates(150.0, 0.3), Tap(0.9)),
}


@pytest.fixture(scope="session")
def timed(optics):
    """The hot link, a little less hot, with gates that do not agree."""
    timing = Timing(
        pulse_ps=30.0, jitter_ps=(40.0, 50.0, 40.0, 60.0), gate_centre_ps=(-80.0, 80.0) * 2, gate_width_ps=160.0
    )
    return replace(optics, timing=timing, transmittance=0.25)


@pytest.fixture(scope="session")
def short_memory() -> DetectorMemory:
    return DetectorMemory(dead_gates=12, p_trap=(0.05,), p_release=(1 / 20,))


def record(clicks, settings, names) -> np.ndarray:
    """One replica as numbers: matched cells, mismatched, doubles, detectors' clicks, sums of times, gaps, truth."""
    sent = settings.at(clicks.gate)
    matched = sent.basis == clicks.basis
    cell = (sent.intensity.astype(int) * 2 + sent.basis) * 2 + (sent.bit != clicks.bit)
    truth = [(clicks.truth.label == clicks.truth.names.index(name)).sum() for name in names]
    return np.concatenate(
        [
            np.bincount(cell[matched], minlength=12),
            [(~matched).sum(), clicks.gate.size, clicks.double_click_count],
            clicks.tally.moments[:, 0],
            clicks.tally.moments[:, 1] / 100,
            clicks.tally.moments[:, 2] / 1e4,
            clicks.tally.gaps[:14],
            truth,
            np.bincount(clicks.truth.cause, minlength=3),
        ]
    ).astype(float)


def replicas(kind, attacks, *, optics, memory, settings, seed) -> np.ndarray:
    sampler = kind(optics=optics, memory=memory, settings=settings, seed=seed.encode())
    sampler.set_attacks(attacks)
    sampler.clicks(0, 2000)
    starts = range(2000, 2000 + REPLICAS * GATES, GATES)
    return np.array([record(sampler.clicks(a, a + GATES), settings, sampler.light.names) for a in starts])


@pytest.mark.parametrize("name", SITUATIONS)
def test_dense_and_sparse_have_one_law_under_every_attack(name, timed, short_memory, settings) -> None:
    args = {"attacks": SITUATIONS[name], "optics": timed, "memory": short_memory, "settings": settings, "seed": name}
    dense, sparse = (replicas(kind, **args) for kind in (DenseSampler, SparseSampler))
    variance = (dense.var(axis=0, ddof=1) + sparse.var(axis=0, ddof=1)) / REPLICAS
    z = (dense.mean(axis=0) - sparse.mean(axis=0)) / np.sqrt(np.maximum(variance, 0.25 / REPLICAS))
    assert dense[:, 13].mean() > 300
    assert np.abs(z).max() < Z_MAX


def test_the_comparison_would_see_a_weaker_attack(timed, short_memory, settings) -> None:
    """A test that cannot fail proves nothing."""
    args = {"optics": timed, "memory": short_memory, "settings": settings, "seed": "power"}
    weaker = {
        "intercept-resend": (InterceptResend(0.4), InterceptResend(0.25)),
        "time-shift": (TimeShift(150.0), TimeShift(130.0)),
        "photon-number-splitting": (PhotonNumberSplitting(), PhotonNumberSplitting(0.6)),
    }
    for name, (one, other) in weaker.items():
        dense = replicas(DenseSampler, (one,), **args)
        sparse = replicas(SparseSampler, (other,), **args)
        variance = (dense.var(axis=0, ddof=1) + sparse.var(axis=0, ddof=1)) / REPLICAS
        z = (dense.mean(axis=0) - sparse.mean(axis=0)) / np.sqrt(np.maximum(variance, 0.25 / REPLICAS))
        assert np.abs(z).max() > Z_MAX, name
