"""Finite decoy-state keys for studies: arrays of expected counts in, lengths out. Two decoys and one.

Two decoys: Lim, Curty, Walenta, Xu, Zbinden, Phys. Rev. A 89, 022307 (2014), eqs. (1) to (5); 21 shares of epsilon_sec.
One decoy: Rusca, Boaron, Grunenfelder, Martin, Zbinden, Appl. Phys. Lett. 112, 171104 (2018), appendix A; 19 shares.
The live path's ``lim2014`` uses the same formulas (``decoy.py``, ``sampling.rest_deviation``); what it adds, each time
towards a shorter key: docs/decisions/0048.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qanat.keyrate.block import missing_from_phase
from qanat.keyrate.decoy_light import Counts, Light
from qanat.keyrate.deviations import Limits
from qanat.keyrate.parameter import Array, total_of
from qanat.keyrate.sampling import rest_deviation

SHARES_TWO, SHARES_ONE = 21, 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Counts of a block: detections n and errors m, in the basis of the key and of the test."""

    n_key: Counts
    m_key: Counts
    n_test: Counts
    m_test: Counts

    def times(self, pulses: Array) -> Seen:
        """From counts per pulse to counts."""
        return self.each(lambda count: count * pulses)

    def each(self, change: Callable[[Array], Array]) -> Seen:
        """Every count changed alike: scaled, or summed over the parts of a pass."""
        n_key, m_key, n_test, m_test = (
            tuple(change(count) for count in counts) for counts in (self.n_key, self.m_key, self.n_test, self.m_test)
        )
        return Seen(n_key=n_key, m_key=m_key, n_test=n_test, m_test=m_test)

    def __add__(self, other: Seen) -> Seen:
        """Counts of two parts of a pass together."""
        mine, theirs = ((each.n_key, each.m_key, each.n_test, each.m_test) for each in (self, other))
        n_key, m_key, n_test, m_test = (
            tuple(a + b for a, b in zip(left, right, strict=True)) for left, right in zip(mine, theirs, strict=True)
        )
        return Seen(n_key=n_key, m_key=m_key, n_test=n_test, m_test=m_test)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """Bounds in counts: empty and single-photon detections in the key, single photons and their errors in the test,
    and the phase error rate in the key; ``missing`` is above 0 where the proof gives nothing."""

    vacuum: Array
    single: Array
    single_test: Array
    errors_test: Array
    phase: Array
    missing: Array


def two_decoys(light: Light, seen: Seen, limits: Limits, epsilon_sec: Array) -> Proven:
    """Bounds of Lim et al. 2014, eqs. (2) to (5)."""
    share = epsilon_sec / SHARES_TWO
    scales = light.scales()

    def bounds(n: Counts) -> tuple[Array, Array]:
        low, high = limits(n, scales, share)
        empty = np.clip(light.empty(low, high), 0.0, total_of(n))
        return empty, light.single(low, high, empty)

    vacuum, single = bounds(seen.n_key)
    single_test = bounds(seen.n_test)[1]
    errors = light.errors(*limits(seen.m_test, scales, share))
    return _proven(seen, vacuum, single, single_test, errors, share)


def one_decoy(light: Light, seen: Seen, limits: Limits, epsilon_sec: Array) -> Proven:
    """Bounds of Rusca et al. 2018: what is not known of empty pulses is bounded by errors, half of which they make.

    s_0 <= 2 (tau_0 e^k / p_k (m_k + delta) + delta(n)): errors of intensity k hold those of empty pulses, and of s_0
    detections of empty pulses half are errors. Of the two intensities the one that gives the smaller expected bound is
    chosen, before the block is made: the 19 shares pay for one.
    """
    share = epsilon_sec / SHARES_ONE
    scales = light.scales()

    def bounds(n: Counts, m: Counts) -> tuple[Array, Array]:
        low, high = limits(n, scales, share)
        deviation = np.sqrt(total_of(n) / 2 * -np.log(share))
        single = light.single_beside(low, high, limits(m, scales, share)[1], deviation)
        return np.clip(light.empty(low, high), 0.0, total_of(n)), single

    vacuum, single = bounds(seen.n_key, seen.m_key)
    single_test = bounds(seen.n_test, seen.m_test)[1]
    errors = light.errors(*limits(seen.m_test, scales, share))
    return _proven(seen, vacuum, single, single_test, errors, share)


def _proven(seen: Seen, vacuum: Array, single: Array, single_test: Array, errors: Array, share: Array) -> Proven:
    """Clamped to what is possible, and the phase error rate: eq. (5) of Lim et al."""
    lacking = np.maximum(-single, 0.0) + np.maximum(-single_test, 0.0)
    single = np.clip(single, 0.0, np.maximum(total_of(seen.n_key) - vacuum, 0.0))
    single_test = np.minimum(single_test, total_of(seen.n_test))
    errors = np.maximum(errors, 0.0)
    c, d = np.maximum(single_test, 1.0), np.maximum(single, 1.0)
    rate = errors / c
    inner = np.clip(rate, 1e-30, 0.5)
    phase = rate + rest_deviation(share, inner, c, d)
    too_few = np.maximum(1 - single, 0.0) + np.maximum(1 - single_test, 0.0)
    missing = lacking + too_few + missing_from_phase(d, phase)
    return Proven(
        vacuum=vacuum,
        single=single,
        single_test=np.maximum(single_test, 0.0),
        errors_test=errors,
        phase=np.where(too_few > 0, 0.5, np.minimum(phase, 0.5)),
        missing=missing,
    )
