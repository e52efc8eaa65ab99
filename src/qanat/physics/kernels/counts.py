"""Counts without clicks, compiled: many windows of cells in one call."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from qanat.physics.kernels.generators import OPTIONS, uniform

INVERSION_MAX = 10.0  # mean below which successes are counted through


@njit(**OPTIONS)
def binomial(state, n, p):  # type: ignore[no-untyped-def]
    """Exact; by inversion for small means, else by transformed rejection (BTRS).

    Source: Hormann, The generation of binomial random variates, J. Stat. Comput. Simul. 46, 101 (1993).
    """
    if n <= 0 or p <= 0.0:
        return 0
    if p >= 1.0:
        return n
    if p > 0.5:
        return n - binomial_half(state, n, 1.0 - p)
    return binomial_half(state, n, p)


@njit(**OPTIONS)
def binomial_half(state, n, p):  # type: ignore[no-untyped-def]
    """For p up to 1/2."""
    ratio = p / (1.0 - p)
    if n * p < INVERSION_MAX:
        chance = math.exp(n * math.log1p(-p))
        level = uniform(state)
        k = 0
        while level >= chance and k < n:
            level -= chance
            chance *= ratio * (n - k) / (k + 1)
            k += 1
        return k
    deviation = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * deviation
    a = -0.0873 + 0.0248 * b + 0.01 * p
    centre = n * p + 0.5
    sure = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * deviation
    mode = math.floor((n + 1) * p)
    while True:
        u = uniform(state) - 0.5
        v = uniform(state)
        inside = 0.5 - abs(u)
        k = -1
        if inside > 0.0:
            k = math.floor((2.0 * a / inside + b) * u + centre)
        if inside >= 0.07 and v <= sure:
            return np.int64(k)
        if k < 0 or k > n or v <= 0.0:
            continue
        v = math.log(v * alpha / (a / (inside * inside) + b))
        limit = (
            (mode + 0.5) * math.log((mode + 1.0) / (ratio * (n - mode + 1.0)))
            + (n + 1.0) * math.log((n - mode + 1.0) / (n - k + 1.0))
            + (k + 0.5) * math.log(ratio * (n - k + 1.0) / (k + 1.0))
            + stirling_rest(mode)
            + stirling_rest(n - mode)
            - stirling_rest(k)
            - stirling_rest(n - k)
        )
        if v <= limit:
            return np.int64(k)


@njit(**OPTIONS)
def stirling_rest(k):  # type: ignore[no-untyped-def]
    """log k! minus Stirling's (k + 1/2) log(k + 1) - (k + 1) + log(2 pi) / 2."""
    if k < 10:
        return math.lgamma(k + 1.0) - ((k + 0.5) * math.log(k + 1.0) - (k + 1.0) + 0.9189385332046727)
    square = (k + 1.0) * (k + 1.0)
    return (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / (k + 1.0)


@njit(**OPTIONS)
def dealt(totals, p_rest, state, out):  # type: ignore[no-untyped-def]
    """Deal each window's total to cells; p_rest[c] is cell c's share of what cells c, c+1, ... get."""
    for i in range(totals.size):
        left = totals[i]
        for c in range(p_rest.size):
            drawn = binomial(state, left, p_rest[c])
            out[i, c] = drawn
            left -= drawn


@njit(**OPTIONS)
def thinned(counts, share, state, out):  # type: ignore[no-untyped-def]
    """Of each count, a binomial share."""
    for i in range(counts.size):
        out[i] = binomial(state, counts[i], share)


@njit(**OPTIONS)
def alive_after_click(p_step, per_dead, alive):  # type: ignore[no-untyped-def]
    """Fill in the probability to be alive, step by step after a click; see ``renewal.alive_after_click_plain``."""
    clicked = 0.0
    for t in range(per_dead, alive.size):
        alive[t] = max(0.0, 1.0 - clicked)
        clicked += p_step * alive[t]
        if t >= 2 * per_dead - 1:
            clicked -= p_step * alive[t - per_dead + 1]
