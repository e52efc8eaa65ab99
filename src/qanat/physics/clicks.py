"""What a sampler hands over: clicks as columns, what was counted beside them, and their ground truth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from qanat.core.health import GAP_BIN_COUNT


class Cause(IntEnum):
    """Why a detector clicked."""

    LIGHT = 0
    NOISE = 1  # a dark count or stray light
    AFTERPULSE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What really happened in each slot with a click: nature's secret, for judging monitors, never for an engine.

    Attributes:
        label: Index into ``names`` of the branch that the light took, uint8, shape (n,).
        cause: A ``Cause`` each, uint8, shape (n,); of the first channel, where several clicked.
    """

    label: NDArray[np.uint8]
    cause: NDArray[np.uint8]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a receiver counts beside its announced clicks.

    Attributes:
        moments: Per detector: clicks, sums of the first three powers of their offset in ps from their slot's centre,
            clicks outside the window (in the first four too); shape (D, 5).
        gaps: Histogram of slots between clicks; bins as in ``core.health``.
        silent_count: Slots whose clicks told no basis.
    """

    moments: NDArray[np.float64]
    gaps: NDArray[np.int64]
    silent_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Clicks:
    """Slots in which something clicked.

    Attributes:
        gate: Global slot number, strictly increasing, int64, shape (n,).
        basis, bit: After squashing, uint8, shape (n,).
        double_click_count: Slots in which more than one detector clicked.
        candidate_count: Slots that the sampler looked at.
    """

    gate: NDArray[np.int64]
    basis: NDArray[np.uint8]
    bit: NDArray[np.uint8]
    double_click_count: int
    candidate_count: int
    tally: Tally
    truth: Truth


def empty_tally(detector_count: int) -> Tally:
    """Nothing seen yet."""
    return Tally(moments=np.zeros((detector_count, 5)), gaps=np.zeros(GAP_BIN_COUNT, dtype=np.int64), silent_count=0)


def stream_state(seed: bytes, purpose: str) -> NDArray[np.uint64]:
    """State of a xoshiro256++ stream; seeds and purposes that differ give unrelated streams.

    Example:
        >>> bool((stream_state(b"a", "sparse") == stream_state(b"a", "dense")).any())
        False
    """
    digest = hashlib.sha256(f"qanat/physics/{purpose}/".encode() + seed).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)
