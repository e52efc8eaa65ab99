"""The time tagger in slow, readable Python: the twin of ``kernels/timing.py``, equal to it bit for bit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from qanat.core.health import GAP_BIN_COUNT
from qanat.physics.clicks import Cause
from qanat.physics.plain import Xoshiro
from qanat.physics.squash import DRAWN, SILENT, Squash
from qanat.physics.tables import Wiring
from qanat.physics.timing import Clock


@dataclass(slots=True, kw_only=True)
class PlainRecorder:
    """One receiver's tagger. Events are (gate, channel, label, cause); clicks (gate, basis, bit, label, cause)."""

    clock: Clock
    wiring: Wiring
    squash: Squash
    rng: Xoshiro
    moments: list[list[float]]
    events: list[tuple[int, int, int, int]] = field(default_factory=list)
    gaps: list[int] = field(default_factory=lambda: [0] * GAP_BIN_COUNT)
    last_gate: int = -1
    double_count: int = 0
    silent_count: int = 0

    def add(self, gate: int, pattern: int, marks: int, signal: int, branch: int) -> None:
        """Give every click of a detector its time and put it behind the events of its gate."""
        for channel in range(pattern.bit_length()):
            if not pattern >> channel & 1:
                continue
            time, cause = self._time(channel, marks, signal, branch)
            landed, time = self._landed(gate, time)
            seen = self._nearest(time, channel)
            offset = time - float(self.clock.slot_ps[seen])
            moments = self.moments[int(self.wiring.channel_detector[channel])]
            for power in range(4):
                moments[power] += (1.0, offset, offset * offset, offset * offset * offset)[power]
            if landed < 0 or abs(offset) > self.clock.window_ps / 2:
                moments[4] += 1
                continue
            place = len(self.events)
            while place > 0 and self.events[place - 1][0] > landed:
                place -= 1
            self.events.insert(place, (landed, seen, int(self.clock.label[branch]), cause))

    def _time(self, channel: int, marks: int, signal: int, branch: int) -> tuple[float, Cause]:
        clock, d = self.clock, int(self.wiring.channel_detector[channel])
        if signal >> channel & 1:
            time = float(clock.mean_ps[branch, channel]) + float(clock.std_ps[branch, channel]) * self.rng.normal()
            if clock.p_tail[d] > 0 and self.rng.uniform() < clock.p_tail[d]:
                time += float(clock.tail_ps[d]) * self.rng.exponential()
            return time, Cause.LIGHT
        cause = Cause.NOISE if marks >> channel & 1 else Cause.AFTERPULSE
        return float(clock.slot_ps[channel]) + float(clock.width_ps[channel]) * (self.rng.uniform() - 0.5), cause

    def _landed(self, gate: int, time: float) -> tuple[int, float]:
        """The gate that the tag falls into and its time there; gate -1 when it is lost."""
        half = self.clock.gate_ps / 2
        if -half <= time < half:
            return gate, time
        shift = math.floor((time + half) / self.clock.gate_ps)
        time -= shift * self.clock.gate_ps
        return (gate + shift if abs(shift) <= self.clock.reach_gates else -1), time

    def _nearest(self, time: float, channel: int) -> int:
        d = int(self.wiring.channel_detector[channel])
        if self.wiring.own_count[d] == 1:
            return channel
        own = self.wiring.own_channel[d, : self.wiring.own_count[d]].tolist()
        return int(min(own, key=lambda c: abs(time - float(self.clock.slot_ps[c]))))

    def clicks(self, start: int, end: int) -> list[tuple[int, int, int, int, int]]:
        """Events before ``end`` become clicks, one per gate; those before ``start`` are lost."""
        ready = [event for event in self.events if event[0] < end]
        self.events = self.events[len(ready) :]
        found = []
        for gate in dict.fromkeys(event[0] for event in ready):
            together = [event for event in ready if event[0] == gate]
            outcome = self._outcome(sum({1 << channel for _, channel, _, _ in together})) if gate >= start else SILENT
            if outcome == SILENT:
                self.silent_count += gate >= start
                continue
            if self.last_gate >= 0:
                self.gaps[min((gate - self.last_gate).bit_length() - 1, GAP_BIN_COUNT - 1)] += 1
            self.last_gate = gate
            found.append((gate, outcome >> 1, outcome & 1, *together[0][2:]))
        return found

    def _outcome(self, pattern: int) -> int:
        outcome = int(self.squash.outcome[pattern])
        if outcome != SILENT:
            self.double_count += bool(self.squash.is_double[pattern])
        if outcome != DRAWN:
            return outcome
        level = self.rng.uniform()
        return next(k for k, total in enumerate(self.squash.cumulative[pattern]) if level < total)
