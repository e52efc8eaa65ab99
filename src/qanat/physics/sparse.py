"""The sparse sampler: only slots in which something may click are touched, and the law is exact.

Candidates are an independent Bernoulli(p_max) sequence that knows nothing of the settings; a candidate's
settings are then read from F_K and it is accepted with probability c(s) / p_max. Given the settings, a mark in
slot i is (candidate) and (accepted), which uses slot i's own draws alone; so marks are independent over slots, each
with probability p_max c(s) / p_max = c(s), and the pattern then has the law that ``optics`` gives it.
Hold-off and traps are a filter on marks. Whatever changes the law (a click, an attack, the end of a chunk) drops
the pending candidate and draws again from there, which a memoryless gap allows.

Cost: about 60 ns per candidate (bench/photons.py), and p_max / mean c(s) candidates per mark; empty slots cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.attack import Attack
from qanat.physics.clicks import Clicks, stream_state
from qanat.physics.errors import SamplerError
from qanat.physics.law import GateLaw
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics, gate_law
from qanat.physics.settings import Purpose, SettingsFunction

CARRIERS_MAX = 4096  # live carriers; a real link has fewer than one on average
CHUNK_CLICKS = 1 << 20  # clicks per call of the kernel: 9 MB of columns


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerTables:
    """All numbers the sampler's loop reads.

    Attributes:
        cumulative: Per settings, the probabilities of the patterns summed up, most likely first, shape
            (n_settings, 15); the last column is c(s).
        pattern: Which pattern each column adds, shape (n_settings, 15).
        p_max: Largest c(s): the bound of the thinning.
        inverse_log_max: 1 / log(1 - p_max), for geometric gaps; 0 when nothing can click.
    """

    key_words: tuple[int, int]
    run: int
    purpose: int
    thresholds: NDArray[np.uint64]
    threshold_x: int
    cumulative: NDArray[np.float64]
    pattern: NDArray[np.int64]
    p_max: float
    inverse_log_max: float
    dead_gates: int
    p_trap: NDArray[np.float64]
    inverse_log_release: NDArray[np.float64]


def tables_from_law(law: GateLaw, settings: SettingsFunction, memory: DetectorMemory) -> SamplerTables:
    """Prepare the loop's numbers."""
    marked = law.p_pattern[:, 1:]
    order = np.argsort(-marked, axis=1, kind="stable")
    cumulative = np.cumsum(np.take_along_axis(marked, order, axis=1), axis=1)
    p_max = float(cumulative[:, -1].max())
    return SamplerTables(
        key_words=settings.key_words,
        run=settings.run,
        purpose=Purpose.TRANSMITTER,
        thresholds=np.array(settings.law.thresholds, dtype=np.uint64),
        threshold_x=settings.law.threshold_x,
        cumulative=cumulative,
        pattern=(order + 1).astype(np.int64),
        p_max=p_max,
        inverse_log_max=inverse_log(p_max),
        dead_gates=memory.dead_gates,
        p_trap=np.array(memory.p_trap, dtype=np.float64),
        inverse_log_release=np.array([inverse_log(p) for p in memory.p_release], dtype=np.float64),
    )


def inverse_log(p: float) -> float:
    """1 / log(1 - p) for geometric gaps; 0 stands for p = 0, and p = 1 gives gaps of 0.

    Example:
        >>> inverse_log(0.0), round(inverse_log(0.5), 4)
        (0.0, -1.4427)
    """
    if p <= 0:
        return 0.0
    return 1 / math.log1p(-p) if p < 1 else -1e-300


class SparseSampler:
    """Clicks of one link, chunk after chunk; detector memory goes from each to the next.

    Args:
        optics: What the light meets.
        memory: What the detectors remember.
        settings: F_K of the transmitter.
        seed: Names the sampler's own stream, which must have nothing to do with K.
    """

    def __init__(self, *, optics: Optics, memory: DetectorMemory, settings: SettingsFunction, seed: bytes) -> None:
        self.optics = optics
        self.memory = memory
        self.settings = settings
        self.state = stream_state(seed, "sparse")
        self._carrier_gate = np.zeros(CARRIERS_MAX, dtype=np.int64)
        self._carrier_detector = np.zeros(CARRIERS_MAX, dtype=np.int64)
        self._carrier_count = 0
        self._alive_from = 0
        self.set_attacks(())

    def set_attacks(self, attacks: Sequence[Attack]) -> None:
        """From the next chunk on, the light has this law."""
        self.tables = tables_from_law(gate_law(self.optics, attacks), self.settings, self.memory)

    def clicks(self, start: int, end: int) -> Clicks:
        """Clicks in slots [start, end). Chunks must come in order and must not overlap.

        Raises:
            SamplerError: a bound of the thinning does not hold, or traps overflow.
        """
        gates, patterns, candidate_count = [], [], 0
        while start < end:
            gate, pattern, looked_at, is_full = self._chunk(start, end)
            gates.append(gate)
            patterns.append(pattern)
            candidate_count += looked_at
            start = max(start, self._alive_from) if is_full else end
        gate = np.concatenate(gates) if gates else np.empty(0, dtype=np.int64)
        basis, bit, double_click_count = self._squashed(np.concatenate(patterns) if patterns else gate)
        return Clicks(
            gate=gate, basis=basis, bit=bit, double_click_count=double_click_count, candidate_count=candidate_count
        )

    def _chunk(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int, bool]:
        from qanat.physics import kernels

        t = self.tables
        room = min(CHUNK_CLICKS, (end - start) // (t.dead_gates + 1) + 2)
        gate, pattern = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        count, looked_at, self._carrier_count, self._alive_from, status = kernels.sparse_clicks(
            start,
            end,
            *t.key_words,
            t.run,
            t.thresholds,
            t.threshold_x,
            t.cumulative,
            t.pattern,
            t.p_max,
            t.inverse_log_max,
            t.dead_gates,
            t.p_trap,
            t.inverse_log_release,
            self.state,
            self._carrier_gate,
            self._carrier_detector,
            self._carrier_count,
            self._alive_from,
            gate,
            pattern,
        )
        if status == kernels.BOUND_BROKEN:
            raise SamplerError(f"a slot's probability of a mark exceeds the bound {t.p_max}")
        if status == kernels.TRAPS_FULL:
            raise SamplerError(f"more than {CARRIERS_MAX} trapped carriers at once")
        return gate[:count], pattern[:count], looked_at, status == kernels.OUT_FULL

    def _squashed(self, pattern: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
        from qanat.physics import kernels

        basis, bit = np.empty(pattern.size, dtype=np.uint8), np.empty(pattern.size, dtype=np.uint8)
        return basis, bit, int(kernels.squash(pattern, self.optics.p_x, self.state, basis, bit))
