"""Which parities come next, the same at both ends. What the arrays hold: ``state.py``."""

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
    IDLE,
    INTRODUCE,
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
    fold,
    inlined,
    level_of,
)


@inlined
def _block_parity(words, base, start, level):
    """Parity of the 2**level places from ``start``, which is a multiple of 2**level."""
    at = base + (start >> 6)
    if level < 6:
        mask = (WORD(1) << WORD(1 << level)) - WORD(1)
        return fold((words[at] >> WORD(start & 63)) & mask)
    total = WORD(0)
    for i in range(at, at + (1 << (level - 6))):
        total ^= words[i]
    return fold(total)


@compiled
def _subset_parity(words, base, subsets, row, start, stop):
    """Parity of the subset's members among places start..stop-1 of the first pass."""
    total = WORD(0)
    for i in range(start >> 6, (stop + 63) >> 6):
        word = words[base + i] & subsets[row + i]
        first, last = max(start, i << 6), min(stop, (i + 1) << 6)
        if last - first < 64:
            word = (word >> WORD(first & 63)) & ((WORD(1) << WORD(last - first)) - WORD(1))
        total ^= word
    return fold(total)


@compiled
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
        is_fresh = False
        while not is_fresh:
            most, at = 0, 0
            for p in range(min(stage, passes)):
                if depth[f * passes + p] > most:
                    most, at = depth[f * passes + p], p
            if most == 0:
                break
            fp = f * passes + at
            kept = 0
            for i in range(fp * half, fp * half + most):  # drop what turned even since
                node = fp * padded + PLACE(stack[i])
                if nodes[node] & ODD:
                    stack[fp * half + kept] = stack[i]
                    kept += 1
                else:
                    nodes[node] &= ~BYTE(QUEUED)
            depth[fp] = kept
            if kept == most:
                mode, which, count, is_fresh = HALVE, at, kept, True
        if mode == HALVE:
            fp = f * passes + which
            size = log2_sizes[which]
            for i in range(count):
                node = PLACE(stack[fp * half + i])
                heap = node & ((1 << size) - 1)
                level = level_of(size, heap) - 1  # of its left child
                start = node - heap + ((2 * heap) << level) - (1 << size)
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


@compiled
def _pack_bits(bits, count, said):
    for i in range((count + 7) >> 3):
        byte = 0
        for k in range(min(8, count - 8 * i)):
            byte |= PLACE(bits[8 * i + k]) << (7 - k)
        said[i] = byte
