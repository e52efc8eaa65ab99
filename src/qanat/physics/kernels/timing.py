"""From clicks of detectors to what the time tagger says: arrival times, gates, one basis and bit per gate."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from qanat.physics.kernels.generators import OPTIONS, exponential, normal, uniform
from qanat.physics.kernels.sparse import BRANCH, GATE, MARKS, PATTERN, SIGNAL

CHANNEL, LABEL, CAUSE = 1, 2, 3  # rows of ``events`` after GATE
LIGHT, NOISE, AFTERPULSE = 0, 1, 2


@njit(**OPTIONS)
def timed_events(clicked, clock, channel_detector, state, events, event_count, moments):  # type: ignore[no-untyped-def]
    """Give every click of a detector its time and put it, in the order of gates, behind the events already there.

    Changes in place: state, events, moments (per detector: count, sums of the offset's first three powers, clicks
    outside the window). Returns how many events there are now.
    """
    mean_ps, std_ps, slot_ps, width_ps, label = clock.mean_ps, clock.std_ps, clock.slot_ps, clock.width_ps, clock.label
    p_tail, tail_ps, is_slotted = clock.p_tail, clock.tail_ps, clock.is_slotted
    half = clock.gate_ps / 2
    for i in range(clicked.shape[1]):
        pattern, signal, branch = clicked[PATTERN, i], clicked[SIGNAL, i], clicked[BRANCH, i]
        channel = -1
        while pattern != 0:
            channel += 1
            is_marked = pattern & 1
            pattern >>= 1
            if is_marked == 0:
                continue
            d = channel_detector[channel]
            gate = clicked[GATE, i]
            if (signal >> channel) & 1:
                cause = LIGHT
                time = mean_ps[branch, channel] + std_ps[branch, channel] * normal(state)
                if p_tail[d] > 0.0 and uniform(state) < p_tail[d]:
                    time += tail_ps[d] * exponential(state)
            else:
                cause = NOISE if (clicked[MARKS, i] >> channel) & 1 else AFTERPULSE
                time = slot_ps[channel] + width_ps[channel] * (uniform(state) - 0.5)
            seen = channel
            if time < -half or time >= half:
                shift = np.int64(math.floor((time + half) / clock.gate_ps))
                time -= shift * clock.gate_ps
                gate += shift
                if abs(shift) > clock.reach_gates:
                    gate = -1
            if is_slotted[d]:
                seen = nearest_channel(time, d, slot_ps, clock.own_channel, clock.own_count)
            offset = time - slot_ps[seen]
            moments[d, 0] += 1
            moments[d, 1] += offset
            moments[d, 2] += offset * offset
            moments[d, 3] += offset * offset * offset
            if gate < 0 or abs(offset) > clock.window_ps / 2:
                moments[d, 4] += 1
                continue
            place = event_count
            while place > 0 and events[GATE, place - 1] > gate:
                for row in range(4):
                    events[row, place] = events[row, place - 1]
                place -= 1
            events[GATE, place] = gate
            events[CHANNEL, place] = seen
            events[LABEL, place] = label[branch]
            events[CAUSE, place] = cause
            event_count += 1
    return event_count


@njit(**OPTIONS)
def nearest_channel(time, detector, slot_ps, own_channel, own_count):  # type: ignore[no-untyped-def]
    """The detector's channel whose slot lies nearest."""
    best = own_channel[detector, 0]
    for k in range(1, own_count[detector]):
        other = own_channel[detector, k]
        if abs(time - slot_ps[other]) < abs(time - slot_ps[best]):
            best = other
    return best


@njit(**OPTIONS)
def merged_events(events, event_count, start, end, squash, state, last_gate, gaps, out):  # type: ignore[no-untyped-def]
    """Events before ``end`` become clicks, one per gate: basis, bit, label, cause in the rows of ``out``.

    Events before ``start`` are lost: their gates were told already, or were never sent.

    Returns:
        (clicks, double clicks, gates that say nothing, events used, last gate).
    """
    outcome_of, cumulative, double_of = squash.outcome, squash.cumulative, squash.is_double
    clicks, doubles, silent, used = 0, 0, 0, 0
    while used < event_count and events[GATE, used] < end:
        gate = events[GATE, used]
        first = used
        pattern = 0
        while used < event_count and events[GATE, used] == gate:
            pattern |= 1 << events[CHANNEL, used]
            used += 1
        if gate < start:
            continue
        outcome = outcome_of[pattern]
        if outcome == -2:
            silent += 1
            continue
        if outcome == -1:
            doubles += 1
            level = uniform(state)
            outcome = 0
            while level >= cumulative[pattern, outcome]:
                outcome += 1
        elif double_of[pattern]:
            doubles += 1
        gap, k = gate - last_gate, 0
        if last_gate >= 0:
            while gap > 1 and k < gaps.size - 1:
                gap >>= 1
                k += 1
            gaps[k] += 1
        last_gate = gate
        out[0, clicks] = gate
        out[1, clicks] = outcome >> 1
        out[2, clicks] = outcome & 1
        out[3, clicks] = events[LABEL, first]
        out[4, clicks] = events[CAUSE, first]
        clicks += 1
    return clicks, doubles, silent, used, last_gate
