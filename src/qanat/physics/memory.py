"""What detectors remember: hold-off after a click, and carriers that a click leaves in traps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.datasheet import ReceiverSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorMemory:
    """The filter between marks and clicks, in gates.

    After a click in gate j the detector does not answer in gates j+1 .. j+dead_gates; with ``is_simultaneous`` no
    detector does, so that a dead detector never tilts the others' share. Each detector that clicks leaves a carrier
    in trap t with probability p_trap[t]; the carrier is released after 1, 2, ... gates with hazard p_release[t]
    per gate, and a release is a mark of that detector. A decay law is a mixture of such exponentials; a power law
    too: ``traps.traps_from_power_law``.

    Attributes:
        dead_gates: One number, or one per detector. Where all are held off, the longest of those that fired.
        p_trap: Per kind of trap: one number, or one per detector.
    """

    dead_gates: int | tuple[int, ...]
    p_trap: tuple[float | tuple[float, ...], ...] = ()
    p_release: tuple[float, ...] = ()
    is_simultaneous: bool = True

    def dead_gates_of(self, detector_count: int) -> NDArray[np.int64]:
        """Of each detector, shape (D,)."""
        return np.array(np.broadcast_to(np.asarray(self.dead_gates, dtype=np.int64), (detector_count,)))

    def p_trap_of(self, detector_count: int) -> NDArray[np.float64]:
        """Of each detector and kind, shape (D, T)."""
        columns = [np.broadcast_to(np.asarray(p, dtype=np.float64), (detector_count,)) for p in self.p_trap]
        return np.array(columns, dtype=np.float64).reshape(-1, detector_count).T.copy()


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
