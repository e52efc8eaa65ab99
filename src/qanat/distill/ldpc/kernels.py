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

# A check never says more than 2**19, and odds stay within 2**-100 .. 2**100, five such messages: what the bound cuts
# off is missing when messages weaken again, and a sure bit of high degree may then turn over, and others with it. At
# 2**60 and messages of 2**25 whole frames did. Products stay within float32, the largest being 2**101 * 2**19; only new
# odds may be infinite for a moment, before they are cut.
ODDS_MOST = np.float32(2.0**100)
ODDS_LEAST = np.float32(2.0**-100)
NEAR = np.float32(2.0**-18)  # least distance of t from 1

_jit: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True)
_f = np.float32
_place = np.uint64


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
def has_syndrome(starts, columns, shifts, lanes, bits, wanted, disclosed, parities):
    """Whether these bits have the first ``disclosed`` wanted parities; stops at the first row that differs.

    ``parities`` is scratch, uint8 (lanes).
    """
    for row in range(len(starts) - 1):
        parities[:] = wanted[row * lanes : (row + 1) * lanes]
        for edge in range(starts[row], starts[row + 1]):
            source = bits[columns[edge] * lanes : (columns[edge] + 1) * lanes]
            shift = shifts[edge]
            _add(parities[: lanes - shift], source[shift:])
            _add(parities[lanes - shift :], source[:shift])
        if parities[: disclosed - row * lanes].any():
            return False
    return True


# The arithmetic runs over whole arrays from given places on, by unsigned index: slices would count references, two
# locked instructions each, and signed indexes might be negative; both cost more than the arithmetic.


@_jit
def _gather(odds, odds_at, messages, at, product, product_at, count):
    """Product of t = (odds - message) / (odds + message) over the row's edges."""
    odds_at, at, product_at = _place(odds_at), _place(at), _place(product_at)
    for i in range(_place(count)):
        known, message = odds[odds_at + i], messages[at + i]
        product[product_at + i] *= (known - message) / (known + message)


@_jit
def _scatter(odds, odds_at, messages, at, product, product_at, count):
    """The new message (t + P) / (t - P) in place of the old one, also in the odds."""
    odds_at, at, product_at = _place(odds_at), _place(at), _place(product_at)
    for i in range(_place(count)):
        known, message = odds[odds_at + i], messages[at + i]
        total, difference = known + message, known - message
        turned = product[product_at + i] * total
        least = total * NEAR
        above, below = abs(difference + turned), abs(difference - turned)
        above = above if above > least else least
        below = below if below > least else least
        ratio = above / (below * message)
        messages[at + i] = ratio * message
        new = known * ratio
        new = new if new > ODDS_LEAST else ODDS_LEAST
        odds[odds_at + i] = new if new < ODDS_MOST else ODDS_MOST


@_jit
def sweep(starts, columns, shifts, lanes, signs, odds, messages, product):
    """One layered iteration: every row once, each knowing what the rows before it said.

    ``product`` is scratch, float32 (lanes). A row reads each of its columns from its shift to the end, then the rest.
    """
    for row in range(len(starts) - 1):
        for lane in range(lanes):
            product[lane] = signs[row * lanes + lane]
        for edge in range(starts[row], starts[row + 1]):
            column, run = columns[edge] * lanes, lanes - shifts[edge]
            _gather(odds, column + shifts[edge], messages, edge * lanes, product, 0, run)
            _gather(odds, column, messages, edge * lanes + run, product, run, shifts[edge])
        for edge in range(starts[row], starts[row + 1]):
            column, run = columns[edge] * lanes, lanes - shifts[edge]
            _scatter(odds, column + shifts[edge], messages, edge * lanes, product, 0, run)
            _scatter(odds, column, messages, edge * lanes + run, product, run, shifts[edge])


@_jit
def decide(odds, errors):
    """An error where it is likelier than none."""
    for i in range(len(odds)):
        errors[i] = odds[i] < _f(1)
