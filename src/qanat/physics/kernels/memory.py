"""Detector memory as a filter on marks that were drawn beforehand, compiled; told slowly in ``plain_memory.py``."""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.physics.kernels.generators import OPTIONS, gap_of, uniform
from qanat.physics.kernels.sparse import OK, TRAPS_FULL, hold_off

_FAR = np.int64(1) << 60


@njit(**OPTIONS)
def remembered(end, gates, marks, traps, state, carriers, carrier_count, alive_from, out):  # type: ignore[no-untyped-def]
    """Clicks before gate ``end`` of detectors marked in these gates. Changes state, carriers, alive_from, out.

    Returns:
        (clicks, carriers left, status). ``out`` (rows gate, pattern) must hold as many clicks as can be.
    """
    dead_gates, p_trap, inverse_log_release = traps.dead_gates, traps.p_trap, traps.inverse_log_release
    clicks = 0
    i = 0
    while True:
        released = end
        kept = 0
        for c in range(carrier_count):
            if carriers[0, c] >= alive_from[carriers[1, c]]:
                carriers[0, kept] = carriers[0, c]
                carriers[1, kept] = carriers[1, c]
                kept += 1
                released = min(released, carriers[0, c])
        carrier_count = kept
        gate = released
        if i < gates.size:
            gate = min(gate, gates[i])
        if gate >= end:
            return clicks, carrier_count, OK
        pattern = np.int64(0)
        if i < gates.size and gates[i] == gate:
            for d in range(alive_from.size):
                if (marks[i] >> d) & 1 and alive_from[d] <= gate:
                    pattern |= 1 << d
            i += 1
        kept = 0
        for c in range(carrier_count):
            if carriers[0, c] == gate:
                pattern |= 1 << carriers[1, c]
            else:
                carriers[0, kept] = carriers[0, c]
                carriers[1, kept] = carriers[1, c]
                kept += 1
        carrier_count = kept
        if pattern == 0:
            continue
        out[0, clicks] = gate
        out[1, clicks] = pattern
        clicks += 1
        hold_off(pattern, gate, dead_gates, traps.is_simultaneous, alive_from)
        for d in range(alive_from.size):
            if (pattern >> d) & 1:
                for t in range(p_trap.shape[1]):
                    if uniform(state) < p_trap[d, t]:
                        due = gate + 1 + gap_of(state, inverse_log_release[t], _FAR)
                        if due >= alive_from[d]:
                            if carrier_count == carriers.shape[1]:
                                return clicks, carrier_count, TRAPS_FULL
                            carriers[0, carrier_count] = due
                            carriers[1, carrier_count] = d
                            carrier_count += 1
