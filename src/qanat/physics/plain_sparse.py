"""The sparse sampler in slow, readable Python: the twin of ``kernels/sparse.py``, equal to it bit for bit.

Read this file to understand, that one to run.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from qanat.physics.marks import Causes, Marks
from qanat.physics.plain import MASK32, Xoshiro, philox
from qanat.physics.settings import Purpose
from qanat.physics.tables import Choice, Pulses, Traps, Wiring

FAR = 1 << 60


@dataclass(slots=True, kw_only=True)
class PlainSparse:
    """One link's sampler. ``clicks`` fills ``rows``: (gate, pattern, marks, setting, table) each."""

    choice: Choice
    wiring: Wiring
    traps: Traps
    pulses: Pulses
    marks: Marks
    causes: Causes
    rng: Xoshiro
    alive_from: list[int]
    carriers: list[tuple[int, int]] = field(default_factory=list)
    rows: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    candidate_count: int = 0

    def clicks(self, start: int, end: int) -> None:
        """Clicks in gates [start, end)."""
        position = start
        while True:
            alive = sum(1 << d for d, gate in enumerate(self.alive_from) if gate <= position)
            horizon = min([end, *(gate for gate in self.alive_from if gate > position)])
            if self.marks.stops_at_phases:
                horizon = min(horizon, phase_end(position, self.pulses))
            # A release into a hold-off is lost.
            self.carriers = [(gate, d) for gate, d in self.carriers if gate >= max(position, self.alive_from[d])]
            released = min((gate for gate, _ in self.carriers), default=end)
            candidate = self._candidate(position, horizon, alive)
            gate = min(candidate, released)
            if gate >= horizon:
                if horizon >= end:
                    return
                position = horizon
                continue
            self._visit(gate, alive, is_candidate=gate == candidate, bound=self._bound(position, alive))
            # A click's hold-off needs no candidates; a rejected candidate is followed by the next gate.
            position = gate + 1

    def _bound(self, position: int, alive: int) -> float:
        return float(self.marks.p_bound[self.marks.row_of_alive[alive], phase_of(position, self.pulses)])

    def _candidate(self, position: int, horizon: int, alive: int) -> int:
        """The next gate of an independent Bernoulli(p_bound) sequence; ``horizon`` if there is none before."""
        if not alive or position >= horizon:
            return horizon
        inverse = self.marks.inverse_log_bound[self.marks.row_of_alive[alive], phase_of(position, self.pulses)]
        return position + self.rng.gap(float(inverse), horizon - position)

    def _visit(self, gate: int, alive: int, *, is_candidate: bool, bound: float) -> None:
        setting = setting_of(gate, self.choice)
        row = int(self.marks.row_of_alive[alive])
        table = row * self.marks.p_bound.shape[1] + phase_of(gate, self.pulses)
        marked = 0
        if is_candidate:
            self.candidate_count += 1
            marked = self._marked(table, setting, self.rng.uniform() * bound)
        pattern = marked & int(self.wiring.channels_of[alive])
        for detector in [d for due, d in self.carriers if due == gate]:
            own = int(self.wiring.own_count[detector])
            place = int(self.rng.uniform() * own) if own > 1 else 0
            pattern |= 1 << int(self.wiring.own_channel[detector, place])
        self.carriers = [carrier for carrier in self.carriers if carrier[0] != gate]
        if pattern:
            pattern = int(self.wiring.earliest[pattern])
            self.rows.append((gate, pattern, marked, setting, table))
            self._remember(gate, int(self.wiring.detectors_of[pattern]))

    def _marked(self, table: int, setting: int, level: float) -> int:
        """Accept the candidate with probability c(s) / p_bound; its pattern of marks, 0 when rejected."""
        for rank, total in enumerate(self.marks.cumulative[table, setting]):
            if level < total:
                return int(self.marks.pattern[table, setting, rank])
        return 0

    def _remember(self, gate: int, fired: int) -> None:
        """Hold-off, then each detector that fired may leave a carrier in each kind of trap."""
        firing = [d for d in range(len(self.alive_from)) if fired >> d & 1]
        for d in firing:
            self.alive_from[d] = gate + int(self.traps.dead_gates[d]) + 1
        if self.traps.is_simultaneous:
            longest = max(int(self.traps.dead_gates[d]) for d in firing)
            self.alive_from = [gate + longest + 1] * len(self.alive_from)
        for d in firing:
            for kind, p_trap in enumerate(self.traps.p_trap[d]):
                if self.rng.uniform() < p_trap:
                    due = gate + 1 + self.rng.gap(float(self.traps.inverse_log_release[kind]), FAR)
                    if due >= self.alive_from[d]:
                        self.carriers.append((due, d))

    def behind(self) -> list[tuple[int, int, int, int, int]]:
        """The rows with signal and branch in place of setting and table: the twin of ``sparse_causes``."""
        return [self._behind(*row) for row in self.rows]

    def _behind(self, gate: int, pattern: int, marks: int, setting: int, table: int) -> tuple[int, int, int, int, int]:
        """Branch from its posterior; then the light's share of the marks, any subset, where the rest is noise."""
        branch_count, phase = self.causes.hidden.shape[3], table % len(self.causes.noise)
        branch = 0
        if branch_count > 1:
            level = self.rng.uniform()
            while branch < branch_count - 1 and level >= self.causes.hidden[table, setting, marks, branch]:
                branch += 1
        number = phase * branch_count + branch
        if not marks:
            return gate, pattern, marks, 0, number
        parts = [part for part in range(marks, -1, -1) if part & ~marks == 0]
        signal, noise = self.causes.signal[table, branch, setting], self.causes.noise[phase, branch]
        weights = [float(signal[part] * noise[marks ^ part]) for part in parts]
        total = 0.0
        for weight in weights:  # in this order: the compiled twin adds so
            total += weight
        level = self.rng.uniform() * total
        for part, weight in zip(parts, weights, strict=True):
            level -= weight
            if level < 0 or part == 0:
                return gate, pattern, marks, part, number
        raise AssertionError("the empty set is the last part")


def setting_of(gate: int, choice: Choice) -> int:
    """s = (intensity * 2 + basis) * 2 + bit of one slot."""
    words = philox((gate & MASK32, gate >> 32, Purpose.TRANSMITTER, choice.run), (choice.k0, choice.k1))
    intensity = int(np.searchsorted(choice.thresholds, np.uint64(words[0]), side="right"))
    basis = 0 if words[2] < choice.threshold_x else 1
    turned = words[3] >> 1 | (words[3] & 1) << 31
    bit = 0 if turned < (choice.zero_x, choice.zero_z)[basis] else 1
    return (intensity * 2 + basis) * 2 + bit


def phase_of(gate: int, pulses: Pulses) -> int:
    """Which pulsed attacks are on, one bit each.

    Example:
        >>> pulses = Pulses(period=np.array([10]), length=np.array([3]))
        >>> [phase_of(gate, pulses) for gate in (9, 10, 12, 13)]
        [0, 1, 1, 0]
    """
    on = gate % pulses.period < pulses.length
    return sum(1 << i for i, is_on in enumerate(on) if is_on)


def phase_end(gate: int, pulses: Pulses) -> int:
    """The first gate after this one in which a pulsed attack goes on or off.

    Example:
        >>> pulses = Pulses(period=np.array([10]), length=np.array([3]))
        >>> phase_end(11, pulses), phase_end(13, pulses)
        (13, 20)
    """
    ends = [gate + FAR]
    for period, length in zip(pulses.period.tolist(), pulses.length.tolist(), strict=True):
        into = gate % period
        ends.append(gate - into + (length if into < length else period))
    return min(ends)
