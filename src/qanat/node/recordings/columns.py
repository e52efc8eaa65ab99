"""The three kinds of frames: records to columns and back. A reader believes no number before it has fitted it.

Slots and tags are stored as gaps in the narrowest of 1, 2, 4 or 8 bytes that holds the largest of the frame; bits are
packed most significant bit first, and spare bits are zero.

    detections   u64 number, i64 start_ns, u32 count, u32 double clicks, u32 health size, u8 gap width
                 gaps (the first from -1), bases, bits (packed), health (JSON, may be empty)
    settings     u64 number, u32 count, u8 gap width
                 gap width 0: every slot, two slots per byte, the lower four bits first
                 else: gaps of the slots that are recorded, then their settings, two per byte in the same way
                 four bits are: intensity * 4 + basis * 2 + bit
    timetags     u32 count, i64 first tag in ps, u8 gap width, gaps (the first is 0), channels (u8 each)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from qanat.core.health import DETECTOR_COUNT_MAX, GAP_BIN_COUNT, ReceiverHealth
from qanat.core.malformed import MALFORMED
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.node.recordings.form import ENTRIES_MAX, RecordingError
from qanat.node.recordings.header import Header

DETECTIONS = struct.Struct("<QqIIIB")
SETTINGS = struct.Struct("<QIB")
TIMETAGS = struct.Struct("<IqB")
NUMBER_MAX = 2**40
HEALTH_BYTES_MAX = 65_536
TAG_MAX = 2**61  # ps: 26 days; the difference of two tags fits 64 bits
WIDTHS = (1, 2, 4, 8)

Column = NDArray[np.int64]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class RecordedSettings:
    """Settings of one pulse block. ``index`` is None when every slot is recorded.

    ``packed`` has two settings per byte, the lower four bits first; secret until announced.
    """

    number: int
    index: Column | None
    packed: Bytes


@dataclass(frozen=True, slots=True)
class RecordedTags:
    """Raw clicks in the order of time: tags in ps, and which channel."""

    tag_ps: Column
    channel: Bytes


class Cut:
    """A payload being taken apart; every piece is there whole or the recording is wrong.

    Args:
        place: Of the payload's first byte in the file.
    """

    def __init__(self, payload: bytes, place: int) -> None:
        self._payload, self._place, self._at = payload, place, 0

    def wrong(self, problem: str) -> RecordingError:
        return RecordingError(f"byte {self._place + self._at}: {problem}")

    def take(self, size_bytes: int, what: str) -> bytes:
        piece = self._payload[self._at : self._at + size_bytes]
        if len(piece) != size_bytes:
            raise self.wrong(f"{what} needs {size_bytes} bytes, the frame has {len(piece)} left")
        self._at += size_bytes
        return piece

    def unpack(self, form: struct.Struct, what: str) -> tuple[int, ...]:
        return form.unpack(self.take(form.size, what))

    def column(self, count: int, width: int, what: str) -> NDArray[np.unsignedinteger]:
        if width not in WIDTHS:
            raise self.wrong(f"{what}: a gap width of {width} bytes; known are 1, 2, 4, 8")
        if count > ENTRIES_MAX:
            raise self.wrong(f"{what}: {count} entries in one frame; at most {ENTRIES_MAX}")
        return np.frombuffer(self.take(count * width, what), dtype=f"<u{width}")

    def bits(self, count: int, what: str) -> Bytes:
        raw = np.frombuffer(self.take((count + 7) // 8, what), dtype=np.uint8)
        if count % 8 and int(raw[-1]) & (0xFF >> count % 8):
            raise self.wrong(f"{what}: bits after the last one are not zero")
        return np.unpackbits(raw, count=count)

    def nibbles(self, count: int, what: str) -> Bytes:
        raw = np.frombuffer(self.take((count + 1) // 2, what), dtype=np.uint8)
        if count % 2 and int(raw[-1]) >> 4:
            raise self.wrong(f"{what}: bits after the last one are not zero")
        return raw

    def end(self) -> None:
        if self._at != len(self._payload):
            raise self.wrong(f"{len(self._payload) - self._at} bytes too many in the frame")


def _gaps(values: Column) -> tuple[int, bytes]:
    largest = int(values.max(initial=0))
    width = next(width for width in WIDTHS if largest < 1 << 8 * width)
    return width, values.astype(f"<u{width}").tobytes()


def _slots(cut: Cut, count: int, width: int, number: int, header: Header) -> NDArray[np.int64]:
    """Slots from their gaps.

    Raises:
        RecordingError: they do not increase, or leave the block.
    """
    gaps = cut.column(count, width, "slots")
    if count and int(gaps.min()) < 1:
        raise cut.wrong(f"block {number}: slots do not increase")
    index = _sums(gaps, -1, header.n_pulses, cut, "slots")
    if count and int(index[-1]) >= header.n_pulses:
        raise cut.wrong(f"block {number}: slot {int(index[-1])} lies outside 0..{header.n_pulses - 1}")
    return index


def _sums(gaps: NDArray[np.unsignedinteger], start: int, most: int, cut: Cut, what: str) -> Column:
    """Running sums that stay below ``most``, without overflow on any input: 2**22 gaps below 2**62 / 2**22."""
    if gaps.size and int(gaps.max()) > most:
        raise cut.wrong(f"{what}: a gap of {int(gaps.max())}")
    # Doubles tell where exact sums would leave 64 bits; their rounding is far smaller than the room left there.
    if gaps.size and start + float(gaps.sum(dtype=np.float64)) > 2.0**61:
        raise cut.wrong(f"{what}: the gaps add up to more than 2**61")
    return start + np.cumsum(gaps.astype(np.int64))


def payload_from_detections(block: DetectionBlock) -> bytes:
    gaps = np.diff(block.index, prepend=-1)
    if gaps.size and gaps.min() < 1:
        raise ValueError(f"block {block.number}: slots do not increase")
    width, column = _gaps(gaps)
    health = b"" if block.health is None else msgspec.json.encode(block.health)
    head = DETECTIONS.pack(block.number, block.start_ns, len(block.index), block.double_click_count, len(health), width)
    return head + column + np.packbits(block.basis).tobytes() + np.packbits(block.bit).tobytes() + health


def detections_from_payload(payload: bytes, place: int, header: Header) -> DetectionBlock:
    """The block.

    Raises:
        RecordingError: a size, a slot or a number that cannot be.
    """
    cut = Cut(payload, place)
    number, start_ns, count, doubles, health_size, width = cut.unpack(DETECTIONS, "a block of detections")
    if number >= NUMBER_MAX or not 0 <= start_ns < 2**62 or doubles > count:
        raise cut.wrong(f"block {number}: start {start_ns} ns, {doubles} double clicks of {count}")
    index = _slots(cut, count, width, number, header)
    basis, bit = cut.bits(count, "bases"), cut.bits(count, "bits")
    health = _health(cut, health_size)
    cut.end()
    return DetectionBlock(
        link=header.link,
        number=number,
        start_ns=start_ns,
        n_pulses=header.n_pulses,
        index=index,
        basis=basis,
        bit=bit,
        double_click_count=doubles,
        health=health,
    )


def _health(cut: Cut, size_bytes: int) -> ReceiverHealth | None:
    if size_bytes > HEALTH_BYTES_MAX:
        raise cut.wrong(f"health of {size_bytes} bytes; at most {HEALTH_BYTES_MAX}")
    raw = cut.take(size_bytes, "health")
    if not raw:
        return None
    try:
        health = msgspec.json.decode(raw, type=ReceiverHealth)
    except MALFORMED as error:
        raise cut.wrong(f"health is not understood: {error}") from None
    if len(health.arrivals) > DETECTOR_COUNT_MAX or len(health.gap_histogram) != GAP_BIN_COUNT:
        raise cut.wrong(f"health of {len(health.arrivals)} detectors with {len(health.gap_histogram)} gap bins")
    return health


def nibbles_from_settings(settings: SettingsColumns) -> Bytes:
    """Two settings per byte, the lower four bits first."""
    values = (settings.intensity * 4 + settings.basis * 2 + settings.bit).astype(np.uint8)
    padded = np.append(values, np.uint8(0)) if len(values) % 2 else values
    return np.asarray(padded[0::2] | padded[1::2] << np.uint8(4), dtype=np.uint8)


def settings_from_nibbles(packed: Bytes, places: Column) -> SettingsColumns:
    """The settings at these places of the column."""
    values = packed[places >> 1] >> ((places & 1) * 4).astype(np.uint8) & np.uint8(15)
    return SettingsColumns(
        intensity=values >> np.uint8(2), basis=values >> np.uint8(1) & np.uint8(1), bit=values & np.uint8(1)
    )


def payload_from_settings(number: int, index: Column | None, settings: SettingsColumns) -> bytes:
    """``index`` None: the settings of every slot of the block, in order."""
    packed = nibbles_from_settings(settings).tobytes()
    count = len(settings.bit)
    if index is None:
        return SETTINGS.pack(number, count, 0) + packed
    width, column = _gaps(np.diff(index, prepend=-1))
    return SETTINGS.pack(number, count, width) + column + packed


def settings_from_payload(payload: bytes, place: int, header: Header) -> RecordedSettings:
    """The block.

    Raises:
        RecordingError: a size, a slot or a setting that cannot be.
    """
    cut = Cut(payload, place)
    number, count, width = cut.unpack(SETTINGS, "a block of settings")
    index = None
    if number >= NUMBER_MAX:
        raise cut.wrong(f"block {number}")
    if width:
        index = _slots(cut, count, width, number, header)
    elif count != header.n_pulses:
        raise cut.wrong(f"block {number}: {count} settings for {header.n_pulses} slots")
    packed = cut.nibbles(count, "settings")
    most = len(header.prepared.intensities) if header.prepared is not None else 0
    # An intensity takes the upper two bits of four; of the last byte's upper half, zeros are a setting too.
    if packed.size and max(int((packed & 15).max()), int((packed >> np.uint8(4)).max())) >= 4 * most:
        raise cut.wrong(f"block {number}: an intensity that the header does not name")
    cut.end()
    return RecordedSettings(number, index, packed)


def payload_from_tags(tag_ps: Column, channel: Bytes) -> bytes:
    gaps = np.diff(tag_ps, prepend=tag_ps[:1])
    if gaps.size and gaps.min() < 0:
        raise ValueError("tags go back in time")
    width, column = _gaps(gaps)
    first = int(tag_ps[0]) if tag_ps.size else 0
    return TIMETAGS.pack(len(tag_ps), first, width) + column + channel.astype(np.uint8).tobytes()


def tags_from_payload(payload: bytes, place: int) -> RecordedTags:
    """The tags.

    Raises:
        RecordingError: sizes that do not fit, or a time that cannot be.
    """
    cut = Cut(payload, place)
    count, first, width = cut.unpack(TIMETAGS, "a frame of tags")
    if not -TAG_MAX < first < TAG_MAX:
        raise cut.wrong(f"a first tag at {first} ps")
    gaps = cut.column(count, width, "tags")
    if count and int(gaps[0]):
        raise cut.wrong("the first gap is not 0")
    tag_ps = _sums(gaps, first, TAG_MAX, cut, "tags")
    channel = np.frombuffer(cut.take(count, "channels"), dtype=np.uint8)
    cut.end()
    return RecordedTags(tag_ps, channel)
