"""Links on which published figures can be checked, and what is read off a law or off clicks."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from qanat.physics.dense import DenseSampler
from qanat.physics.optics import Optics, gate_law
from qanat.physics.sparse import SparseSampler
from qanat.physics.timing import Timing


@pytest.fixture(scope="session")
def faint() -> Optics:
    """So faint that two photons never arrive together: figures of first order hold. No dark counts, no errors."""
    return Optics(
        intensities=(0.5, 0.1, 0.0),
        transmittance=1e-5,
        efficiency=(0.1,) * 4,
        p_dark=(0.0,) * 4,
        misalignment=0.0,
        p_x=0.5,
        clock_hz=1e9,
    )


@pytest.fixture(scope="session")
def fibre_100_km() -> Optics:
    """mu 0.5, nu 0.1, 20 dB of fibre, 10 % of efficiency, Y0 = 1.205e-6: the link of reference/threats.md, 2.3."""
    return Optics(
        intensities=(0.5, 0.1, 0.0),
        transmittance=1e-2,
        efficiency=(0.1,) * 4,
        p_dark=(1.205e-6 / 4,) * 4,
        misalignment=0.01,
        p_x=0.5,
        clock_hz=1e9,
    )


def qber(law, basis: int, intensity: int = 0) -> float:
    """Error share of slots in which exactly one detector of the basis that was sent is marked."""
    right = wrong = 0.0
    for bit in (0, 1):
        row = law.p_pattern[(intensity * 2 + basis) * 2 + bit]
        right += row[1 << (basis * 2 + bit)]
        wrong += row[1 << (basis * 2 + 1 - bit)]
    return float(wrong / (right + wrong))


def gains(law) -> np.ndarray:
    """Probability of any mark, per intensity, settings being even."""
    return law.p_any.reshape(-1, 4).mean(axis=1)


def doubles(law, intensity: int = 0) -> float:
    """Probability of more than one mark."""
    several = [p for p in range(law.p_pattern.shape[1]) if p & (p - 1)]
    return float(law.p_pattern[intensity * 4 : intensity * 4 + 4, several].sum(axis=1).mean())


def share_x(law, intensity: int = 0) -> float:
    """Share of single marks that are in X, settings being even."""
    single = law.p_pattern[intensity * 4 : intensity * 4 + 4][:, [1, 2, 4, 8]].sum(axis=0)
    return float(single[:2].sum() / single.sum())


def with_imbalance(optics: Optics, r: float, *, centre_ps: float = 100.0, width_ps: float = 300.0):
    """(optics, shift): detectors of bit 0 answer early, those of bit 1 late, and a shift at which the ratio is r.

    Gates are Gaussians around -c and c, so their ratio at t is exp(2 t c / w**2).
    """
    timing = Timing(gate_centre_ps=(-centre_ps, centre_ps) * 2, gate_width_ps=width_ps, jitter_ps=40.0)
    return replace(optics, timing=timing), -math.log(r) * width_ps**2 / (2 * centre_ps)


@pytest.fixture(scope="session")
def read() -> SimpleNamespace:
    """The functions above."""
    return SimpleNamespace(
        qber=qber, gains=gains, doubles=doubles, share_x=share_x, with_imbalance=with_imbalance, law=gate_law
    )


@pytest.fixture(params=[DenseSampler, SparseSampler], ids=["dense", "sparse"])
def sample(request, settings, memory):
    """Clicks of either sampler: sample(optics, attacks, gates) -> Clicks."""

    def sample(optics, attacks=(), gates: int = 2_000_000, seed: bytes = b"signature", memory=memory):
        sampler = request.param(optics=optics, memory=memory, settings=settings, seed=seed)
        sampler.set_attacks(attacks)
        return sampler.clicks(0, gates)

    return sample
