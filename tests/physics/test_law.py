"""The dense oracle against the sparse sampler and the statistical tier: cell by cell, over replicas.

Each comparison is a Welch test on the means of independent replicas, with the variance that the replicas show
(dead time makes counts sub-Poissonian, so a Poisson variance would be too forgiving). With 24 replicas each,
|z| > 5.2 has probability below 1e-5 per cell (Student, at least 23 degrees of freedom: 2.8e-5 at worst); a table has
under 40 cells, the file nine tables: a false alarm in about 1 % of all seeds. Seeds are fixed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.physics.attack import Cut, InterceptResend, Jamming, Tap
from qanat.physics.dense import DenseSampler
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler

REPLICAS, GATES, Z_MAX = 24, 400_000, 5.2
SITUATIONS = {
    "no Eve": (),
    "all intercepted": (InterceptResend(1.0),),
    "a third intercepted, then tapped": (InterceptResend(0.3), Tap(0.5)),
    "two eavesdroppers": (InterceptResend(0.5), InterceptResend(0.8)),
    "cut": (Cut(),),
    "cut and jammed": (Cut(), Jamming(2e8)),
}
GAP_EDGES = np.array([41, 42, 45, 60, 80, 100, 140, 200, 400])


def cells(clicks, settings):
    """Counts of one replica: 12 matched cells, mismatched, total, doubles, gaps between clicks."""
    sent = settings.at(clicks.gate)
    matched = sent.basis == clicks.basis
    wrong = sent.bit != clicks.bit
    cell = (sent.intensity.astype(int) * 2 + sent.basis) * 2 + wrong
    gaps = np.histogram(np.diff(clicks.gate), bins=[*GAP_EDGES, 1 << 40])[0]
    totals = [int((~matched).sum()), clicks.gate.size, clicks.double_click_count]
    detectors = np.bincount(clicks.basis.astype(int) * 2 + clicks.bit, minlength=4)
    per_cell = np.bincount(cell[matched], minlength=12)
    tilt = np.bincount(sent.intensity[~matched], minlength=3)
    return np.concatenate([per_cell, totals, detectors, tilt, gaps])


def replicas(sampler_class, name, attacks, *, optics, memory, settings, tag="", count=REPLICAS):
    sampler = sampler_class(optics=optics, memory=memory, settings=settings, seed=f"{tag}{name}".encode())
    sampler.set_attacks(attacks)
    sampler.clicks(0, 2000)  # detector memory settles
    starts = range(2000, 2000 + count * GATES, GATES)
    return np.array([cells(sampler.clicks(start, start + GATES), settings) for start in starts], dtype=float)


def z_scores(a, b):
    variance = a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b)
    # A cell nearly empty in both has no normal law; below 1/4 count per replica it is compared with Poisson width.
    return (a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(np.maximum(variance, 0.25 / len(a)))


@pytest.mark.parametrize("name", SITUATIONS)
def test_dense_and_sparse_have_one_law(name, optics, memory, settings) -> None:
    args = {"optics": optics, "memory": memory, "settings": settings}
    dense = replicas(DenseSampler, name, SITUATIONS[name], **args)
    sparse = replicas(SparseSampler, name, SITUATIONS[name], **args)
    assert dense[:, 13].mean() > 50  # there is something to compare
    assert np.abs(z_scores(dense, sparse)).max() < Z_MAX


def test_the_comparison_sees_small_faults(optics, memory, settings) -> None:
    """A test that cannot fail proves nothing: each fault below must exceed the limit."""
    honest = replicas(DenseSampler, "power", (), optics=optics, memory=memory, settings=settings)
    faults = {
        "misalignment 2 % -> 3 %": {"optics": replace(optics, misalignment=0.03)},
        "one detector 10 % weaker": {"optics": replace(optics, efficiency=(0.2, 0.22, 0.162, 0.2))},
        "no afterpulses": {"memory": replace(memory, p_trap=(0.0, 0.0))},
        "dead time a gate shorter": {"memory": replace(memory, dead_gates=39)},
        "trap lifetime halved": {"memory": replace(memory, p_release=(1 / 15, 1 / 50))},
    }
    for fault, change in faults.items():
        args = {"optics": optics, "memory": memory, "settings": settings} | change
        sparse = replicas(SparseSampler, "power", (), **args)
        assert np.abs(z_scores(honest, sparse)).max() > Z_MAX, fault


def test_chunk_boundaries_do_not_change_the_law(optics, memory, settings) -> None:
    """Chunks of 37 slots, shorter than the dead time, against whole replicas."""

    class Chopped(SparseSampler):
        def clicks(self, start, end):
            parts = [SparseSampler.clicks(self, a, min(a + 37, end)) for a in range(start, end, 37)]
            columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in ("gate", "basis", "bit")}
            sums = {n: sum(getattr(p, n) for p in parts) for n in ("double_click_count", "candidate_count")}
            return replace(parts[0], **columns, **sums)

    args = {"optics": optics, "memory": memory, "settings": settings}
    z = z_scores(replicas(Chopped, "chopped", (), count=12, **args), replicas(SparseSampler, "w", (), count=12, **args))
    assert np.abs(z).max() < Z_MAX + 1.5  # 12 replicas each: Student with 11 degrees, 3e-5 per cell


def test_a_full_output_buffer_does_not_change_the_law(optics, memory, settings, monkeypatch) -> None:
    args = {"optics": optics, "memory": memory, "settings": settings}
    whole = replicas(SparseSampler, "whole", (), **args)
    monkeypatch.setattr("qanat.physics.sparse.CHUNK_CLICKS", 3)
    assert np.abs(z_scores(whole, replicas(SparseSampler, "small", (), **args))).max() < Z_MAX


@pytest.mark.parametrize("name", ["no Eve", "all intercepted", "cut and jammed"])
def test_the_statistical_tier_has_the_same_counts(name, optics, memory, settings) -> None:
    """Mean field: means within 1 % of the sparse ones or within the noise, widths within the replicas' own."""
    stream = Streams(seed=3).get(name)
    tier = StatisticalSampler(optics=optics, memory=memory, settings=settings.law, stream=stream)
    tier.set_attacks(SITUATIONS[name])
    windows = [tier.counts(GATES) for _ in range(400)]
    rows = []
    for w in windows:
        pairs = zip(w.sifted_counts, w.error_counts_x, w.error_counts_z, strict=True)
        per_cell = [n for (x, z), ex, ez in pairs for n in (x - ex, ex, z - ez, ez)]
        mismatched = w.detection_count - sum(map(sum, w.sifted_counts))
        rows.append([*per_cell, mismatched, w.detection_count, w.double_click_count])
    fast = np.array(rows, dtype=float)
    slow = replicas(
        SparseSampler, name, SITUATIONS[name], optics=optics, memory=memory, settings=settings, tag="statistical"
    )[:, :15]
    close = np.abs(fast.mean(axis=0) / slow.mean(axis=0) - 1) < 0.01
    assert (close | (np.abs(z_scores(fast, slow)) < Z_MAX)).all()
    # The total is sub-Poissonian. With 24 replicas a ratio of variances outside 0.3..3 has p < 1e-4.
    ratio = fast[:, 13].var() / slow[:, 13].var(ddof=1)
    assert 0.3 < ratio < 3
    assert tier.law.fano < 0.75


def test_dense_and_sparse_agree_on_a_silent_link(optics, memory, settings) -> None:
    silent = replace(optics, p_dark=(0.0,) * 4)
    for sampler_class in (DenseSampler, SparseSampler):
        sampler = sampler_class(optics=silent, memory=memory, settings=settings, seed=b"s")
        sampler.set_attacks((Cut(),))
        assert sampler.clicks(0, 100_000).gate.size == 0
