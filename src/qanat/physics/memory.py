"""What detectors remember: hold-off after a click, and carriers that a click leaves in traps."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.families.sheets import TIME_BIN, three_detectors
from qanat.physics.sheets import ReceiverSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorMemory:
    """The filter between marks and clicks, in gates.

    After a click in gate j the detector does not answer in gates j+1 .. j+dead_gates; with ``is_simultaneous`` no
    detector does, so that a dead detector never tilts the others' share. Each detector that clicks leaves a carrier
    in trap t with probability p_trap[t]; the carrier is released after 1, 2, ... gates with hazard p_release[t]
    per gate, and a release is a mark of that detector. A decay law is a mixture of such exponentials; a power law
    too: ``traps_of_power_law``.

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
    dead_times_ns = three_detectors(receiver.dead_time_ns) if receiver.family == TIME_BIN else receiver.dead_time_ns
    dead_gates = tuple(round(dead_time_ns / gate_ns) for dead_time_ns in dead_times_ns)
    return DetectorMemory(
        dead_gates=dead_gates[0] if receiver.is_hold_off_common else dead_gates,
        is_simultaneous=receiver.is_hold_off_common,
        p_trap=receiver.p_trap,
        p_release=tuple(-math.expm1(-gate_ns / life_ns) for life_ns in receiver.trap_lifetime_ns),
    )


def traps_of_power_law(
    *, p_total: float, exponent: float, first_gates: float, last_gates: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(p_trap, p_release) whose release rate falls as t**-exponent between these delays, as some diodes' do.

    A power law is a mixture of exponentials, t**-a = integral of s**(a - 1) exp(-s t) ds / Gamma(a): one trap per
    octave of lifetime, four octaves beyond either end, with weight lifetime**(1 - a). Between the two delays the rate
    stays within 6 % of the law for exponents of 1 to 1.5, as diodes show (tests/physics/test_memory.py); flatter laws
    lack carriers at the late end, 30 % of the rate at an exponent of 0.5.

    Source: Itzler, Jiang, Entwistle, J. Mod. Opt. 59, 1472 (2012), afterpulses of InGaAs diodes as a power law.
    """
    octaves = math.ceil(math.log2(last_gates / first_gates)) + 8
    lives = [first_gates * 2.0 ** (k - 4) for k in range(octaves + 1)]
    weights = [life ** (1 - exponent) for life in lives]
    total = sum(weights)
    return tuple(p_total * w / total for w in weights), tuple(-math.expm1(-1 / life) for life in lives)
