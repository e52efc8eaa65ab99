"""Chance, compiled: Philox for what was prepared, xoshiro256++ for the samplers' own luck.

Integers are uint64 throughout, because numba turns a mix of signed and unsigned 64-bit numbers into floats.
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
_ONE, _TOP = np.uint64(1), np.uint64(31)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_UNIT = 2.0**-53
_TURN = 2.0 * math.pi


@njit(**OPTIONS)
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox4x32-10, words held in uint64."""
    for _ in range(10):
        first, second = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (second >> _HALF) ^ c1 ^ k0, second & _LOW, (first >> _HALF) ^ c3 ^ k1, first & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@njit(**OPTIONS)
def setting_of(gate, k0, k1, run, thresholds, threshold_x, zero_x, zero_z):  # type: ignore[no-untyped-def]
    """s = (intensity * 2 + basis) * 2 + bit of one slot; counter word 2 is Purpose.TRANSMITTER = 0."""
    slot = np.uint64(gate)
    w0, _, w2, w3 = philox(slot & _LOW, slot >> _HALF, np.uint64(0), np.uint64(run), np.uint64(k0), np.uint64(k1))
    intensity = 0
    while w0 >= thresholds[intensity]:  # ends: the last threshold is 2**32
        intensity += 1
    basis = 0 if w2 < np.uint64(threshold_x) else 1
    zero = np.uint64(zero_x) if basis == 0 else np.uint64(zero_z)
    turned = (w3 >> _ONE) | ((w3 & _ONE) << _TOP)
    return (intensity * 2 + basis) * 2 + np.int64(turned >= zero)


@njit(**OPTIONS)
def settings_at(index, k0, k1, run, thresholds, threshold_x, zero_x, zero_z):  # type: ignore[no-untyped-def]
    """``setting_of`` for a column of slots, as uint8."""
    out = np.empty(index.size, dtype=np.uint8)
    for i in range(index.size):
        out[i] = setting_of(index[i], k0, k1, run, thresholds, threshold_x, zero_x, zero_z)
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
def fill_words(lanes, out):  # type: ignore[no-untyped-def]
    """53-bit random words from eight xoshiro streams side by side, which compiles to vector instructions.

    ``lanes`` is uint64[4, 8], changed in place; the size of ``out`` is a multiple of 8.
    """
    for j in range(0, out.size, 8):
        for lane in range(8):
            s0, s1, s2, s3 = lanes[0, lane], lanes[1, lane], lanes[2, lane], lanes[3, lane]
            total = s0 + s3
            out[j + lane] = (((total << np.uint64(23)) | (total >> np.uint64(41))) + s0) >> np.uint64(11)
            t = s1 << np.uint64(17)
            s2 ^= s0
            s3 ^= s1
            s1 ^= s2
            s0 ^= s3
            s2 ^= t
            lanes[0, lane], lanes[1, lane], lanes[2, lane] = s0, s1, s2
            lanes[3, lane] = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))


@njit(**OPTIONS)
def fill_settings(first, choice, words, out):  # type: ignore[no-untyped-def]
    """``setting_of`` for successive slots, without branches, which compiles to vector instructions.

    ``words`` is scratch, as large as ``out``.
    """
    k0, k1, run = np.uint64(choice.k0), np.uint64(choice.k1), np.uint64(choice.run)
    threshold_x, zero_x = np.uint64(choice.threshold_x), np.uint64(choice.zero_x)
    step = np.uint64(choice.zero_z) - zero_x  # may wrap around, and back again
    thresholds = choice.thresholds
    for i in range(out.size):
        slot = np.uint64(first + i)
        c0, c1, c2, c3 = slot & _LOW, slot >> _HALF, np.uint64(0), run
        x0, x1 = k0, k1
        for _ in range(10):
            a, b = _M0 * c0, _M1 * c2
            c0, c1, c2, c3 = (b >> _HALF) ^ c1 ^ x0, b & _LOW, (a >> _HALF) ^ c3 ^ x1, a & _LOW
            x0, x1 = (x0 + _W0) & _LOW, (x1 + _W1) & _LOW
        basis = np.uint64(c2 >= threshold_x)
        bit = np.uint64(((c3 >> _ONE) | ((c3 & _ONE) << _TOP)) >= zero_x + basis * step)
        out[i] = (c0 << np.uint64(2)) | (basis << _ONE) | bit
    for i in range(out.size):
        words[i] = out[i] >> np.uint64(2)
        out[i] &= np.uint64(3)
    for k in range(thresholds.size - 1):  # no word reaches the last
        threshold = thresholds[k]
        for i in range(out.size):
            out[i] += np.uint64(words[i] >= threshold) << np.uint64(2)


@njit(**OPTIONS)
def normal(state):  # type: ignore[no-untyped-def]
    """Mean 0, variance 1, by Box and Muller; the second of the pair is not kept."""
    radius = math.sqrt(-2.0 * math.log((np.int64(next_word(state) >> np.uint64(11)) + 1) * _UNIT))
    return radius * math.cos(_TURN * uniform(state))


@njit(**OPTIONS)
def exponential(state):  # type: ignore[no-untyped-def]
    """Mean 1."""
    return -math.log((np.int64(next_word(state) >> np.uint64(11)) + 1) * _UNIT)
