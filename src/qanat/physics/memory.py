"""What detectors remember: hold-off after a click, and carriers that a click leaves in traps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qanat.physics.datasheet import ReceiverSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorMemory:
    """The filter between marks and clicks, in gates.

    After a click in gate j no detector answers in gates j+1 .. j+dead_gates (simultaneous hold-off, so that a
    dead detector never tilts the other's share). Each detector that clicks leaves a carrier in trap t with
    probability p_trap[t]; the carrier is released after 1, 2, ... gates with hazard p_release[t] per gate, and
    a release is a mark of that detector.
    """

    dead_gates: int
    p_trap: tuple[float, ...] = ()
    p_release: tuple[float, ...] = ()

    @property
    def p_survivor(self) -> float:
        """Mean number of carriers per clicking detector that are released after the hold-off."""
        kinds = zip(self.p_trap, self.p_release, strict=True)
        return sum(p * (1 - hazard) ** self.dead_gates for p, hazard in kinds)


def memory_from_sheet(receiver: ReceiverSheet, *, clock_hz: float) -> DetectorMemory:
    """The datasheet's times in gates of this clock.

    Example:
        >>> from qanat.physics.datasheet import load_receiver
        >>> memory_from_sheet(load_receiver("ingaas-gated"), clock_hz=1e9).dead_gates
        1000
    """
    gate_ns = 1e9 / clock_hz
    return DetectorMemory(
        dead_gates=round(receiver.dead_time_ns / gate_ns),
        p_trap=receiver.p_trap,
        p_release=tuple(-math.expm1(-gate_ns / life_ns) for life_ns in receiver.trap_lifetime_ns),
    )
