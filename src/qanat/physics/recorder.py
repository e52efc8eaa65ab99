"""The time tagger behind the detectors: clicks get times, fall into gates, and become one basis and bit per gate.

A tag may fall into a neighbour's gate, also across the end of a chunk. So a sampler looks ``reach_gates`` further than
it was asked, and what falls later than the end waits here for the next chunk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.core.health import GAP_BIN_COUNT
from qanat.physics.clicks import Clicks, Tally, Truth, stream_state
from qanat.physics.light import Light
from qanat.physics.squash import squash_tables
from qanat.physics.tables import wiring_from_layout
from qanat.physics.timing import clock_from_timing

Rows = NDArray[np.int64]


class Recorder:
    """Of one receiver, chunk after chunk. ``seed`` and ``purpose`` name its own chance."""

    def __init__(self, light: Light, *, seed: bytes, purpose: str) -> None:
        layout = light.optics.layout
        self.wiring = wiring_from_layout(layout)
        self.state = stream_state(seed, purpose)
        self.squash = squash_tables(light.optics.p_x, layout)
        self._sizes = np.array([pattern.bit_count() for pattern in range(layout.pattern_count)])
        self._waiting = np.empty((4, 0), dtype=np.int64)
        self._last_gate = -1
        self.set_light(light)

    def set_light(self, light: Light) -> None:
        """From the next clicks on, light arrives like this."""
        self.clock = clock_from_timing(light.optics, self.wiring, light.numbered, light.labels)
        self.names = light.names

    @property
    def reach_gates(self) -> int:
        """How far from its gate a tag may fall."""
        return int(self.clock.reach_gates)

    def clicks(self, clicked: Rows, start: int, end: int, candidate_count: int) -> Clicks:
        """What the receiver announces for gates [start, end), from the detectors' clicks up to end + reach.

        Args:
            clicked: Rows gate, pattern, marks, signal, branch, as the kernels leave them.
        """
        from qanat.physics import kernels

        waiting = self._waiting.shape[1]
        moments = np.zeros((len(self.wiring.own_count), 5))
        events = np.empty((4, waiting + int(self._sizes[clicked[1]].sum())), dtype=np.int64)
        events[:, :waiting] = self._waiting
        count = kernels.timed_events(
            clicked, self.clock, self.wiring.channel_detector, self.state, events, waiting, moments
        )
        gaps = np.zeros(GAP_BIN_COUNT, dtype=np.int64)
        out = np.empty((5, count), dtype=np.int64)
        found, doubles, silent, used, self._last_gate = kernels.merged_events(
            events, count, start, end, self.squash, self.state, self._last_gate, gaps, out
        )
        self._waiting = events[:, used:count].copy()
        gate, basis, bit, label, cause = out[:, :found]
        return Clicks(
            gate=gate.copy(),
            basis=basis.astype(np.uint8),
            bit=bit.astype(np.uint8),
            double_click_count=int(doubles),
            candidate_count=candidate_count,
            tally=Tally(moments=moments, gaps=gaps, silent_count=int(silent)),
            truth=Truth(label=label.astype(np.uint8), cause=cause.astype(np.uint8), names=self.names),
        )
