"""The sparse sampler, compiled; its steps are told slowly in ``plain_sparse.py``.

Clicks are columns of an array with rows gate, pattern (channels that clicked), marks (what light and noise marked, dead
detectors included), setting, table; ``sparse_causes`` puts signal (which marks were the light's) and branch in the
place of the last two.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.physics.kernels.generators import OPTIONS, gap_of, setting_of, uniform

OK, OUT_FULL, BOUND_BROKEN, TRAPS_FULL = 0, 1, 2, 3
GATE, PATTERN, MARKS, SETTING, TABLE = 0, 1, 2, 3, 4
SIGNAL, BRANCH = 3, 4
_FAR = np.int64(1) << 60


@njit(**OPTIONS)
def phase_of(gate, period, length):  # type: ignore[no-untyped-def]
    """Which pulsed attacks are on, one bit each."""
    phase = 0
    for i in range(period.size):
        if gate % period[i] < length[i]:
            phase |= 1 << i
    return phase


@njit(**OPTIONS)
def phase_end(gate, period, length):  # type: ignore[no-untyped-def]
    """The first gate after this one in which a pulsed attack goes on or off."""
    end = gate + _FAR
    for i in range(period.size):
        into = gate % period[i]
        edge = length[i] if into < length[i] else period[i]
        end = min(end, gate - into + edge)
    return end


@njit(**OPTIONS)
def sparse_clicks(  # type: ignore[no-untyped-def]
    start, end, choice, wiring, traps, pulses, marks, state, carriers, carrier_count, alive_from, out
):
    """Clicks in gates [start, end). Changes in place: state, carriers, alive_from, out.

    Returns:
        (clicks, candidates, carriers left, gate reached, status). With OUT_FULL, all gates before the gate reached
        are settled and the caller goes on from there.
    """
    # A kernel pays for every array that it takes out of a tuple: once, here.
    thresholds, channels_of, detectors_of, earliest = (
        choice.thresholds,
        wiring.channels_of,
        wiring.detectors_of,
        wiring.earliest,
    )
    own_channel, own_count = wiring.own_channel, wiring.own_count
    dead_gates, p_trap, inverse_log_release = traps.dead_gates, traps.p_trap, traps.inverse_log_release
    period, length = pulses.period, pulses.length
    cumulative, pattern_of, row_of_alive = marks.cumulative, marks.pattern, marks.row_of_alive
    p_bound, inverse_log_bound = marks.p_bound, marks.inverse_log_bound
    detector_count = alive_from.size
    phase_count = p_bound.shape[1]
    last = cumulative.shape[2] - 1
    everyone = (1 << detector_count) - 1
    alive = everyone
    phase = 0
    clicks = 0
    candidates = 0
    position = start
    while True:
        if clicks == out.shape[1]:  # before any draw: dropping a drawn candidate for where it lies would tilt the law
            return clicks, candidates, carrier_count, position, OUT_FULL
        alive = 0
        horizon = end
        for d in range(detector_count):
            if alive_from[d] <= position:
                alive |= 1 << d
            else:
                horizon = min(horizon, alive_from[d])
        if marks.stops_at_phases:
            horizon = min(horizon, phase_end(position, period, length))
        # Forget releases into a hold-off; find the earliest of the rest.
        released = end
        kept = 0
        for c in range(carrier_count):
            if carriers[0, c] >= max(position, alive_from[carriers[1, c]]):
                carriers[0, kept] = carriers[0, c]
                carriers[1, kept] = carriers[1, c]
                kept += 1
                released = min(released, carriers[0, c])
        carrier_count = kept
        row = row_of_alive[alive]
        table = row * phase_count
        bound, inverse_log = 0.0, 0.0
        if alive != 0 and position < horizon:
            if phase_count > 1:
                phase = phase_of(position, period, length)
            bound, inverse_log = p_bound[row, phase], inverse_log_bound[row, phase]
        # Candidate after candidate, until one is marked, a carrier is released or something changes.
        marked = 0
        s = 0
        while True:
            candidate = horizon
            if alive != 0 and position < horizon:
                candidate = position + gap_of(state, inverse_log, horizon - position)
            gate = min(candidate, released)
            if gate >= horizon:
                break
            s = setting_of(
                gate, choice.k0, choice.k1, choice.run, thresholds, choice.threshold_x, choice.zero_x, choice.zero_z
            )
            if phase_count > 1:
                table = row * phase_count + phase_of(gate, period, length)
            if gate == candidate:
                candidates += 1
                if cumulative[table, s, last] > bound:
                    return clicks, candidates, carrier_count, position, BOUND_BROKEN
                level = uniform(state) * bound
                if level < cumulative[table, s, last]:
                    rank = 0
                    while level >= cumulative[table, s, rank]:
                        rank += 1
                    marked = pattern_of[table, s, rank]
            if marked != 0 or gate == released or gate + 1 >= horizon:
                break
            position = gate + 1
        if gate >= horizon:
            if horizon >= end:
                return clicks, candidates, carrier_count, end, OK
            position = horizon
            continue
        pattern = marked & channels_of[alive]
        if gate == released:
            kept = 0
            for c in range(carrier_count):
                if carriers[0, c] == gate:
                    d = carriers[1, c]
                    own = 0
                    if own_count[d] > 1:
                        own = int(uniform(state) * own_count[d])
                    pattern |= 1 << own_channel[d, own]
                else:
                    carriers[0, kept] = carriers[0, c]
                    carriers[1, kept] = carriers[1, c]
                    kept += 1
            carrier_count = kept
        if pattern != 0:
            pattern = earliest[pattern]
            out[GATE, clicks] = gate
            out[PATTERN, clicks] = pattern
            out[MARKS, clicks] = marked
            out[SETTING, clicks] = s
            out[TABLE, clicks] = table
            clicks += 1
            fired = detectors_of[pattern]
            hold_off(fired, gate, dead_gates, traps.is_simultaneous, alive_from)
            for d in range(detector_count):
                if (fired >> d) & 1:
                    for t in range(p_trap.shape[1]):
                        if uniform(state) < p_trap[d, t]:
                            due = gate + 1 + gap_of(state, inverse_log_release[t], _FAR)
                            if due >= alive_from[d]:
                                if carrier_count == carriers.shape[1]:
                                    return clicks, candidates, carrier_count, position, TRAPS_FULL
                                carriers[0, carrier_count] = due
                                carriers[1, carrier_count] = d
                                carrier_count += 1
        position = gate + 1


@njit(**OPTIONS)
def hold_off(fired, gate, dead_gates, is_simultaneous, alive_from):  # type: ignore[no-untyped-def]
    """The detectors that fired are dead for a while; all of them where the hold-off is common."""
    longest = 0
    for d in range(alive_from.size):
        if (fired >> d) & 1:
            longest = max(longest, dead_gates[d])
            alive_from[d] = gate + dead_gates[d] + 1
    if is_simultaneous:
        for d in range(alive_from.size):
            alive_from[d] = gate + longest + 1


@njit(**OPTIONS)
def sparse_causes(clicked, causes, state):  # type: ignore[no-untyped-def]
    """Draw, after the marks, which branch each gate took and which of its marks were the light's; see plain_sparse.py.

    In ``clicked`` settings and table give way to what was drawn from them.
    """
    hidden, signal, noise = causes.hidden, causes.signal, causes.noise
    branch_count = hidden.shape[3]
    phase_count = noise.shape[0]
    for i in range(clicked.shape[1]):
        marks, s, table = clicked[MARKS, i], clicked[SETTING, i], clicked[TABLE, i]
        h = 0
        if branch_count > 1:
            level = uniform(state)
            while h < branch_count - 1 and level >= hidden[table, s, marks, h]:
                h += 1
        phase = table % phase_count
        clicked[BRANCH, i] = phase * branch_count + h
        clicked[SIGNAL, i] = 0
        if marks == 0:
            continue
        # The law of the light's part: any subset, where the rest is noise; subsets in falling order.
        total = 0.0
        part = marks
        while True:
            total += signal[table, h, s, part] * noise[phase, h, marks ^ part]
            if part == 0:
                break
            part = (part - 1) & marks
        level = uniform(state) * total
        part = marks
        while part != 0:
            level -= signal[table, h, s, part] * noise[phase, h, marks ^ part]
            if level < 0.0:
                break
            part = (part - 1) & marks
        clicked[SIGNAL, i] = part
