"""The compiled half of Cascade: which parities come next, and what they teach. Twin: ``plain.py``.

Layout, F frames of m bits padded to M = 2**k, P passes:
    words    uint64 (F, P, M / 64)  this end's bits in each pass's order, bit i is bit i mod 64 of word i // 64
    nodes    uint8 (F, P, 2 M)      a binary tree over each pass: node h covers 2**l places from
                                    (h << l) - M, where h << l lies in [M, 2 M); children 2 h and 2 h + 1
    stack    int32 (F, P, M / 2)    known nodes with unknown children that turned odd; ``depth`` counts them
A node is KNOWN when both ends know its parity difference, and ODD when that is 1: an odd number of errors
lie below it. QUEUED nodes lie on the stack; they have no known children, so queued nodes never overlap.
"""

# numba compiles what is untyped here; the shapes above are its types.
# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: PLR0917

from __future__ import annotations

from typing import Any

import numba
import numpy as np

KNOWN, ODD, QUEUED = 1, 2, 4

# What a frame is doing in the current round (``mode``). ``which`` is the pass, or the subset.
IDLE, HALVE, INTRODUCE, SUBSETS, SEARCH = 0, 1, 2, 3, 4

_U = numba.uint64
_jit: Any = numba.njit(cache=True, error_model="numpy", boundscheck=False)


@_jit
def _fold(word):
    word ^= word >> _U(32)
    word ^= word >> _U(16)
    word ^= word >> _U(8)
    word ^= word >> _U(4)
    word ^= word >> _U(2)
    word ^= word >> _U(1)
    return numba.uint8(word & _U(1))


@_jit
def _level(node, padded):
    level = 0
    while (node << level) < padded:
        level += 1
    return level


@_jit
def _block_parity(words, start, level):
    """Parity of the 2**level places from ``start``, which is a multiple of 2**level."""
    if level < 6:
        mask = (_U(1) << _U(1 << level)) - _U(1)
        return _fold((words[start >> 6] >> _U(start & 63)) & mask)
    total = _U(0)
    for i in range(start >> 6, (start + (1 << level)) >> 6):
        total ^= words[i]
    return _fold(total)


@_jit
def _subset_parity(words, subset, start, stop):
    """Parity of the subset's members among places start..stop-1."""
    total = _U(0)
    for i in range(start >> 6, (stop + 63) >> 6):
        word = words[i] & subset[i]
        first, last = max(start, i << 6), min(stop, (i + 1) << 6)
        if last - first < 64:
            word = (word >> _U(first & 63)) & ((_U(1) << _U(last - first)) - _U(1))
        total ^= word
    return _fold(total)


@_jit
def _odd_nodes(nodes, stack, depth):
    """Drop from the stack what has turned even since; how many stay."""
    kept = 0
    for i in range(depth):
        node = stack[i]
        if nodes[node] & ODD:
            stack[kept] = node
            kept += 1
        else:
            nodes[node] &= ~numba.uint8(QUEUED)
    return kept


@_jit
def next_parities(  # shared state in the order of the reconciler
    m, log2_sizes, subsets, words, nodes, stack, depth, stage, odd, low, high, mode, which, count, own,
):  # fmt: skip
    """Choose every frame's next step and write this end's parities for it.

    In the pass with the most odd nodes, halve all of them: they are disjoint, so no parity is asked twice.
    (Always the first such pass would take a third more rounds for the same leak.) When there are none,
    introduce the next pass, then the subsets, then search the first odd subset. Both ends come to the same
    choice, because it rests on what both know.

    Returns:
        Number of parities written to ``own``.
    """
    padded = nodes.shape[2] // 2
    passes = len(log2_sizes)
    position = 0
    for f in range(len(mode)):
        mode[f] = IDLE
        count[f] = 0
        most = 0
        for p in range(min(stage[f], passes)):
            depth[f, p] = _odd_nodes(nodes[f, p], stack[f, p], depth[f, p])
            if depth[f, p] > most:
                mode[f] = HALVE
                which[f] = p
                most = depth[f, p]
        if mode[f] == HALVE:
            p = which[f]
            for i in range(depth[f, p]):
                left = 2 * stack[f, p, i]
                level = _level(left, padded)
                own[position + i] = _block_parity(words[f, p], (left << level) - padded, level)
            count[f] = depth[f, p]
        if mode[f] == IDLE and stage[f] < passes:
            p = stage[f]
            mode[f] = INTRODUCE
            which[f] = p
            # After the first pass every frame's total is even, so the last block follows from the others.
            count[f] = ((m - 1) >> log2_sizes[p]) + (1 if p == 0 else 0)
            for i in range(count[f]):
                own[position + i] = _block_parity(words[f, p], i << log2_sizes[p], log2_sizes[p])
        elif mode[f] == IDLE and stage[f] == passes:
            mode[f] = SUBSETS
            count[f] = len(subsets)
            for i in range(len(subsets)):
                own[position + i] = _subset_parity(words[f, 0], subsets[i], 0, padded)
        elif mode[f] == IDLE and odd[f]:
            mode[f] = SEARCH
            count[f] = 1
            if low[f] == high[f]:  # no search under way: begin one in the first odd subset
                which[f] = 0
                while not (odd[f] >> which[f]) & 1:
                    which[f] += 1
                low[f] = 0
                high[f] = padded
            middle = (low[f] + high[f]) >> 1
            while middle >= m:  # the upper half is padding
                high[f] = middle
                middle = (low[f] + high[f]) >> 1
            own[position] = _subset_parity(words[f, 0], subsets[which[f]], low[f], middle)
        position += count[f]
    return position


