"""What the loops read: plain arrays in named tuples, which the compiled kernels and their plain twins take alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanat.physics.layout import Layout
from qanat.physics.memory import DetectorMemory
from qanat.physics.settings import SettingsFunction

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]


class Choice(NamedTuple):
    """How the transmitter's settings are read: F_K and its thresholds."""

    k0: int
    k1: int
    run: int
    thresholds: NDArray[np.uint64]
    threshold_x: int
    zero_x: int
    zero_z: int


class Wiring(NamedTuple):
    """Look-ups between channels and detectors. Sets are integers with one bit per member.

    Attributes:
        channel_detector: Of each channel, shape (C,).
        channels_of: Channels of a set of detectors, shape (2**D,).
        detectors_of: Detectors of a set of channels, shape (2**C,).
        earliest: The set of channels with only the earliest of each detector left, shape (2**C,): a detector clicks
            once per gate.
        own_channel: Channels of each detector, shape (D, most), of which ``own_count`` are filled.
    """

    channel_detector: Integers
    channels_of: Integers
    detectors_of: Integers
    earliest: Integers
    own_channel: Integers
    own_count: Integers


class Traps(NamedTuple):
    """Detector memory as columns: D detectors, T kinds of trap."""

    dead_gates: Integers
    is_simultaneous: bool
    p_trap: Reals
    p_release: Reals
    inverse_log_release: Reals


class Pulses(NamedTuple):
    """Attacks that come and go with the clock: attack i is on where gate % period[i] < length[i]."""

    period: Integers
    length: Integers


def choice_from_settings(settings: SettingsFunction) -> Choice:
    """The numbers of F_K."""
    thresholds = np.array(settings.law.thresholds, dtype=np.uint64)
    law = settings.law
    return Choice(*settings.key_words, settings.run, thresholds, law.threshold_x, *law.thresholds_zero)


def wiring_from_layout(layout: Layout) -> Wiring:
    """The look-ups of a receiver."""
    channel_count, detector_count = layout.channel_count, layout.detector_count
    own = [[c for c, d in enumerate(layout.detectors) if d == detector] for detector in range(detector_count)]
    order = sorted(range(channel_count), key=lambda c: (layout.channels[c].slot_ps, c))
    own_channel = np.zeros((detector_count, max(map(len, own))), dtype=np.int64)
    for detector, channels in enumerate(own):
        own_channel[detector, : len(channels)] = channels
    earliest, detectors_of = _reduced(layout, order)
    return Wiring(
        channel_detector=np.array(layout.detectors, dtype=np.int64),
        channels_of=np.array(
            [
                sum(1 << c for c, d in enumerate(layout.detectors) if detectors >> d & 1)
                for detectors in range(1 << detector_count)
            ],
            dtype=np.int64,
        ),
        detectors_of=detectors_of,
        earliest=earliest,
        own_channel=own_channel,
        own_count=np.array([len(channels) for channels in own], dtype=np.int64),
    )


def _reduced(layout: Layout, order: Sequence[int]) -> tuple[Integers, Integers]:
    patterns = np.arange(layout.pattern_count, dtype=np.int64)
    earliest, seen = np.zeros_like(patterns), np.zeros_like(patterns)
    for channel in order:
        detector = 1 << layout.detectors[channel]
        is_first = (patterns >> channel & 1 == 1) & (seen & detector == 0)
        earliest[is_first] |= 1 << channel
        seen[is_first] |= detector
    return earliest, seen


def traps_from_memory(memory: DetectorMemory, detector_count: int) -> Traps:
    """The columns of these detectors."""
    release = np.array(memory.p_release, dtype=np.float64)
    return Traps(
        dead_gates=memory.dead_gates_of(detector_count),
        is_simultaneous=memory.is_simultaneous,
        p_trap=memory.p_trap_of(detector_count),
        p_release=release,
        inverse_log_release=np.array([inverse_log(p) for p in memory.p_release], dtype=np.float64),
    )


def inverse_log(p: float) -> float:
    """1 / log(1 - p) for geometric gaps; 0 stands for p = 0, and p = 1 gives gaps of 0.

    Example:
        >>> inverse_log(0.0), round(inverse_log(0.5), 4)
        (0.0, -1.4427)
    """
    if p <= 0:
        return 0.0
    return 1 / float(np.log1p(-p)) if p < 1 else -1e-300
