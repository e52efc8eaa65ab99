"""The sparse sampler: only slots in which something may click are touched, and the law is exact.

Candidates are an independent Bernoulli(p_bound) sequence that knows nothing of the settings; a candidate's
settings are then read from F_K and it is accepted with probability c(s) / p_bound. Given the settings, a mark in
slot i is (candidate) and (accepted), which uses slot i's own draws alone; so marks are independent over slots, each
with probability p_bound c(s) / p_bound = c(s), and the pattern then has the law that the branches give it.
Hold-off and traps are a filter on marks. Whatever changes the law (a click, a detector's revival, an attack, the end
of a chunk) drops the pending candidate and draws again from there, which a memoryless gap allows.
Which branch the light took, and which marks were noise, is drawn afterwards from its law given the marks.

Cost: about 60 ns per candidate (bench/photons.py), and p_bound / mean c(s) candidates per mark; empty slots cost
nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.physics.errors import SamplerError
from qanat.physics.light import Light
from qanat.physics.marks import marks_and_causes
from qanat.physics.sampler import Sampler

CARRIERS_MAX = 4096  # live carriers; a real link has fewer than one on average
CHUNK_CLICKS = 1 << 20  # clicks per call of the kernel: 40 MB of columns


class SparseSampler(Sampler):
    """Exact in law; see the module."""

    purpose = "sparse"

    def _prepare(self, light: Light) -> None:
        self.marks, self.causes = marks_and_causes(light, self.wiring)
        if not hasattr(self, "_carriers"):
            self._carriers = np.zeros((2, CARRIERS_MAX), dtype=np.int64)
            self._carrier_count = 0

    def _clicked(self, start: int, end: int) -> tuple[NDArray[np.int64], int]:
        from qanat.physics import kernels

        parts, candidate_count = [], 0
        while start < end:
            part, looked_at, start = self._chunk(start, end)
            kernels.sparse_causes(part, self.causes, self.state)
            parts.append(part)
            candidate_count += looked_at
        if len(parts) == 1:
            return parts[0], candidate_count
        return np.concatenate([np.empty((5, 0), dtype=np.int64), *parts], axis=1), candidate_count

    def _chunk(self, start: int, end: int) -> tuple[NDArray[np.int64], int, int]:
        """Clicks from ``start`` until the end, or until the columns are full: (rows, candidates, gate reached)."""
        from qanat.physics import kernels

        rows = self._rows(self._room(end - start, CHUNK_CLICKS))
        count, looked_at, self._carrier_count, reached, status = kernels.sparse_clicks(
            start,
            end,
            self.choice,
            self.wiring,
            self.traps,
            self.light.pulses,
            self.marks,
            self.state,
            self._carriers,
            self._carrier_count,
            self.alive_from,
            rows,
        )
        if status == kernels.BOUND_BROKEN:
            raise SamplerError(f"a slot's probability of a mark exceeds the bound {self.marks.p_bound.max()}")
        if status == kernels.TRAPS_FULL:
            raise SamplerError(f"more than {CARRIERS_MAX} trapped carriers at once")
        return rows[:, :count].copy(), looked_at, reached
