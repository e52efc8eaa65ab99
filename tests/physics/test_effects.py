"""Every effect of source, fibre, detectors and time tagger, one at a time and all at once, in all tiers.

Dense against sparse: Welch tests on the whole record over 12 replicas each; |z| > 7 has a probability below 2.3e-5 per
number (Student, at least 11 degrees of freedom), a record has 46, the file 15 tables: a false alarm in 1.5 % of all
seeds. Seeds are fixed. Statistical against sparse: within 1.5 % or within the noise, as in test_law.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.physics.attack import LightAttack
from qanat.physics.dense import DenseSampler
from qanat.physics.layout import Channel, Layout
from qanat.physics.photons import PhotonLaw
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler
from qanat.physics.timing import Timing

REPLICAS, GATES, Z_MAX = 12, 200_000, 7.0
WIDE = Timing(jitter_ps=(250.0, 200.0, 300.0, 260.0), tail_ps=150.0, p_tail=0.2, window_ps=900.0)
GATED = Timing(pulse_ps=60.0, jitter_ps=50.0, gate_centre_ps=(-80.0, 80.0, 0.0, 40.0), gate_width_ps=150.0)
FLOORED = replace(GATED, gate_centre_ps=(-250.0, 250.0, 0.0, 100.0), gate_width_ps=70.0, out_of_gate=0.1)
OWN = {"is_simultaneous": False, "dead_gates": (40, 30, 60, 20)}
BRIGHT = {"transmittance": 1.0, "efficiency": (0.5,) * 4}  # more than one photon a pulse: only then fluctuation shows
NO_TRAPS = {"dead_gates": 2, "p_trap": (), "p_release": ()}
SLOTTED = Layout(
    tuple(
        Channel(name=f"{bit}{slot}", detector=bit, basis=basis, bit=bit, slot_ps=slot)
        for bit in (0, 1)
        for slot, basis in ((-250.0, None), (0.0, 0))
    )
)


@dataclass(frozen=True)
class Dimmed(LightAttack):
    """In some gates of every period little light comes through."""

    pulse_gates: tuple[int, int]

    def on(self, branches, optics):
        return [replace(branch, transmittance=0.1 * branch.transmittance, label="dimmed") for branch in branches]


EFFECTS = {
    "thermal light": ({"photon_law": PhotonLaw.THERMAL}, {}, ()),
    "fluctuation": (BRIGHT | {"fluctuation": 0.5}, NO_TRAPS, ()),
    "preparation errors": ({"preparation_error_rad": (0.3, -0.2, 0.1, 0.4)}, {}, ()),
    "rotation": ({"rotation_rad": 0.4}, {}, ()),
    "stray light": ({"background_hz": 1e8}, {}, ()),
    "a hold-off per detector": ({}, OWN, ()),
    "traps per detector": ({}, {"p_trap": ((0.6, 0.0, 0.1, 0.1), (0.3, 0.0, 0.08, 0.08))}, ()),
    "gates that differ": ({"timing": GATED}, {}, ()),
    "gates with a floor": ({"timing": FLOORED}, {}, ()),
    "wide jitter": ({"timing": WIDE}, {"dead_gates": 5}, ()),
    "fast pulses": ({}, {}, (Dimmed((20, 5)),)),
    "slow pulses": ({}, {}, (Dimmed((2000, 700)),)),
    "two slots per detector": ({"layout": SLOTTED, "timing": Timing(jitter_ps=80.0)}, {}, ()),
    "all at once": (
        {
            "photon_law": PhotonLaw.THERMAL,
            "fluctuation": 0.2,
            "preparation_error_rad": (0.1, -0.1, 0.2, 0.0),
            "rotation_rad": 0.2,
            "background_hz": 5e7,
            "timing": WIDE,
        },
        OWN | {"p_trap": ((0.1, 0.2, 0.1, 0.1), 0.08)},
        (Dimmed((300, 100)),),
    ),
}


def record(clicks, settings) -> np.ndarray:
    """Matched cells, mismatched, clicks, doubles; detectors' clicks, times and losses; gaps; labels and causes."""
    sent = settings.at(clicks.gate)
    matched = sent.basis == clicks.basis
    cell = (sent.intensity.astype(int) * 2 + sent.basis) * 2 + (sent.bit != clicks.bit)
    moments = np.zeros((4, 4))
    moments[: len(clicks.tally.moments)] = clicks.tally.moments[:, [0, 1, 2, 4]] / (1, 100, 1e4, 1)
    totals = [(~matched).sum(), clicks.gate.size, clicks.double_click_count, clicks.tally.silent_count]
    truth = [*np.bincount(clicks.truth.label, minlength=2)[:2], *np.bincount(clicks.truth.cause, minlength=3)]
    cells = np.bincount(cell[matched], minlength=12)
    return np.concatenate([cells, totals, moments.ravel(), clicks.tally.gaps[:9], truth]).astype(float)


