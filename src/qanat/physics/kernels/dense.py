"""The dense oracle, compiled: every gate, every photon, one by one. See ``physics/dense.py``."""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.physics.kernels.generators import OPTIONS, fill_settings, fill_words, uniform
from qanat.physics.kernels.sparse import BRANCH, GATE, MARKS, PATTERN, SIGNAL, hold_off, phase_end, phase_of

_BLOCK = 128
_UNIT = 2.0**-53


@njit(**OPTIONS)
def step_of(record, branch, first, size, level):  # type: ignore[no-untyped-def]
    """The first step above the level of a staircase that begins at ``first``; ``size`` when it is above them all."""
    step = 0
    while step < size and level >= record[branch, first + step]:
        step += 1
    return step


@njit(**OPTIONS)
def photons_detected(number, prepared, record, branch, at, state):  # type: ignore[no-untyped-def]
    """Follow each photon of a pulse to where it ends; the set of channels in which one is detected."""
    signal = 0
    for _ in range(number):
        if uniform(state) >= record[branch, at.transmittance]:
            continue
        light = step_of(record, branch, at.states + prepared * at.state_count, at.state_count, uniform(state))
        shares = at.shares + light * at.channel_count
        channel = step_of(record, branch, shares, at.channel_count, uniform(state))
        if channel < at.channel_count and uniform(state) < record[branch, at.efficiency + channel]:
            signal |= 1 << channel
    return signal


@njit(**OPTIONS)
def darks_detected(level, record, branch, at):  # type: ignore[no-untyped-def]
    """Which channels count dark, from one uniform number known to lie above P(none): the number is used up digit by
    digit, each channel taking its share of what is left."""
    hit = 0
    for channel in range(at.channel_count):
        p_dark = record[branch, at.p_dark + channel]
        if level < 1.0 - p_dark:
            level /= 1.0 - p_dark
        else:
            level = (level - (1.0 - p_dark)) / p_dark
            hit |= 1 << channel
    return hit


@njit(**OPTIONS)
def marks_of(level, s, record, branch, at, state):  # type: ignore[no-untyped-def]
    """All that one gate's light and noise do: (channels marked, channels marked by the light).

    ``level`` is one uniform number, used up digit by digit: darks, strays, photon number. What it has decided it
    is freed of, or another is drawn.
    """
    if record[branch, at.obeys] > 0.0:
        signal = step_of(record, branch, at.answers + (s & 3) * at.pattern_count, at.pattern_count, level)
        return signal, signal
    noise = 0
    quiet = record[branch, at.quiet]
    if level < quiet:
        level *= record[branch, at.inverse_quiet]
    else:
        noise = darks_detected(level, record, branch, at)
        level = uniform(state)
    none = record[branch, at.stray_number]
    if level < none:
        level *= record[branch, at.inverse_none]
    else:
        for _ in range(step_of(record, branch, at.stray_number, at.stray_count, level)):
            noise |= 1 << step_of(record, branch, at.stray_channel, at.channel_count, uniform(state))
        level = uniform(state)
    number = step_of(record, branch, at.number + (s >> 2) * at.number_count, at.number_count, level)
    signal = photons_detected(number, s & 3, record, branch, at, state)
    return signal | noise, signal


@njit(**OPTIONS)
def releases(trapped, traps, wiring, state):  # type: ignore[no-untyped-def]
    """One gate of every trapped carrier's life: (channels in which one was released, how many were)."""
    pattern, count = 0, 0
    for d in range(trapped.shape[0]):
        for t in range(trapped.shape[1]):
            for _ in range(trapped[d, t]):
                if uniform(state) < traps.p_release[t]:
                    trapped[d, t] -= 1
                    count += 1
                    own = 0
                    if wiring.own_count[d] > 1:
                        own = int(uniform(state) * wiring.own_count[d])
                    pattern |= 1 << wiring.own_channel[d, own]
    return pattern, count


@njit(**OPTIONS)
def trap_carriers(fired, trapped, traps, state):  # type: ignore[no-untyped-def]
    """Detectors that fired may leave carriers; how many did."""
    count = 0
    for d in range(trapped.shape[0]):
        if (fired >> d) & 1:
            for t in range(trapped.shape[1]):
                if uniform(state) < traps.p_trap[d, t]:
                    trapped[d, t] += 1
                    count += 1
    return count


@njit(**OPTIONS)
def dense_clicks(  # type: ignore[no-untyped-def]
    start, end, choice, wiring, traps, pulses, fates, state, lanes, trapped, alive_from, out
):
    """Clicks in gates [start, end). Changes in place: state, lanes, trapped, alive_from, out.

    Settings and the first random number of each gate are made a block at a time; ``fates.empty`` then tells the gates
    in which nothing is emitted, strays or counts dark.

    Returns:
        (clicks, gate reached): the caller goes on from there when ``out`` is full.
    """
    clicks = 0
    record, at = fates.record, fates.at
    period, length = pulses.period, pulses.length
    branch_count = fates.branch_word.shape[1]
    settings, levels = np.empty(_BLOCK, dtype=np.uint64), np.empty(_BLOCK, dtype=np.uint64)
    choices = np.zeros(_BLOCK, dtype=np.uint64)
    carriers = trapped.sum()
    first_alive = alive_from.min()
    phase, phase_last = 0, start - 1
    for block in range(start, end, _BLOCK):
        if block + _BLOCK <= first_alive and carriers == 0:
            continue  # all are dead and nothing is due
        fill_settings(block, choice, levels, settings)
        fill_words(lanes, levels)
        if branch_count > 1:
            fill_words(lanes, choices)
        for i in range(min(_BLOCK, end - block)):
            gate = block + i
            pattern, signal, branch = 0, 0, 0
            if gate >= first_alive:
                if gate > phase_last and period.size > 0:
                    phase, phase_last = phase_of(gate, period, length), phase_end(gate, period, length) - 1
                s = np.int64(settings[i])
                branch = phase * branch_count
                for h in range(branch_count - 1):
                    branch += choices[i] >= fates.branch_word[phase, h]
                if levels[i] >= fates.empty[branch, s >> 2]:
                    pattern, signal = marks_of(np.int64(levels[i]) * _UNIT, s, record, branch, at, state)
            marks = pattern
            if carriers > 0:
                freed, count = releases(trapped, traps, wiring, state)
                pattern |= freed
                carriers -= count
            if pattern == 0 or gate < first_alive:
                continue
            alive = 0
            for d in range(alive_from.size):
                if alive_from[d] <= gate:
                    alive |= 1 << d
            pattern = wiring.earliest[pattern & wiring.channels_of[alive]]
            if pattern == 0:
                continue
            out[GATE, clicks] = gate
            out[PATTERN, clicks] = pattern
            out[MARKS, clicks] = marks
            out[SIGNAL, clicks] = signal
            out[BRANCH, clicks] = branch
            clicks += 1
            fired = wiring.detectors_of[pattern]
            hold_off(fired, gate, traps.dead_gates, traps.is_simultaneous, alive_from)
            first_alive = alive_from.min()
            carriers += trap_carriers(fired, trapped, traps, state)
            if clicks == out.shape[1]:
                return clicks, gate + 1
    return clicks, end
