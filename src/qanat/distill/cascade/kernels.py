"""The compiled half of Cascade: which parities come next, and what they teach. Twin: ``plain.py``.

Layout, F frames of m bits padded to M = 2**k, P passes, all arrays flat, so that one block's tree lies in a few
cache lines:
    words    uint64 [F][P][M / 64]  this end's bits in each pass's order, bit i is bit i mod 64 of word i // 64
    nodes    uint8  [F][P][M]       one binary tree per block of 2**a places, stored at block << a: heap 1 is the
                                    whole block, its children 2 h and 2 h + 1. Single places are not kept: what is
                                    found there is corrected
    stack    int32  [F][P][M / 2]   known nodes with unknown children that turned odd, as node << 4 | level
    depth    int32  [F][P]          how many lie on each stack
    frames   int64  [F][8]          the columns STAGE to COUNT below
A node is KNOWN when both ends know its parity difference, and ODD when that is 1: an odd number of errors
lie below it. QUEUED nodes lie on the stack; they have no known children, so queued nodes never overlap.

Each kernel is called once per round for all frames: what a call costs is paid per round, not per frame.
"""

# numba compiles what is untyped here; the shapes above are its types.
# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: PLR0917

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

_U = numba.uint64
_B = numba.uint8
_jit: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True)
# Inlined before compilation: passing a dozen arrays costs more than what is done with them.
_inlined: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False, nogil=True, inline="always")


@_jit
def _fold(word):
    word ^= word >> _U(32)
    word ^= word >> _U(16)
    word ^= word >> _U(8)
    word ^= word >> _U(4)
    word ^= word >> _U(2)
    word ^= word >> _U(1)
    return _B(word & _U(1))


@_inlined
def _block_parity(words, base, start, level):
    """Parity of the 2**level places from ``start``, which is a multiple of 2**level."""
    at = base + (start >> 6)
    if level < 6:
        mask = (_U(1) << _U(1 << level)) - _U(1)
        return _fold((words[at] >> _U(start & 63)) & mask)
    total = _U(0)
    for i in range(at, at + (1 << (level - 6))):
        total ^= words[i]
    return _fold(total)


@_jit
def _subset_parity(words, base, subsets, row, start, stop):
    """Parity of the subset's members among places start..stop-1 of the first pass."""
    total = _U(0)
    for i in range(start >> 6, (stop + 63) >> 6):
        word = words[base + i] & subsets[row + i]
        first, last = max(start, i << 6), min(stop, (i + 1) << 6)
        if last - first < 64:
            word = (word >> _U(first & 63)) & ((_U(1) << _U(last - first)) - _U(1))
        total ^= word
    return _fold(total)