def replicas(kind, name, *, optics, memory, settings, changes=None) -> np.ndarray:
    of_optics, of_memory, attacks = EFFECTS[name] if changes is None else changes
    args = {"optics": replace(optics, **of_optics), "memory": replace(memory, **of_memory), "settings": settings}
    sampler = kind(**args, seed=name.encode())
    sampler.set_attacks(attacks)
    sampler.clicks(0, 2000)
    starts = range(2000, 2000 + REPLICAS * GATES, GATES)
    return np.array([record(sampler.clicks(a, a + GATES), settings) for a in starts])


def z_scores(a, b) -> np.ndarray:
    variance = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)
    return (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(np.maximum(variance, 0.25 / min(len(a), len(b))))


@pytest.mark.parametrize("name", EFFECTS)
def test_dense_and_sparse_have_one_law_under_every_effect(name, optics, memory, settings) -> None:
    args = {"optics": optics, "memory": memory, "settings": settings}
    dense, sparse = (replicas(kind, name, **args) for kind in (DenseSampler, SparseSampler))
    assert dense[:, 13].mean() > 500
    assert np.abs(z_scores(dense, sparse)).max() < Z_MAX


def test_the_comparison_would_see_an_effect_that_one_tier_lacks(optics, memory, settings) -> None:
    """A test that cannot fail proves nothing: each effect, absent from one side, must exceed the limit."""
    args = {"optics": optics, "memory": memory, "settings": settings}
    dim, bright = (
        replicas(SparseSampler, "power", **args, changes=changes) for changes in (({}, {}, ()), (BRIGHT, NO_TRAPS, ()))
    )
    for name, (of_optics, _, _) in EFFECTS.items():
        plain = bright if BRIGHT.items() <= of_optics.items() else dim
        assert np.abs(z_scores(plain, replicas(DenseSampler, name, **args))).max() > Z_MAX, name


@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "two slots per detector"])
def test_the_statistical_tier_has_the_same_counts_under_every_effect(name, optics, memory, settings) -> None:
    of_optics, of_memory, attacks = EFFECTS[name]
    sampler = StatisticalSampler(
        optics=replace(optics, **of_optics),
        memory=replace(memory, **of_memory),
        settings=settings.law,
        stream=Streams(seed=4).get(name),
    )
    sampler.set_attacks(attacks)
    table = sampler.counts_many(400, GATES)
    totals = np.stack([table.detection_count, table.double_click_count], axis=1)
    fast = np.concatenate([table.cells.reshape(400, 12), totals, table.detectors], axis=1).astype(float)
    sparse = replicas(SparseSampler, name, optics=optics, memory=memory, settings=settings)
    slow = np.concatenate([sparse[:, :12], sparse[:, 13:15], sparse[:, 16:32:4]], axis=1)
    close = np.abs(fast.mean(axis=0) / slow.mean(axis=0) - 1) < 0.015
    assert (close | (np.abs(z_scores(fast, slow)) < Z_MAX)).all()
    lost = sparse[:, 19:32:4]
    assert table.lost.mean(axis=0) == pytest.approx(lost.mean(axis=0), rel=0.1, abs=1.0)


def test_a_detector_with_a_hold_off_of_its_own_saturates_alone(optics, settings) -> None:
    """R = m / (1 + m D) for each detector by itself; six standard errors."""
    from qanat.physics.memory import DetectorMemory
    from qanat.physics.optics import gate_law

    memory = DetectorMemory(dead_gates=(0, 50, 200, 1000), is_simultaneous=False)
    sampler = SparseSampler(optics=optics, memory=memory, settings=settings, seed=b"alone")
    seen = sampler.clicks(0, 4_000_000).tally.moments[:, 0]
    m = settings.law.p_settings @ gate_law(optics).p_mark[0]
    load = 1 + m * np.array(memory.dead_gates)
    assert np.all(np.abs(seen - 4e6 * m / load) < 6 * np.sqrt(4e6 * m) / load**1.5 + 1)


def test_afterpulses_alone_set_a_floor_of_half_their_share_on_the_errors(optics, settings) -> None:
    """Without misalignment, darks and doubles nearly all errors are afterpulses; half of them are wrong."""
    from qanat.physics.memory import DetectorMemory

    clean = replace(optics, misalignment=0.0, p_dark=(0.0,) * 4, transmittance=0.02)
    memory = DetectorMemory(dead_gates=20, p_trap=(0.05,), p_release=(1 / 100,))
    clicks = SparseSampler(optics=clean, memory=memory, settings=settings, seed=b"floor").clicks(0, 40_000_000)
    sent = settings.at(clicks.gate)
    matched = sent.basis == clicks.basis
    errors = int((sent.bit != clicks.bit)[matched].sum())
    expected = int((clicks.truth.cause[matched] == 2).sum()) / 2
    assert expected > 500
    assert abs(errors - expected) < 6 * np.sqrt(expected)
