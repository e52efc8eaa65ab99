"""The dense oracle, compiled: every gate, every photon, one by one. See ``physics/dense.py``."""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.physics.kernels.generators import OPTIONS, setting_of, uniform
from qanat.physics.kernels.sparse import BRANCH, GATE, MARKS, PATTERN, SIGNAL, hold_off, phase_of


@njit(**OPTIONS)
def step_of(cumulative, level):  # type: ignore[no-untyped-def]
    """The first step of a rising staircase above the level; its size when the level is above them all."""
    step = 0
    while step < cumulative.size and level >= cumulative[step]:
        step += 1
    return step


@njit(**OPTIONS)
def photons_detected(number, prepared, fates, phase, h, state):  # type: ignore[no-untyped-def]
    """Follow each photon of a pulse to where it ends; the set of channels in which one is detected."""
    signal = 0
    for _ in range(number):
        if uniform(state) >= fates.transmittance[phase, h]:
            continue
        light = step_of(fates.states[phase, h, prepared], uniform(state))
        channel = step_of(fates.shares[phase, h, light], uniform(state))
        if channel < fates.efficiency.shape[2] and uniform(state) < fates.efficiency[phase, h, channel]:
            signal |= 1 << channel
    return signal


@njit(**OPTIONS)
def strays_detected(fates, phase, h, state):  # type: ignore[no-untyped-def]
    """Stray photons, already thinned to those detected, one by one."""
    hit = 0
    for _ in range(step_of(fates.stray_number[phase, h], uniform(state))):
        hit |= 1 << step_of(fates.stray_channel[phase, h], uniform(state))
    return hit


@njit(**OPTIONS)
def darks_detected(level, p_dark):  # type: ignore[no-untyped-def]
    """Which channels count dark, from one uniform number known to lie above P(none): the number is used up digit by
    digit, each channel taking its share of what is left."""
    hit = 0
    for channel in range(p_dark.size):
        quiet = 1.0 - p_dark[channel]
        if level < quiet:
            level /= quiet
        else:
            level = (level - quiet) / p_dark[channel]
            hit |= 1 << channel
    return hit


@njit(**OPTIONS)
def dense_clicks(  # type: ignore[no-untyped-def]
    start, end, choice, wiring, traps, pulses, fates, state, trapped, trapped_count, alive_from, out
):
    """Clicks in gates [start, end). Changes in place: state, trapped, alive_from, out.

    Returns:
        (clicks, carriers in traps, gate reached): the caller goes on from there when ``out`` is full.
    """
    clicks = 0
    branch_count = fates.p_branch.shape[1]
    detector_count = alive_from.size
    first_alive = alive_from.min()
    for gate in range(start, end):
        if clicks == out.shape[1]:
            return clicks, trapped_count, gate
        if gate < first_alive and trapped_count == 0:
            continue  # nothing can click and nothing is due
        pattern = 0
        signal = 0
        branch = 0
        if gate >= first_alive:
            s = setting_of(gate, choice.k0, choice.k1, choice.run, choice.thresholds, choice.threshold_x)
            phase = phase_of(gate, pulses)
            h = 0
            if branch_count > 1:
                h = step_of(fates.p_branch[phase], uniform(state))
            branch = phase * branch_count + h
            if fates.obeys[phase, h]:
                signal = step_of(fates.answers[phase, h, s & 3], uniform(state))
                pattern = signal
            else:
                level = uniform(state)
                if level >= fates.number[phase, h, s >> 2, 0]:
                    number = step_of(fates.number[phase, h, s >> 2], level)
                    signal = photons_detected(number, s & 3, fates, phase, h, state)
                    pattern = signal
                if fates.has_strays[phase, h]:
                    pattern |= strays_detected(fates, phase, h, state)
                level = uniform(state)
                if level >= fates.quiet[phase, h]:
                    pattern |= darks_detected(level, fates.p_dark[phase, h])
        marks = pattern
        if trapped_count > 0:
            for d in range(detector_count):
                for t in range(trapped.shape[1]):
                    for _ in range(trapped[d, t]):
                        if uniform(state) < traps.p_release[t]:
                            trapped[d, t] -= 1
                            trapped_count -= 1
                            own = 0
                            if wiring.own_count[d] > 1:
                                own = int(uniform(state) * wiring.own_count[d])
                            pattern |= 1 << wiring.own_channel[d, own]
        if pattern == 0 or gate < first_alive:
            continue
        alive = 0
        for d in range(detector_count):
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
        hold_off(fired, gate, traps, alive_from)
        first_alive = alive_from.min()
        for d in range(detector_count):
            if (fired >> d) & 1:
                for t in range(traps.p_release.size):
                    if uniform(state) < traps.p_trap[d, t]:
                        trapped[d, t] += 1
                        trapped_count += 1
    return clicks, trapped_count, end
