"""``timetags://FILE``: raw time tags of a receiver. Clock recovery, gating and squashing happen here.

The recording's header says clock period, gate width, channels and offset (docs/reference/recorded-light.md). Clicks
outside the gate are counted in ``ReceiverHealth`` and make no key. When the clock is lost, the light ends.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from qanat.core.ports import Entropy
from qanat.core.records import DetectionBlock
from qanat.node.drivers.clock import ACQUIRE_COUNT, WINDOW_COUNT, SlotClock
from qanat.node.drivers.gate import UNKNOWN, TaggedClicks, detector_table, health_of, marked_slots, squashed
from qanat.node.drivers.ports import LightContext, TransmitterDriver, WrongLight
from qanat.node.drivers.replay import RecordedReceiver, opened
from qanat.node.drivers.uri import LightUri
from qanat.node.entropy import SystemEntropy
from qanat.node.recordings.form import RecordingError
from qanat.node.recordings.header import Kind
from qanat.node.recordings.reader import RecordingReader
from qanat.physics.datasheet import load_receiver
from qanat.physics.families.sheets import TIME_BIN

BEHIND_COUNT = 2  # slots by which a correction of the clock may still move a click back


def receiver(uri: LightUri, context: LightContext) -> TaggedReceiver:
    """See the module.

    Raises:
        WrongLight: tags of a time-bin receiver.
    """
    if load_receiver(context.link.receiver).family == TIME_BIN:
        raise WrongLight(
            f"{uri.text}: receiver {context.link.receiver!r} tells bits by the slot within a gate, which time tags are "
            "not read for; replay its detections with replay://"
        )
    return TaggedReceiver(opened(uri, context, Kind.TIMETAGS), SystemEntropy())


def transmitter(uri: LightUri, context: LightContext) -> TransmitterDriver:
    """A transmitter has no clicks.

    Raises:
        WrongLight: always.
    """
    raise WrongLight(f"{uri.text}: time tags are a receiver's; a transmitter replays its settings with replay://")


class TaggedReceiver(RecordedReceiver):
    """Pulse blocks from time tags.

    Attributes:
        dropped_count: Clicks before the first slot, or too late for a block that was handed out.
    """

    def __init__(self, reader: RecordingReader, entropy: Entropy) -> None:
        header = reader.header
        if header.tags is None:
            raise RecordingError(f"{reader.path}: no tags in the header")
        super().__init__(reader, self._all())
        self._header, self._tags, self._entropy = header, header.tags, entropy
        self._clock = SlotClock(header.tags)
        self._detectors = detector_table(header.tags)
        self._clicks = TaggedClicks(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0, dtype=np.uint8))
        self.dropped_count = 0

    def _all(self) -> Iterator[DetectionBlock]:
        count, n_pulses = 0, self._header.n_pulses
        for tag_ps, detector in self._gathered():
            if not self._clock.is_locked:
                self._clock.acquire(tag_ps)
            slot, part = self._clock.phases(tag_ps)
            self._clicks = self._clicks.and_then(TaggedClicks(slot, part * self._clock.period_ps, detector))
            while self._clicks.slot.size and int(self._clicks.slot.max()) >= (count + 1) * n_pulses + BEHIND_COUNT:
                yield self._block(count)
                count += 1
        if self._clicks.slot.size:
            yield self._block(count)

    def _gathered(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Clicks of detectors, at least as many at first as finding the clock takes."""
        tags, detectors = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.uint8)]
        wanted = ACQUIRE_COUNT
        for frame in self._reader.tags():
            detector = self._detectors[frame.channel]
            is_one = detector != UNKNOWN
            tags.append(frame.tag_ps[is_one])
            detectors.append(detector[is_one])
            if sum(map(len, tags)) >= wanted:
                yield np.concatenate(tags), np.concatenate(detectors)
                tags, detectors, wanted = [], [], WINDOW_COUNT
        if sum(map(len, tags)):
            yield np.concatenate(tags), np.concatenate(detectors)

    def _block(self, count: int) -> DetectionBlock:
        """The next pulse block, counted from the recording's first; a dark one has no detections."""
        header, first = self._header, count * self._header.n_pulses
        clicks, self._clicks = self._clicks.split(first + header.n_pulses)
        late, clicks = clicks.split(first)
        self.dropped_count += late.slot.size
        slot, pattern = marked_slots(clicks, self._tags.gate_width_ps)
        basis, bit, doubles = squashed(pattern, self._tags.p_x, self._entropy)
        number = header.first_number + count
        return DetectionBlock(
            link=header.link,
            number=number,
            start_ns=header.start_ns + number * header.pulse_block_ns,
            n_pulses=header.n_pulses,
            index=slot - first,
            basis=basis,
            bit=bit,
            double_click_count=doubles,
            health=health_of(clicks, slot, self._tags),
        )
