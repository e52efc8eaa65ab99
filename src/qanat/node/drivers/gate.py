"""From tagged clicks to a DetectionBlock: gate, squash, and what the receiver tells about itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.core.health import GAP_BIN_COUNT, Arrivals, ReceiverHealth
from qanat.core.ports import Entropy
from qanat.core.records import Basis
from qanat.node.recordings.header import CHANNELS, Tags

Column = NDArray[np.int64]
Bits = NDArray[np.uint8]
BOTH_X, BOTH_Z = 0b0011, 0b1100  # patterns in which both detectors of one basis clicked
UNKNOWN = np.uint8(len(CHANNELS))  # detector number of channels that are none


@dataclass(slots=True)
class TaggedClicks:
    """Clicks in order of time: slot, offset from the slot's middle in ps, detector."""

    slot: Column
    offset_ps: NDArray[np.float64]
    detector: Bits

    def split(self, slot: int) -> tuple[TaggedClicks, TaggedClicks]:
        """Those before this slot, and the others."""
        early = self.slot < slot
        return self._those(early), self._those(~early)

    def and_then(self, later: TaggedClicks) -> TaggedClicks:
        return TaggedClicks(
            np.concatenate([self.slot, later.slot]),
            np.concatenate([self.offset_ps, later.offset_ps]),
            np.concatenate([self.detector, later.detector]),
        )

    def _those(self, which: NDArray[np.bool_]) -> TaggedClicks:
        return TaggedClicks(self.slot[which], self.offset_ps[which], self.detector[which])


def detector_table(tags: Tags) -> Bits:
    """Detector number of each channel number, shape (256,)."""
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    for detector, name in enumerate(CHANNELS):
        table[tags.channels[name]] = detector
    return table


def marked_slots(clicks: TaggedClicks, gate_width_ps: float) -> tuple[Column, Bits]:
    """Slots in which something clicked within its gate, each once, and the pattern of detectors (bit d: detector d)."""
    in_gate = np.abs(clicks.offset_ps) <= gate_width_ps / 2
    order = np.argsort(clicks.slot[in_gate], kind="stable")
    slot = clicks.slot[in_gate][order]
    mark = np.uint8(1) << clicks.detector[in_gate][order]
    if not slot.size:
        return slot, mark
    first = np.flatnonzero(np.diff(slot, prepend=slot[0] - 1))
    return slot[first], np.bitwise_or.reduceat(mark, first)


def squashed(pattern: Bits, p_x: float, entropy: Entropy) -> tuple[Bits, Bits, int]:
    """Basis and bit of each pattern, and how many were double. The law is that of ``physics.squash``.

    The coins are key material: they come from the operating system, never from a seed.
    """
    double = np.flatnonzero(pattern & (pattern - np.uint8(1)))
    detector = np.zeros(256, dtype=np.uint8)
    detector[[1, 2, 4, 8]] = [0, 1, 2, 3]
    single = detector[pattern]
    basis, bit = single >> np.uint8(1), single & np.uint8(1)
    words = np.frombuffer(entropy.random_bytes(5 * double.size), dtype=np.uint8).reshape(-1, 5)
    coin = words[:, :4].copy().view("<u4")[:, 0] < p_x * 2.0**32
    either = np.where(coin, np.uint8(Basis.X), np.uint8(Basis.Z))
    chosen = np.where(pattern[double] == BOTH_X, np.uint8(Basis.X), either)
    basis[double] = np.where(pattern[double] == BOTH_Z, np.uint8(Basis.Z), chosen)
    bit[double] = words[:, 4] & 1
    return basis, bit, double.size


def health_of(clicks: TaggedClicks, slot: Column, tags: Tags) -> ReceiverHealth:
    """Arrival times per detector and gaps between detections of one pulse block."""
    outside = np.abs(clicks.offset_ps) > tags.gate_width_ps / 2
    return ReceiverHealth(
        arrivals=tuple(_arrivals(clicks, outside, np.uint8(detector)) for detector in range(len(CHANNELS))),
        gap_histogram=gap_histogram(slot),
        bias_current_na=tags.bias_current_na,
        temperature_c=tags.temperature_c,
        control_effort=tags.control_effort,
    )


def gap_histogram(slot: Column) -> tuple[int, ...]:
    """Slots between successive detections in bins of a factor 2.

    Example:
        >>> gap_histogram(np.array([0, 1, 3, 6]))[:3]
        (1, 2, 0)
    """
    bins = np.log2(np.maximum(1, np.diff(slot))).astype(np.int64)
    return tuple(np.bincount(np.minimum(bins, GAP_BIN_COUNT - 1), minlength=GAP_BIN_COUNT).tolist())


def _arrivals(clicks: TaggedClicks, outside: NDArray[np.bool_], detector: np.uint8) -> Arrivals:
    own = clicks.detector == detector
    offset_ps = clicks.offset_ps[own]
    if not offset_ps.size:
        return Arrivals(count=0)
    mean, std = float(offset_ps.mean()), float(offset_ps.std())
    third = float(((offset_ps - mean) ** 3).mean())
    return Arrivals(
        count=int(offset_ps.size),
        mean_ps=mean,
        std_ps=std,
        skewness=third / std**3 if std else 0.0,
        out_of_gate_count=int(outside[own].sum()),
    )
