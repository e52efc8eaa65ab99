"""What the compiled half of Cascade keeps, and the small words its kernels share. Twin of it all: ``plain.py``.

Layout, F frames of m bits padded to M = 2**k, P passes, all arrays flat, so that one block's tree lies in a few
cache lines:
    words    uint64 [F][P][M / 64]  this end's bits in each pass's order, bit i is bit i mod 64 of word i // 64
    nodes    uint8  [F][P][M]       one binary tree per block of 2**a places, stored at block << a: heap 1 is the
                                    whole block, its children 2 h and 2 h + 1. Single places are not kept: what is
                                    found there is corrected
    stack    uint16 [F][P][M / 2]   known nodes with unknown children that turned odd
    depth    int32  [F][P]          how many lie on each stack
    frames   int64  [F][8]          the columns STAGE to COUNT below
A node is KNOWN when both ends know its parity difference, and ODD when that is 1: an odd number of errors
lie below it. QUEUED nodes lie on the stack; they have no known children, so queued nodes never overlap.

Each kernel is called once per round for all frames: what a call costs is paid per round, not per frame.
"""

# numba compiles what is untyped here.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import numba
from numpy.typing import NDArray

from qanat.distill.cascade.workspace import WORKSPACE

KNOWN, ODD, QUEUED = 1, 2, 4

# What a frame is doing in the current round (``mode``). ``which`` is the pass, or the subset.
IDLE, HALVE, INTRODUCE, SUBSETS, SEARCH = 0, 1, 2, 3, 4
# Columns of ``frames``: passes introduced, odd subsets as bits, search interval, and the step of the round.
STAGE, ODD_SUBSETS, LOW, HIGH, MODE, WHICH, COUNT = range(7)
COLUMN_COUNT = 8

WORD, BYTE, PLACE = numba.uint64, numba.uint8, numba.int64
compiled: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True)
_intrinsic: Any = numba.extending.intrinsic
# Inlined before compilation: passing a dozen arrays costs more than what is done with them.
inlined: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True, inline="always")


def empty_state(frame_count: int, pass_count: int, padded: int) -> tuple[NDArray[Any], ...]:
    """nodes, stack, depth and frames of a beginning, lent by the workspace."""
    passes = frame_count * pass_count
    return (
        WORKSPACE.take(passes * padded, "|u1", is_zeroed=True),
        WORKSPACE.take(passes * (padded // 2), "<u2"),
        WORKSPACE.take(passes, "<i4", is_zeroed=True),
        WORKSPACE.take(frame_count * COLUMN_COUNT, "<i8", is_zeroed=True),
    )


@_intrinsic
def _ones(typing, word):
    """Number of ones in a word: one instruction where the processor has it."""
    return word(word), lambda context, builder, signature, arguments: builder.ctpop(arguments[0])


@_intrinsic
def _zeros_above(typing, word):
    """Number of zeros above a word's highest one."""

    def generate(context, builder, signature, arguments):
        return builder.ctlz(arguments[0], context.get_constant(numba.types.boolean, False))

    return word(word), generate


@inlined
def level_of(size, heap):
    """A node lies over 2**level places; heap 1 is the whole block of 2**size."""
    return size - 63 + PLACE(_zeros_above(WORD(heap)))


@inlined
def fold(word):
    return BYTE(_ones(word) & WORD(1))