@_jit
def next_parities(m, padded, is_packed, log2_sizes, subsets, words, nodes, stack, depth, frames, own, said):
    """Choose every frame's next step and write this end's parities for it.

    In the pass with the most odd nodes, halve all of them: they are disjoint, so no parity is asked twice.
    (Always the first such pass would take a third more rounds for the same leak.) When there are none,
    introduce the next pass, then the subsets, then search the first odd subset. Both ends come to the same
    choice, because it rests on what both know.

    Args:
        own: Receives the parities, one per element.
        said: Receives them packed, most significant bit first.

    Returns:
        Number of parities; -1 when the later passes must be packed first, nothing was chosen then.
    """
    passes = len(log2_sizes)
    width = padded >> 6
    half = padded >> 1
    subset_count = len(subsets) // width
    position = 0
    for f in range(len(frames) // COLUMN_COUNT):
        row = f * COLUMN_COUNT
        stage = frames[row + STAGE]
        mode, which, count = IDLE, 0, 0
        for p in range(min(stage, passes)):
            fp = f * passes + p
            waiting = depth[fp]
            if waiting == 0:
                continue
            kept = 0
            for i in range(fp * half, fp * half + waiting):  # drop what turned even since
                node = fp * padded + (stack[i] >> 4)
                if nodes[node] & ODD:
                    stack[fp * half + kept] = stack[i]
                    kept += 1
                else:
                    nodes[node] &= ~_B(QUEUED)
            depth[fp] = kept
            if kept > count:
                mode, which, count = HALVE, p, kept
        if mode == HALVE:
            fp = f * passes + which
            size = log2_sizes[which]
            for i in range(count):
                entry = numba.int64(stack[fp * half + i])
                level = (entry & 15) - 1  # of its left child
                node = entry >> 4
                heap = node & ((1 << size) - 1)
                start = ((node >> size) << size) + ((2 * heap) << level) - (1 << size)
                own[position + i] = _block_parity(words, fp * width, start, level)
        elif stage < passes:
            if stage and not is_packed:
                return -1
            fp = f * passes + stage
            size = log2_sizes[stage]
            # After the first pass every frame's total is even, so the last block follows from the others.
            mode, which, count = INTRODUCE, stage, ((m - 1) >> size) + (1 if stage == 0 else 0)
            for i in range(count):
                own[position + i] = _block_parity(words, fp * width, i << size, size)
        elif stage == passes:
            mode, count = SUBSETS, subset_count
            for i in range(subset_count):
                own[position + i] = _subset_parity(words, f * passes * width, subsets, i * width, 0, padded)
        elif frames[row + ODD_SUBSETS]:
            mode, which, count = SEARCH, frames[row + WHICH], 1
            if frames[row + LOW] == frames[row + HIGH]:  # no search under way: begin one in the first odd subset
                which = 0
                while not (frames[row + ODD_SUBSETS] >> which) & 1:
                    which += 1
                frames[row + LOW] = 0
                frames[row + HIGH] = padded
            middle = (frames[row + LOW] + frames[row + HIGH]) >> 1
            while middle >= m:  # the upper half is padding
                frames[row + HIGH] = middle
                middle = (frames[row + LOW] + frames[row + HIGH]) >> 1
            own[position] = _subset_parity(words, f * passes * width, subsets, which * width, frames[row + LOW], middle)
        frames[row + MODE] = mode
        if mode != IDLE:
            frames[row + WHICH] = which
        frames[row + COUNT] = count
        position += count
    _pack_bits(own, position, said)
    return position


@_jit
def _pack_bits(bits, count, said):
    for i in range((count + 7) >> 3):
        byte = 0
        for k in range(min(8, count - 8 * i)):
            byte |= numba.int64(bits[8 * i + k]) << (7 - k)
        said[i] = byte


@_inlined
def _flip(f, bit, m, padded, is_packed, is_reference, log2_sizes, place, subsets, words, nodes, stack, depth, frames):
    """An error is found at this bit: correct it (not at the reference end) and update what is known."""
    passes = len(log2_sizes)
    width = padded >> 6
    half = padded >> 1
    stage = frames[f * COLUMN_COUNT + STAGE]
    # Before the later passes are packed, correcting the first is enough; the reference end has nothing to correct.
    for p in range(min(stage, passes) if is_reference else passes if is_packed else 1):
        at = numba.int64(place[(p - 1) * m + bit]) if p else bit
        fp = f * passes + p
        if not is_reference:
            words[fp * width + (at >> 6)] ^= _U(1) << _U(at & 63)
        if p >= stage:
            continue
        size = log2_sizes[p]
        block = (at >> size) << size
        tree = fp * padded + block
        leaf = at - block + (1 << size)
        level = size
        nodes[tree + 1] ^= ODD
        while level > 1 and nodes[tree + (leaf >> (level - 1))] & KNOWN:
            level -= 1
            nodes[tree + (leaf >> level)] ^= ODD
        node = tree + (leaf >> level)
        if nodes[node] & (ODD | QUEUED) == ODD:
            nodes[node] |= QUEUED
            stack[fp * half + depth[fp]] = ((node - fp * padded) << 4) | level
            depth[fp] += 1
    if stage > passes:
        for i in range(len(subsets) // width):
            is_member = numba.int64((subsets[i * width + (bit >> 6)] >> _U(bit & 63)) & _U(1))
            frames[f * COLUMN_COUNT + ODD_SUBSETS] ^= is_member << i


@_jit
def learn(
    m, padded, is_packed, is_reference, log2_sizes, order, place, subsets,
    words, nodes, stack, depth, frames, own, heard, batch,
):  # fmt: skip
    """Take in the peer's parities for the step that ``next_parities`` chose.

    Args:
        heard: The peer's parities, packed as it said them.
        batch: Room for the nodes of one step, int32, shape (M / 2,).

    Returns:
        Number of errors found.
    """
    passes = len(log2_sizes)
    position = 0
    found = 0
    for f in range(len(frames) // COLUMN_COUNT):
        row = f * COLUMN_COUNT
        mode, p, count = frames[row + MODE], frames[row + WHICH], frames[row + COUNT]
        fp = f * passes + p
        tree = fp * padded
        pile = fp * (padded >> 1)
        if mode == HALVE:
            size = log2_sizes[p]
            depth[fp] = 0
            for i in range(count):
                batch[i] = stack[pile + i]
                nodes[tree + (batch[i] >> 4)] &= ~_B(QUEUED)
            for i in range(count):
                entry = numba.int64(batch[i])
                node, level = entry >> 4, (entry & 15) - 1
                heap = node & ((1 << size) - 1)
                block = node - heap
                is_left = own[position + i] ^ _heard(heard, position + i)
                child = 2 * heap + (0 if is_left else 1)
                if level > 0:
                    nodes[tree + block + 2 * heap] = KNOWN | (ODD if is_left else 0)
                    nodes[tree + block + 2 * heap + 1] = KNOWN | (0 if is_left else ODD)
                    nodes[tree + block + child] |= QUEUED
                    stack[pile + depth[fp]] = ((block + child) << 4) | level
                    depth[fp] += 1
                    continue
                at = block + child - (1 << size)
                if at < m:
                    found += 1
                    bit = numba.int64(order[(p - 1) * m + at]) if p else at
                    _flip(f, bit, m, padded, is_packed, is_reference, log2_sizes, place, subsets,
                          words, nodes, stack, depth, frames)  # fmt: skip
        elif mode == INTRODUCE:
            size = log2_sizes[p]
            total = _B(0)
            frames[row + STAGE] = p + 1
            for i in range(count + (1 if p else 0)):
                is_odd = own[position + i] ^ _heard(heard, position + i) if i < count else total
                total ^= is_odd
                nodes[tree + (i << size) + 1] = KNOWN
                if is_odd:
                    nodes[tree + (i << size) + 1] = KNOWN | ODD | QUEUED
                    stack[pile + depth[fp]] = (((i << size) + 1) << 4) | size
                    depth[fp] += 1
        elif mode == SUBSETS:
            frames[row + STAGE] += 1
            for i in range(count):
                is_odd = own[position + i] ^ _heard(heard, position + i)
                frames[row + ODD_SUBSETS] |= numba.int64(is_odd) << i
        elif mode == SEARCH:
            middle = (frames[row + LOW] + frames[row + HIGH]) >> 1
            if own[position] ^ _heard(heard, position):
                frames[row + HIGH] = middle
            else:
                frames[row + LOW] = middle
            if frames[row + HIGH] - frames[row + LOW] == 1:
                bit = frames[row + LOW]
                frames[row + HIGH] = bit
                if bit < m:
                    found += 1
                    _flip(f, bit, m, padded, is_packed, is_reference, log2_sizes, place, subsets,
                          words, nodes, stack, depth, frames)  # fmt: skip
        position += count
    return found


@_inlined
def _heard(heard, index):
    return _B((heard[index >> 3] >> (7 - (index & 7))) & 1)


def empty_state(frame_count: int, pass_count: int, padded: int) -> tuple[NDArray[Any], ...]:
    """nodes, stack, depth and frames of a beginning, lent by the workspace."""
    passes = frame_count * pass_count
    return (
        WORKSPACE.take(passes * padded, "|u1", is_zeroed=True),
        WORKSPACE.take(passes * (padded // 2), "<i4"),
        WORKSPACE.take(passes, "<i4", is_zeroed=True),
        WORKSPACE.take(frame_count * COLUMN_COUNT, "<i8", is_zeroed=True),
    )
