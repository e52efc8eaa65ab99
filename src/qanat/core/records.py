"""The records on the straight line from photons to keys. Columns are numpy arrays; keys are secrets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from qanat.core.health import ReceiverHealth
from qanat.core.ids import BlockId, LinkId
from qanat.core.provenance import Provenance
from qanat.core.secret import SecretBits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Basis(IntEnum):
    """Lim et al. 2014: key is made from X, eavesdropping is measured in Z."""

    X = 0
    Z = 1


class Role(IntEnum):
    """Which end of a QKD link."""

    TRANSMITTER = 0
    RECEIVER = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionBlock:
    """What the receiver saw in one block of pulses.

    Attributes:
        number: Counts pulse blocks of one link from 0.
        start_ns: Start of the block in link time.
        n_pulses: Clock slots in the block.
        index: Clock slot of each detection, from the block's first; strictly increasing, int64, shape (n,).
        basis: Measured basis after squashing, uint8, shape (n,).
        bit: Measured bit after squashing, uint8, shape (n,). Secret until announced.
        double_click_count: Slots in which more than one detector clicked.
        health: What the module tells about itself; None when the device tells nothing.
    """

    link: LinkId
    number: int
    start_ns: int
    n_pulses: int
    index: NDArray[np.int64]
    basis: NDArray[np.uint8]
    bit: NDArray[np.uint8]
    double_click_count: int
    health: ReceiverHealth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsColumns:
    """What the transmitter prepared (or measured, where it is a receiver itself) in the slots it was asked for.

    Attributes:
        intensity: Which intensity, 0 is the brightest, uint8, shape (n,).
        basis: uint8, shape (n,).
        bit: uint8, shape (n,). Secret until announced.
        is_known: False where this end has nothing to say, as where a receiver in the transmitter's place saw no photon;
            sifting drops such slots. None: all are known.
    """

    intensity: NDArray[np.uint8]
    basis: NDArray[np.uint8]
    bit: NDArray[np.uint8]
    is_known: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBlock:
    """Secret bits that both ends of one QKD link now share.

    Attributes:
        block: Same at both ends.
        start_ns: Link time at which its first pulse left.
        end_ns: Link time at which its last pulse left.
    """

    link: LinkId
    block: BlockId
    start_ns: int
    end_ns: int
    bits: SecretBits
    provenance: Provenance
