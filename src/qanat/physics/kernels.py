"""The compiled kernels. This is the only file of the room that imports numba; import it where it is needed.

Every kernel has a slow twin: ``plain.py`` for the generators and the sparse sampler, ``dense.py`` is itself the
slow oracle. Integers are uint64 throughout the generators, because numba turns a mix of signed and unsigned
64-bit numbers into floats.
"""

# ruff: noqa: PLR0917 - numba kernels take plain columns and numbers by position
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "nogil": True}

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_UNIT = 2.0**-53

OK, OUT_FULL, BOUND_BROKEN, TRAPS_FULL = 0, 1, 2, 3


@njit(**OPTIONS)
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox4x32-10, words held in uint64."""
    for _ in range(10):
        first, second = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (second >> _HALF) ^ c1 ^ k0, second & _LOW, (first >> _HALF) ^ c3 ^ k1, first & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(**OPTIONS)
def setting_of(gate, k0, k1, run, thresholds, threshold_x):  # type: ignore[no-untyped-def]
    """s = (intensity * 2 + basis) * 2 + bit of one slot; counter word 2 is Purpose.TRANSMITTER = 0."""
    slot = np.uint64(gate)
    w0, _, w2, w3 = philox(slot & _LOW, slot >> _HALF, np.uint64(0), np.uint64(run), np.uint64(k0), np.uint64(k1))
    intensity = 0
    while w0 >= thresholds[intensity]:  # ends: the last threshold is 2**32
        intensity += 1
    basis = 0 if w2 < np.uint64(threshold_x) else 1
    return (intensity * 2 + basis) * 2 + np.int64(w3 & np.uint64(1))


@njit(**OPTIONS)
def settings_at(index, k0, k1, run, thresholds, threshold_x):  # type: ignore[no-untyped-def]
    """``setting_of`` for a column of slots, as uint8."""
    out = np.empty(index.size, dtype=np.uint8)
    for i in range(index.size):
        out[i] = setting_of(index[i], k0, k1, run, thresholds, threshold_x)
    return out


@njit(**OPTIONS)
def next_word(state):  # type: ignore[no-untyped-def]
    """xoshiro256++; ``state`` is uint64[4], changed in place."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    total = s0 + s3
    out = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    t = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    state[0], state[1], state[2] = s0, s1, s2
    state[3] = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return out


@njit(**OPTIONS)
def uniform(state):  # type: ignore[no-untyped-def]
    """In [0, 1), 53 bits."""
    return np.int64(next_word(state) >> np.uint64(11)) * _UNIT


@njit(**OPTIONS)
def gap_of(state, inverse_log, most):  # type: ignore[no-untyped-def]
    """Geometric gap 0, 1, 2, ..., cut off at ``most``; see plain.Xoshiro.gap."""
    if inverse_log == 0.0:
        return most
    gap = math.log((np.int64(next_word(state) >> np.uint64(11)) + 1) * _UNIT) * inverse_log
    return np.int64(gap) if gap < most else most


@njit(**OPTIONS)
def sparse_clicks(  # type: ignore[no-untyped-def]
    start,
    end,
    k0,
    k1,
    run,
    thresholds,
    threshold_x,
    cumulative,
    pattern_of,
    p_max,
    inverse_log_max,
    dead_gates,
    p_trap,
    inverse_log_release,
    state,
    carrier_gate,
    carrier_detector,
    carrier_count,
    alive_from,
    out_gate,
    out_pattern,
):
    """Clicks in gates [start, end); the steps are told in plain.sparse_clicks.

    Changes in place: state, carrier_gate, carrier_detector, out_gate, out_pattern.

    Returns:
        (clicks, candidates, carriers left, gate from which detectors answer, status). With OUT_FULL, all gates
        before the returned alive_from are settled and the caller goes on from there.
    """
    last = cumulative.shape[1] - 1
    clicks = 0
    candidates = 0
    first = max(start, alive_from)
    candidate = end if first >= end else first + gap_of(state, inverse_log_max, end - first)
    while True:
        # Forget releases that fell into a hold-off; find the earliest of the rest.
        released = end
        kept = 0
        floor = max(start, alive_from)
        for c in range(carrier_count):
            if carrier_gate[c] >= floor:
                carrier_gate[kept] = carrier_gate[c]
                carrier_detector[kept] = carrier_detector[c]
                kept += 1
                released = min(released, carrier_gate[c])
        carrier_count = kept
        gate = min(candidate, released)
        # Before looking at the pending candidate: dropping it depending on where it lies would tilt the law.
        if clicks == out_gate.size:
            return clicks, candidates, carrier_count, alive_from, OUT_FULL
        if gate >= end:
            return clicks, candidates, carrier_count, alive_from, OK
        pattern = 0
        if gate == candidate:
            candidates += 1
            s = setting_of(gate, k0, k1, run, thresholds, threshold_x)
            if cumulative[s, last] > p_max:
                return clicks, candidates, carrier_count, alive_from, BOUND_BROKEN
            level = uniform(state) * p_max
            if level < cumulative[s, last]:
                rank = 0
                while level >= cumulative[s, rank]:
                    rank += 1
                pattern = pattern_of[s, rank]
        if gate == released:
            kept = 0
            for c in range(carrier_count):
                if carrier_gate[c] == gate:
                    pattern |= 1 << carrier_detector[c]
                else:
                    carrier_gate[kept] = carrier_gate[c]
                    carrier_detector[kept] = carrier_detector[c]
                    kept += 1
            carrier_count = kept
        if pattern != 0:
            out_gate[clicks] = gate
            out_pattern[clicks] = pattern
            clicks += 1
            alive_from = gate + dead_gates + 1
            for d in range(4):
                if (pattern >> d) & 1:
                    for t in range(p_trap.size):
                        if uniform(state) < p_trap[t]:
                            delay = 1 + gap_of(state, inverse_log_release[t], np.int64(1) << 60)
                            if delay > dead_gates:
                                if carrier_count == carrier_gate.size:
                                    return clicks, candidates, carrier_count, alive_from, TRAPS_FULL
                                carrier_gate[carrier_count] = gate + delay
                                carrier_detector[carrier_count] = d
                                carrier_count += 1
        first = max(gate + 1, alive_from)
        candidate = end if first >= end else first + gap_of(state, inverse_log_max, end - first)


