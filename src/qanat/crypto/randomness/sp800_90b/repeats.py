"""The t-tuple and longest-repeated-substring estimates (SP 800-90B, 6.3.5 and 6.3.6), from one suffix array.

Suffixes in order, with the length that each shares with the one before; joining neighbours from the longest shared
length downwards gives, for every length, how many pairs of places agree that far and the largest such group.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.crypto.randomness.sp800_90b.counting import entropy_bits, share_max

COUNT_MIN = 35  # 6.3.5: tuples that occur less often do not count


def repeats(samples: NDArray[np.uint8], count_min: int = COUNT_MIN) -> tuple[float | None, float | None]:
    """Both estimates, any alphabet. None: no tuple is that frequent; or none that is less frequent repeats.

    Time and memory are n log n whatever the samples are.
    """
    size = len(samples)
    largest, pairs = _groups(shared_lengths(samples))
    lengths = np.arange(1, len(largest))
    frequent = lengths[largest[1:] >= count_min]
    rare = lengths[len(frequent) :]
    places = size - np.arange(len(largest)) + 1.0
    tuples = (largest[frequent] / places[frequent]) ** (1 / frequent)
    agreements = (pairs[rare] / (places[rare] * (places[rare] - 1) / 2)) ** (1 / rare)
    return _entropy_bits(tuples, size), _entropy_bits(agreements, size)


def _entropy_bits(shares: NDArray[np.float64], size: int) -> float | None:
    return entropy_bits(share_max(float(shares.max()), size)) if len(shares) else None


def suffix_array(samples: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Starts of all suffixes in lexical order, by prefix doubling."""
    size = len(samples)
    rank = samples.astype(np.int64) + 1
    span = 1
    while True:
        following = np.zeros(size, dtype=np.int64)
        following[: max(0, size - span)] = rank[span:]
        key = rank * (max(size, 256) + 2) + following
        order = np.argsort(key, kind="stable")
        ordered = key[order]
        fresh = np.concatenate([[1], 1 + np.cumsum(ordered[1:] != ordered[:-1])])
        rank = np.empty(size, dtype=np.int64)
        rank[order] = fresh
        if fresh[-1] == size:
            return order
        span *= 2


def shared_lengths(samples: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Entry i is the length that suffixes i - 1 and i, in order, share; entry 0 is 0.

    Source: Kasai et al., CPM 2001, LNCS 2089, p. 181.
    """
    order = suffix_array(samples)
    size = len(order)
    before = np.full(size, -1, dtype=np.int64)
    before[order[1:]] = order[:-1]
    text, shared = samples.tobytes(), [0] * size
    length = 0
    for place, other in enumerate(before.tolist()):
        if other < 0:
            length = 0
            continue
        end = size - max(place, other)
        while length < end and text[place + length] == text[other + length]:
            length += 1
        shared[place] = length
        length = max(0, length - 1)
    return np.array(shared, dtype=np.int64)[order]


def _groups(shared: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every length from 0 to the longest shared one: size of the largest group, and pairs of places, that agree."""
    longest = int(shared.max())
    largest = np.ones(longest + 1, dtype=np.int64)
    pairs = np.zeros(longest + 1, dtype=np.int64)
    sizes = [1] * len(shared)  # at both ends of every group, its size
    places = 1 + np.argsort(-shared[1:], kind="stable")
    groups, products = [], []
    for place in places.tolist():
        left, right = sizes[place - 1], sizes[place]
        sizes[place - left] = sizes[place + right - 1] = left + right
        groups.append(left + right)
        products.append(left * right)
    np.maximum.at(largest, shared[places], np.array(groups, dtype=np.int64))
    np.add.at(pairs, shared[places], np.array(products, dtype=np.int64))
    return np.maximum.accumulate(largest[::-1])[::-1], np.cumsum(pairs[::-1])[::-1]
