"""Estimators over tuples, from a suffix array: t-tuple and longest repeated substring, SP 800-90B 6.3.5 and 6.3.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qanat.crypto.randomness.estimators import entropy_from_share

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CUTOFF = 35  # a tuple seen less often is rare: 6.3.5 step 1


def tuple_estimates(samples: NDArray[np.uint8], cutoff: int = CUTOFF) -> tuple[float | None, float | None]:
    """Min-entropy per sample by repeated tuples (6.3.5) and by long repeated substrings (6.3.6).

    Time and memory are n log n whatever the data hold. None: no tuple is common enough, or none repeats that is rare.
    """
    import numpy as np  # noqa: PLC0415

    size = len(samples)
    if size < 2:
        return None, None
    most, pairs = _repeats(_common_prefixes(samples), size)
    t = int((most[1:] >= cutoff).sum())  # most common counts only fall as tuples grow
    lengths = np.arange(1, size)
    shares = (most[1:] / (size - lengths + 1)) ** (1 / lengths)
    common = entropy_from_share(float(shares[:t].max()), size) if t else None
    longest = int((pairs[1:] > 0).sum())
    if longest <= t:
        return common, None
    all_pairs = (size - lengths + 1) * (size - lengths) / 2
    rare = (pairs[1:] / all_pairs) ** (1 / lengths)
    return common, entropy_from_share(float(rare[t:longest].max()), size)


def _common_prefixes(samples: NDArray[np.uint8]) -> list[int]:
    """Lengths that neighbours in sorted order of all suffixes share: prefix doubling, then Kasai's walk."""
    import numpy as np  # noqa: PLC0415

    size = len(samples)
    rank = samples.astype(np.int64)
    span = 1
    while True:
        after = np.zeros(size, np.int64)
        after[: max(0, size - span)] = rank[span:] + 1
        key = rank * (max(size, 256) + 2) + after
        order = np.argsort(key, kind="stable")
        steps = np.concatenate(([0], np.cumsum(np.diff(key[order]) != 0)))
        rank = np.empty(size, np.int64)
        rank[order] = steps
        if steps[-1] == size - 1:
            break
        span *= 2
    return _kasai(samples.tobytes(), order.tolist(), rank.tolist())


def _kasai(data: bytes, order: list[int], rank: list[int]) -> list[int]:
    shared, prefix = [0] * (len(data) - 1), 0
    for start in range(len(data)):
        if rank[start] == 0:
            prefix = 0
            continue
        other = order[rank[start] - 1]
        limit = len(data) - max(start, other)
        while prefix < limit and data[start + prefix] == data[other + prefix]:
            prefix += 1
        shared[rank[start] - 1] = prefix
        prefix = max(0, prefix - 1)
    return shared


def _repeats(shared: list[int], size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """By tuple length: how often the most common one occurs, and how many pairs of equal tuples there are."""
    import numpy as np  # noqa: PLC0415

    most, pairs = np.ones(size, np.int64), np.zeros(size)
    left, right = _spans(shared), _spans(shared[::-1], is_strict=True)[::-1]
    lengths, before, after = np.array(shared), np.array(left), np.array(right)
    np.maximum.at(most, lengths, before + after)  # before + after - 1 neighbours share that much: one suffix more
    np.add.at(pairs, lengths, before * after.astype(np.float64))
    return np.maximum.accumulate(most[::-1])[::-1], np.cumsum(pairs[::-1])[::-1]


def _spans(heights: list[int], is_strict: bool = False) -> list[int]:
    """How far back from each place nothing is lower (strict: nor as low)."""
    spans: list[int] = []
    stack: list[int] = []
    for place, height in enumerate(heights):
        while stack and (heights[stack[-1]] > height or (not is_strict and heights[stack[-1]] == height)):
            stack.pop()
        spans.append(place - stack[-1] if stack else place + 1)
        stack.append(place)
    return spans
