"""Laws over patterns of channels, shape (S, 2**C): channels read off, taken out and put in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Table
from qanat.physics.tables import Wiring


def firing_detectors(wiring: Wiring) -> Table:
    """Which detectors each pattern fires, shape (2**C, D)."""
    return (wiring.detectors_of[:, None] >> np.arange(len(wiring.own_count)) & 1).astype(np.float64)


def first_of_each(law: Table, wiring: Wiring) -> Table:
    """The law of what clicks of a pattern of marks: the earliest channel of each detector."""
    reduced = np.zeros_like(law)
    np.add.at(reduced.T, wiring.earliest, law.T)
    return reduced


def has_channel(wiring: Wiring, channel: int) -> NDArray[np.bool_]:
    """Which patterns have this channel, shape (2**C,)."""
    return np.asarray(np.arange(len(wiring.earliest)) >> channel & 1 == 1)


def without_channel(joint: Table, channel: int, other: int | None, share: Table | float) -> Table:
    """This share of the patterns with a channel lose it, or have another in its place."""
    patterns = np.arange(joint.shape[1])
    has = patterns[patterns >> channel & 1 == 1]
    into = has & ~(1 << channel) | (0 if other is None else 1 << other)
    taken = joint[:, has] * share
    moved = joint.copy()
    moved[:, has] -= taken
    np.add.at(moved.T, into, taken.T)
    moved[:, 0] = 0.0
    return moved


def with_channel(joint: Table, channel: int, wiring: Wiring, share: float) -> Table:
    """This share of the patterns in which the channel's detector is quiet has it too: a release beside a mark."""
    detector = 1 << int(wiring.channel_detector[channel])
    quiet = np.flatnonzero((wiring.detectors_of & detector == 0) & (np.arange(joint.shape[1]) > 0))
    taken = joint[:, quiet] * min(1.0, share)
    joined = joint.copy()
    joined[:, quiet] -= taken
    joined[:, quiet | 1 << channel] += taken
    return joined
