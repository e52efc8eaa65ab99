"""What a sampler hands over: clicks as columns, and the sampler's own stream of chance."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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


def stream_state(seed: bytes, purpose: str) -> NDArray[np.uint64]:
    """State of a xoshiro256++ stream; seeds and purposes that differ give unrelated streams.

    Example:
        >>> bool((stream_state(b"a", "sparse") == stream_state(b"a", "dense")).any())
        False
    """
    digest = hashlib.sha256(f"qanat/physics/{purpose}/".encode() + seed).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)
