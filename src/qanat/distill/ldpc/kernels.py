"""The compiled half of LDPC decoding: syndromes and layered sum-product. Twin: ``plain.py``.

Layout of one frame with circulants of Z lanes:
    bits       uint8 (columns * Z)      lane z of column c is bit c * Z + z
    starts     int32 (rows + 1)         edges of row r are starts[r] .. starts[r + 1] - 1
    columns, shifts  int32 (edges)      lane z of the row checks lane (z + shift) mod Z of the column
    odds       float32 (columns * Z)    P(no error) / P(error) of each bit as known so far
    messages   float32 (edges * Z)      what each check said last, as odds
Messages are odds, not their logarithms: then the sum-product rules need no transcendental function. With t = tanh
of half a log-odds, which is (o - 1) / (o + 1), a check says (t + P) / (t - P) to an input whose t is part of P.
"""

# numba compiles what is untyped here; the shapes above are its types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
import numpy as np

LANES = 512  # of a row handled at once: long enough for full vectors, short enough for the second-level cache

# Odds stay within 2**-60 .. 2**60: far above the largest message, 2**25, so that what a check is told stays strong when
# its own message is taken out; and 2**60 * 2**61, the largest product below, fits float32.
ODDS_MOST = np.float32(2.0**60)
ODDS_LEAST = np.float32(2.0**-60)
NEAR = np.float32(2.0**-24)  # smallest difference of two float32 near 1

_jit: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True)
_f = np.float32


@_jit
def _add(target, source):
    for i in range(len(target)):
        target[i] ^= source[i]


@_jit
def syndrome(starts, columns, shifts, lanes, bits, out):
    """Parities of every row, uint8, shape (rows * lanes,)."""
    out[:] = 0
    for row in range(len(starts) - 1):
        target = out[row * lanes : (row + 1) * lanes]
        for edge in range(starts[row], starts[row + 1]):
            source = bits[columns[edge] * lanes : (columns[edge] + 1) * lanes]
            shift = shifts[edge]
            _add(target[: lanes - shift], source[shift:])
            _add(target[lanes - shift :], source[:shift])


@_jit
def _copy(target, source):
    for i in range(len(target)):
        target[i] = source[i]


@_jit
def _rotated(line, column, place):
    """line = column from this place on, round the end."""
    run = min(len(line), len(column) - place)
    _copy(line[:run], column[place : place + run])
    _copy(line[run:], column[: len(line) - run])


@_jit
def _put_back(line, column, place):
    run = min(len(line), len(column) - place)
    _copy(column[place : place + run], line[:run])
    _copy(column[: len(line) - run], line[run:])


@_jit
def _gather(odds, messages, product):
    """Product of t = (odds - message) / (odds + message) over the row's edges."""
    for i in range(len(product)):
        product[i] *= (odds[i] - messages[i]) / (odds[i] + messages[i])


@_jit
def _scatter(odds, messages, product):
    """The new message (t + P) / (t - P) in place of the old one, also in the odds."""
    for i in range(len(product)):
        message = messages[i]
        total = odds[i] + message
        difference = odds[i] - message
        least = total * NEAR
        above = abs(difference + product[i] * total)
        below = abs(difference - product[i] * total)
        above = above if above > least else least
        below = below if below > least else least
        inverse = _f(1) / (below * message)
        messages[i] = above * message * inverse
        new_odds = odds[i] * above * inverse
        new_odds = new_odds if new_odds > ODDS_LEAST else ODDS_LEAST
        odds[i] = new_odds if new_odds < ODDS_MOST else ODDS_MOST


@_jit
def sweep(starts, columns, shifts, lanes, signs, odds, messages, lines, product):
    """One layered iteration: every row once, each knowing what the rows before it said.

    ``lines`` is scratch, float32 (edges of the longest row, LANES). Circulants are turned into it first, so that
    the arithmetic runs over full lines.
    """
    for row in range(len(starts) - 1):
        first, last = starts[row], starts[row + 1]
        for low in range(0, lanes, LANES):
            size = min(LANES, lanes - low)
            at = row * lanes + low
            _copy(product[:size], signs[at : at + size])
            for edge in range(first, last):
                column = odds[columns[edge] * lanes : (columns[edge] + 1) * lanes]
                line = lines[edge - first, :size]
                _rotated(line, column, (low + shifts[edge]) % lanes)
                _gather(line, messages[edge * lanes + low : edge * lanes + low + size], product[:size])
            for edge in range(first, last):
                column = odds[columns[edge] * lanes : (columns[edge] + 1) * lanes]
                line = lines[edge - first, :size]
                _scatter(line, messages[edge * lanes + low : edge * lanes + low + size], product[:size])
                _put_back(line, column, (low + shifts[edge]) % lanes)


@_jit
def decide(odds, errors):
    """An error where it is likelier than none."""
    for i in range(len(odds)):
        errors[i] = odds[i] < _f(1)