@njit(**OPTIONS)
def squash(pattern, p_x, state, out_basis, out_bit):  # type: ignore[no-untyped-def]
    """One basis and bit per click; returns how many slots had several detectors clicking. See squash.py."""
    doubles = 0
    for i in range(pattern.size):
        marks = pattern[i]
        if marks & (marks - 1) == 0:  # a single detector
            d = 0
            while marks > 1:
                marks >>= 1
                d += 1
            out_basis[i] = d >> 1
            out_bit[i] = d & 1
            continue
        doubles += 1
        if marks == 3:
            out_basis[i] = 0
        elif marks == 12:
            out_basis[i] = 1
        else:
            out_basis[i] = 0 if uniform(state) < p_x else 1
        out_bit[i] = np.int64(next_word(state) >> np.uint64(63))
    return doubles


@njit(**OPTIONS)
def _poisson(state, mean):  # type: ignore[no-untyped-def]
    """By products of uniforms (Knuth); means here are of order one."""
    limit = math.exp(-mean)
    count = 0
    product = 1.0 - uniform(state)
    while product > limit:
        count += 1
        product *= 1.0 - uniform(state)
    return count


@njit(**OPTIONS)
def dense_clicks(  # type: ignore[no-untyped-def]
    start,
    end,
    k0,
    k1,
    run,
    thresholds,
    threshold_x,
    intensities,
    p_arrive,
    p_x,
    misalignment,
    efficiency,
    p_dark,
    intercepts,
    stray_mean,
    dead_gates,
    p_trap,
    p_release,
    state,
    trapped,
    dead_left,
    out_gate,
    out_pattern,
):
    """Every gate, every photon, one by one. The oracle of the sparse sampler; see dense.py.

    ``trapped`` is int64[4 detectors, kinds of trap], changed in place. Returns (clicks, dead gates left).
    """
    clicks = 0
    fates = np.empty(intercepts.size, dtype=np.int64)
    for gate in range(start, end):
        s = setting_of(gate, k0, k1, run, thresholds, threshold_x)
        # Eve decides once per pulse whether she takes part, and in which basis (-1: she does not).
        for a in range(intercepts.size):
            fates[a] = -1
            if uniform(state) < intercepts[a]:
                fates[a] = 0 if uniform(state) < 0.5 else 1
        pattern = 0
        for _ in range(_poisson(state, intensities[s >> 2])):
            basis, bit = (s >> 1) & 1, s & 1
            for a in range(fates.size):
                if fates[a] >= 0 and fates[a] != basis:
                    basis, bit = fates[a], (0 if uniform(state) < 0.5 else 1)
            if uniform(state) >= p_arrive:
                continue
            arm = 0 if uniform(state) < p_x else 1
            if arm != basis:
                seen = 0 if uniform(state) < 0.5 else 1
            else:
                seen = bit ^ 1 if uniform(state) < misalignment else bit
            if uniform(state) < efficiency[arm * 2 + seen]:
                pattern |= 1 << (arm * 2 + seen)
        for _ in range(_poisson(state, stray_mean)):
            arm = 0 if uniform(state) < p_x else 1
            seen = 0 if uniform(state) < 0.5 else 1
            if uniform(state) < efficiency[arm * 2 + seen]:
                pattern |= 1 << (arm * 2 + seen)
        for d in range(4):
            if uniform(state) < p_dark[d]:
                pattern |= 1 << d
            for t in range(p_trap.size):
                for _ in range(trapped[d, t]):
                    if uniform(state) < p_release[t]:
                        trapped[d, t] -= 1
                        pattern |= 1 << d
        if dead_left > 0:
            dead_left -= 1
        elif pattern != 0:
            out_gate[clicks] = gate
            out_pattern[clicks] = pattern
            clicks += 1
            dead_left = dead_gates
            for d in range(4):
                if (pattern >> d) & 1:
                    for t in range(p_trap.size):
                        if uniform(state) < p_trap[t]:
                            trapped[d, t] += 1
    return clicks, dead_left
