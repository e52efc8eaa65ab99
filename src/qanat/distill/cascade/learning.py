"""What the peer's parities teach, the same at both ends. What the arrays hold: ``state.py``."""

# numba compiles what is untyped here; the shapes in ``state.py`` are its types.
# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: PLR0917

from __future__ import annotations

from qanat.distill.cascade.state import (
    BYTE,
    COLUMN_COUNT,
    COUNT,
    HALVE,
    HIGH,
    INTRODUCE,
    KNOWN,
    LOW,
    MODE,
    ODD,
    ODD_SUBSETS,
    PLACE,
    QUEUED,
    SEARCH,
    STAGE,
    SUBSETS,
    WHICH,
    WORD,
    compiled,
    inlined,
)


@inlined
def _flip(f, bit, m, padded, is_packed, is_reference, log2_sizes, place, subsets, words, nodes, stack, depth, frames):
    """An error is found at this bit: correct it (not at the reference end) and update what is known."""
    passes = len(log2_sizes)
    width = padded >> 6
    half = padded >> 1
    stage = frames[f * COLUMN_COUNT + STAGE]
    # Before the later passes are packed, correcting the first is enough; the reference end has nothing to correct.
    for p in range(min(stage, passes) if is_reference else passes if is_packed else 1):
        at = PLACE(place[(p - 1) * m + bit]) if p else bit
        fp = f * passes + p
        if not is_reference:
            words[fp * width + (at >> 6)] ^= WORD(1) << WORD(at & 63)
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
            stack[fp * half + depth[fp]] = node - fp * padded
            depth[fp] += 1
    if stage > passes:
        for i in range(len(subsets) // width):
            is_member = PLACE((subsets[i * width + (bit >> 6)] >> WORD(bit & 63)) & WORD(1))
            frames[f * COLUMN_COUNT + ODD_SUBSETS] ^= is_member << i


@compiled
def learn(
    m, padded, is_packed, is_reference, log2_sizes, order, place, subsets,
    words, nodes, stack, depth, frames, own, heard,
):  # fmt: skip
    """Take in the peer's parities for the step that ``next_parities`` chose.

    Args:
        heard: The peer's parities, packed as it said them.

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
            for i in range(count):  # in place: no step puts more than one node onto its own pass's stack
                node = PLACE(stack[pile + i])
                nodes[tree + node] &= ~BYTE(QUEUED)
                heap = node & ((1 << size) - 1)
                block = node - heap
                is_left = own[position + i] ^ _heard(heard, position + i)
                child = 2 * heap + 1 - is_left
                if 2 * heap < 1 << size:
                    nodes[tree + block + 2 * heap] = KNOWN | (ODD | QUEUED) * is_left
                    nodes[tree + block + 2 * heap + 1] = KNOWN | (ODD | QUEUED) * (is_left ^ BYTE(1))
                    stack[pile + depth[fp]] = block + child
                    depth[fp] += 1
                    continue
                at = block + child - (1 << size)
                if at < m:
                    found += 1
                    bit = PLACE(order[(p - 1) * m + at]) if p else at
                    _flip(f, bit, m, padded, is_packed, is_reference, log2_sizes, place, subsets,
                          words, nodes, stack, depth, frames)  # fmt: skip
        elif mode == INTRODUCE:
            size = log2_sizes[p]
            total = BYTE(0)
            frames[row + STAGE] = p + 1
            for i in range(count + (1 if p else 0)):
                is_odd = own[position + i] ^ _heard(heard, position + i) if i < count else total
                total ^= is_odd
                nodes[tree + (i << size) + 1] = KNOWN
                if is_odd:
                    nodes[tree + (i << size) + 1] = KNOWN | ODD | QUEUED
                    stack[pile + depth[fp]] = (i << size) + 1
                    depth[fp] += 1
        elif mode == SUBSETS:
            frames[row + STAGE] += 1
            for i in range(count):
                is_odd = own[position + i] ^ _heard(heard, position + i)
                frames[row + ODD_SUBSETS] |= PLACE(is_odd) << i
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


@inlined
def _heard(heard, index):
    return BYTE((heard[index >> 3] >> (7 - (index & 7))) & 1)