@_jit
def _push(nodes, stack, depth, node):
    if nodes[node] & QUEUED:
        return depth
    nodes[node] |= QUEUED
    stack[depth] = node
    return depth + 1


@_jit
def _flip(f, bit, is_reference, log2_sizes, place, subsets, words, nodes, stack, depth, stage, odd):
    """An error is found at this bit: correct it (not at the reference end) and update what is known."""
    padded = nodes.shape[2] // 2
    for p in range(len(log2_sizes)):
        at = place[p, bit]
        if not is_reference:
            words[f, p, at >> 6] ^= _U(1) << _U(at & 63)
        if p >= stage[f]:
            continue
        level = log2_sizes[p]
        node = (padded + at) >> level
        nodes[f, p, node] ^= ODD
        while level > 0 and nodes[f, p, (padded + at) >> (level - 1)] & KNOWN:
            level -= 1
            node = (padded + at) >> level
            nodes[f, p, node] ^= ODD
        if level > 0 and nodes[f, p, node] & ODD:
            depth[f, p] = _push(nodes[f, p], stack[f, p], depth[f, p], node)
    if stage[f] > len(log2_sizes):
        for i in range(len(subsets)):
            odd[f] ^= numba.int64((subsets[i, bit >> 6] >> _U(bit & 63)) & _U(1)) << i


@_jit
def learn(
    m, is_reference, log2_sizes, order, place, subsets,
    words, nodes, stack, depth, stage, odd, low, high, mode, which, count, own, peer,
):  # fmt: skip
    """Take in the peer's parities for the step that ``next_parities`` chose.

    Returns:
        Number of errors found.
    """
    padded = nodes.shape[2] // 2
    position = 0
    found = 0
    for f in range(len(mode)):
        p = which[f]
        if mode[f] == HALVE:
            halved = depth[f, p]
            batch = stack[f, p, :halved].copy()
            depth[f, p] = 0
            for i in range(halved):
                nodes[f, p, batch[i]] &= ~numba.uint8(QUEUED)
            for i in range(halved):
                left = 2 * batch[i]
                is_left = own[position + i] ^ peer[position + i]
                nodes[f, p, left] = KNOWN | (ODD if is_left else 0)
                nodes[f, p, left + 1] = KNOWN | (0 if is_left else ODD)
                child = left if is_left else left + 1
                if child < padded:
                    depth[f, p] = _push(nodes[f, p], stack[f, p], depth[f, p], child)
                elif child - padded < m:
                    found += 1
                    _flip(f, order[p, child - padded], is_reference, log2_sizes, place, subsets,
                          words, nodes, stack, depth, stage, odd)  # fmt: skip
        elif mode[f] == INTRODUCE:
            top = padded >> log2_sizes[p]
            total = 0
            stage[f] = p + 1
            for i in range(count[f]):
                is_odd = own[position + i] ^ peer[position + i]
                total ^= is_odd
                nodes[f, p, top + i] = KNOWN | (ODD if is_odd else 0)
            if p:
                nodes[f, p, top + count[f]] = KNOWN | (ODD if total else 0)
            for i in range(count[f] + (1 if p else 0)):
                if nodes[f, p, top + i] & ODD:
                    depth[f, p] = _push(nodes[f, p], stack[f, p], depth[f, p], top + i)
        elif mode[f] == SUBSETS:
            stage[f] += 1
            for i in range(count[f]):
                odd[f] |= numba.int64(own[position + i] ^ peer[position + i]) << i
        elif mode[f] == SEARCH:
            middle = (low[f] + high[f]) >> 1
            if own[position] ^ peer[position]:
                high[f] = middle
            else:
                low[f] = middle
            if high[f] - low[f] == 1:
                bit = low[f]
                high[f] = low[f]
                if bit < m:
                    found += 1
                    _flip(f, bit, is_reference, log2_sizes, place, subsets, words, nodes, stack, depth, stage, odd)
        position += count[f]
    return found


def empty_state(frame_count: int, pass_count: int, padded: int) -> dict[str, Any]:
    """The arrays of a beginning, by the names that the kernels use."""
    return {
        "nodes": np.zeros((frame_count, pass_count, 2 * padded), dtype=np.uint8),
        "stack": np.empty((frame_count, pass_count, padded // 2), dtype=np.int32),
        "depth": np.zeros((frame_count, pass_count), dtype=np.int32),
        **{name: np.zeros(frame_count, dtype=np.int64) for name in
           ("stage", "odd", "low", "high", "mode", "which", "count")},
    }  # fmt: skip
