"""Detector memory as a filter on marks, in slow, readable Python: the twin of ``kernels/memory.py``, bit for bit.

Marks are independent of what detectors remember; so they may be drawn for both ends of a link at once, and each
end's memory acts on its own marks afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from qanat.physics.plain import Xoshiro
from qanat.physics.plain_sparse import FAR
from qanat.physics.tables import Traps


@dataclass(slots=True, kw_only=True)
class PlainMemory:
    """One end's detectors. ``carriers`` are (gate of release, detector)."""

    traps: Traps
    rng: Xoshiro
    alive_from: list[int]
    carriers: list[tuple[int, int]] = field(default_factory=list)

    def clicks(self, marks: Iterable[tuple[int, int]], end: int) -> list[tuple[int, int]]:
        """(gate, pattern) of each click before ``end``, from the (gate, pattern) of the marks."""
        marked = dict(marks)
        waiting = sorted(marked, reverse=True)
        out: list[tuple[int, int]] = []
        while True:
            self.carriers = [(gate, d) for gate, d in self.carriers if gate >= self.alive_from[d]]
            gate = min([end, *waiting[-1:], *(gate for gate, _ in self.carriers)])
            if gate >= end:
                return out
            answering = sum(1 << d for d, revival in enumerate(self.alive_from) if revival <= gate)
            pattern = 0
            if waiting and waiting[-1] == gate:
                pattern = marked[waiting.pop()] & answering
            for _, d in [carrier for carrier in self.carriers if carrier[0] == gate]:
                pattern |= 1 << d
            self.carriers = [carrier for carrier in self.carriers if carrier[0] != gate]
            if pattern:
                out.append((gate, pattern))
                self._remember(gate, [d for d in range(len(self.alive_from)) if pattern >> d & 1])

    def _remember(self, gate: int, fired: list[int]) -> None:
        dead = [int(self.traps.dead_gates[d]) for d in fired]
        for d, gates in zip(fired, dead, strict=True):
            self.alive_from[d] = gate + gates + 1
        if self.traps.is_simultaneous:
            self.alive_from = [gate + max(dead) + 1] * len(self.alive_from)
        for d in fired:
            for kind, p_trap in enumerate(self.traps.p_trap[d]):
                if self.rng.uniform() < p_trap:
                    due = gate + 1 + self.rng.gap(float(self.traps.inverse_log_release[kind]), FAR)
                    if due >= self.alive_from[d]:
                        self.carriers.append((due, d))
