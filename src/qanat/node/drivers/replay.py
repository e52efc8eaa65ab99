"""``replay://FILE``: recorded pulse blocks, detections for a receiver and settings for a transmitter.

A gap in the numbers is a block that was lost: the receiver simply does not announce it. A block that the transmitter's
recording lacks cannot be answered: that session ends with a sentence, and the next goes on behind it. At the first
wrong byte, or where a file was cut, the light ends; what came before is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import LightEnded, QanatError
from qanat.core.health import TransmitterHealth
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.node.drivers.ports import LightContext, WrongLight
from qanat.node.drivers.uri import LightUri, LightUriError
from qanat.node.recordings.columns import RecordedSettings, settings_from_nibbles
from qanat.node.recordings.form import RecordingError
from qanat.node.recordings.header import Header, Kind, Prepared
from qanat.node.recordings.reader import RecordingReader


class SettingsMissing(QanatError):
    """The transmitter's recording does not hold what was prepared in a slot that the receiver announced. The two
    files are not of one run, or a pulse block was lost at the transmitter."""


def opened(uri: LightUri, context: LightContext, kind: Kind) -> RecordingReader:
    """The recording that a URI names, of this kind and of this link.

    Raises:
        WrongLight: another kind, or numbers that differ from the network file's.
        RecordingError, EnvironmentProblem: it cannot be read.
    """
    uri.allow(())
    if not uri.place:
        raise LightUriError(f"{uri.text}: name a recording, as in {uri.scheme}://rx.qlight")
    reader = RecordingReader(Path(uri.place).expanduser())
    try:
        _check(uri, reader.header, context, kind)
    except WrongLight:
        reader.close()
        raise
    return reader


def _check(uri: LightUri, header: Header, context: LightContext, kind: Kind) -> None:
    if header.kind is not kind:
        raise WrongLight(f"{uri.text} holds {header.kind}; here {kind} are needed")
    link = context.link
    pairs = {
        "link": (header.link, link.id),
        "clock_hz": (header.clock_hz, link.clock_hz),
        "pulse_block_ns": (header.pulse_block_ns, link.pulse_block_ns),
        "n_pulses": (header.n_pulses, context.n_pulses),
    }
    for name, (recorded, wanted) in pairs.items():
        if recorded != wanted:
            raise WrongLight(f"{uri.text} was recorded with {name} {recorded}; the network file has {wanted}")


def receiver(uri: LightUri, context: LightContext) -> RecordedReceiver:
    """See the module."""
    reader = opened(uri, context, Kind.DETECTIONS)
    return RecordedReceiver(reader, reader.detections())


def transmitter(uri: LightUri, context: LightContext) -> ReplayedTransmitter:
    """See the module."""
    return ReplayedTransmitter(opened(uri, context, Kind.SETTINGS))


class RecordedReceiver:
    """Detections that come from a file, one block after the other."""

    is_recorded = True

    def __init__(self, reader: RecordingReader, blocks: Iterator[DetectionBlock]) -> None:
        self._reader, self._blocks = reader, blocks
        self.is_simulated = reader.header.is_simulated

    def begin(self, epoch: int) -> None:
        """The recording goes on where the last session left it."""

    def next_block(self) -> DetectionBlock:
        """Raises: LightEnded; RecordingError at the first wrong byte; what else the blocks raise."""
        block = next(self._blocks, None)
        if block is None:
            raise LightEnded(f"{self._reader.path} is at its end")
        return block

    def close(self) -> None:
        self._reader.close()


class ReplayedTransmitter:
    """Settings from a file, read forward only: blocks are asked for in order."""

    is_recorded = True

    def __init__(self, reader: RecordingReader) -> None:
        self._reader = reader
        self._blocks = reader.settings()
        self._block: RecordedSettings | None = None
        self.problem: QanatError | None = None
        prepared = reader.header.prepared or Prepared(intensities=(), p_intensities=(), p_x=0.0)
        self.is_simulated = reader.header.is_simulated
        self.intensities, self.p_intensities = prepared.intensities, prepared.p_intensities
        self.p_x, self.p_zero = prepared.p_x, prepared.p_zero

    def begin(self, epoch: int) -> None:
        """The recording goes on where the last session left it."""

    def health_of(self, block_number: int) -> TransmitterHealth | None:
        """Nothing: a recording of settings has none."""
        return None

    def settings_at(self, block_number: int, index: NDArray[np.int64]) -> SettingsColumns:
        """What was prepared.

        Raises:
            SettingsMissing: it was not recorded.
            LightEnded, RecordingError: nothing more comes from this file; also kept in ``problem``.
        """
        block = self._block_of(block_number)
        n_pulses = self._reader.header.n_pulses
        slots = np.asarray(index, dtype=np.int64)
        if slots.size and not 0 <= slots.min() <= slots.max() < n_pulses:
            raise SettingsMissing(f"{self._name}: a slot of block {block_number} lies outside 0..{n_pulses - 1}")
        return settings_from_nibbles(block.packed, self._places(block, slots))

    def close(self) -> None:
        self._reader.close()

    @property
    def _name(self) -> str:
        return str(self._reader.path)

    def _block_of(self, number: int) -> RecordedSettings:
        while self._block is None or self._block.number < number:
            self._block = self._next()
        if self._block.number != number:
            raise SettingsMissing(
                f"{self._name}: block {number} is missing; the file goes on with {self._block.number}"
            )
        return self._block

    def _next(self) -> RecordedSettings:
        try:
            block = next(self._blocks, None)
            if block is None:
                raise LightEnded(f"{self._name} is at its end")
        except (LightEnded, RecordingError) as problem:
            self.problem = self.problem or problem
            raise self.problem from None
        return block

    def _places(self, block: RecordedSettings, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the block's column these slots stand."""
        if block.index is None:
            return slots
        places = np.searchsorted(block.index, slots)
        is_there = places < block.index.size
        is_there[is_there] = block.index[places[is_there]] == slots[is_there]
        if not is_there.all():
            slot = int(slots[~is_there][0])
            raise SettingsMissing(f"{self._name}: slot {slot} of block {block.number} was not recorded")
        return places
