"""What both ends must agree on before the first parity: frames, block sizes, permutations, subsets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qanat.distill.cascade.mixing import permutation, random_words

FRAME_BITS_MAX = 65_536  # a frame's tables then fit a core's second-level cache
SUBSET_COUNT = 16  # random-subset parities at the end: what is left undetected in a frame passes with 2**-16
SEED_BYTES = 16
QBER_FLOOR = 1e-3  # below it larger first blocks save nothing worth having


@dataclass(frozen=True, slots=True)
class Schedule:
    """Cascade's public plan for one key block.

    The key is dealt out to frames bit by bit (bit j to frame j mod frame_count), so that a burst of errors
    meets many frames. All frames share the permutations.

    Attributes:
        size_bits: Key length.
        frame_count, frame_bits: Frames and bits of each; the last places of some frames are padding,
            zero at both ends and never key.
        log2_sizes: Block size of each pass as a power of two, rising.
    """

    size_bits: int
    frame_count: int
    frame_bits: int
    log2_sizes: tuple[int, ...]

    @property
    def padded_bits(self) -> int:
        """Frame size as a power of two, at least one machine word: the tree's width."""
        return max(64, 1 << (self.frame_bits - 1).bit_length())


class Pace(Enum):
    """Leak against rounds. Larger blocks disclose less; what they leave is found one error after the other.

    Attributes:
        blocks_per_error: First blocks have about ``blocks_per_error / qber`` bits.
        growth: The second pass has 2**growth times larger blocks, and there is no third: what both leave, random
            subsets find.
        rounds_typical: At 2 % and a million bits (bench/cascade.py); two rounds are one round trip.
    """

    FEW_ROUNDS = (0.65, 3, 360)
    BALANCED = (0.75, 4, 760)
    LOW_LEAK = (1.0, 4, 2400)

    def __init__(self, blocks_per_error: float, growth: int, rounds_typical: int) -> None:
        self.blocks_per_error = blocks_per_error
        self.growth = growth
        self.rounds_typical = rounds_typical


def schedule_from_qber(size_bits: int, qber: float, *, pace: Pace = Pace.FEW_ROUNDS) -> Schedule:
    """The plan for this many bits at this estimated error rate.

    Example:
        >>> schedule_from_qber(200_000, 0.02)
        Schedule(size_bits=200000, frame_count=4, frame_bits=50000, log2_sizes=(5, 8))
        >>> schedule_from_qber(200_000, 0.02, pace=Pace.LOW_LEAK).log2_sizes
        (6, 10)
    """
    frame_count, frame_bits, largest = _frames(size_bits)
    first = max(1, round(math.log2(pace.blocks_per_error / min(0.25, max(QBER_FLOOR, qber)))))
    sizes = tuple(size for size in (first, first + pace.growth) if size <= largest)
    return Schedule(size_bits, frame_count, frame_bits, sizes or (largest,))


def schedule_from_sizes(size_bits: int, log2_sizes: bytes) -> Schedule | None:
    """The plan with these block sizes, one byte each; None when no ``schedule_from_qber`` gives such."""
    frame_count, frame_bits, largest = _frames(size_bits)
    rises = all(small < large for small, large in pairwise(log2_sizes))
    if not log2_sizes or not rises or log2_sizes[0] < 1 or log2_sizes[-1] > largest:
        return None
    return Schedule(size_bits, frame_count, frame_bits, tuple(log2_sizes))


def _frames(size_bits: int) -> tuple[int, int, int]:
    """How many, how large, and the largest block size: a pass has at least two blocks, where it can."""
    if size_bits < 2:
        raise ValueError(f"{size_bits} bits cannot be reconciled")
    frame_count = -(-size_bits // FRAME_BITS_MAX)
    frame_bits = -(-size_bits // frame_count)
    return frame_count, frame_bits, max(1, (frame_bits - 1).bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Tables:
    """Permutations and subsets of a schedule. The first pass keeps the order; each later one has a row.

    Attributes:
        order: order[p - 1, place] is the frame's bit at that place of pass p, uint16, shape (passes - 1, frame_bits).
        place: The inverse: place[p - 1, bit].
        subsets: One bit mask over the frame per subset, uint64, shape (SUBSET_COUNT, padded_bits / 64),
            bit i of the frame is bit i mod 64 of word i // 64.
    """

    order: NDArray[np.uint16]
    place: NDArray[np.uint16]
    subsets: NDArray[np.uint64]


def tables_from_seed(schedule: Schedule, seed: bytes) -> Tables:
    """Both ends compute the same tables from the public seed."""
    m = schedule.frame_bits
    order = np.empty((len(schedule.log2_sizes) - 1, m), dtype=np.uint16)
    place = np.empty_like(order)
    for which in range(len(order)):
        order[which] = permutation(m, seed, f"pass {which + 1}")
        place[which, order[which]] = np.arange(m, dtype=np.uint16)
    words = schedule.padded_bits // 64
    subsets = random_words(SUBSET_COUNT * words, seed, "subsets").reshape(SUBSET_COUNT, words)
    return Tables(order=order, place=place, subsets=subsets)
