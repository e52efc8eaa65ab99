"""Reads a recording front to back, one frame in memory at a time; the first wrong byte ends it in a sentence."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from qanat.core.errors import EnvironmentProblem
from qanat.core.records import DetectionBlock
from qanat.node.recordings.columns import (
    RecordedSettings,
    RecordedTags,
    detections_from_payload,
    settings_from_payload,
    tags_from_payload,
)
from qanat.node.recordings.form import (
    HEADER_BYTES_MAX,
    MAGIC,
    PAYLOAD_BYTES_MAX,
    PREAMBLE,
    VERSION,
    WORD,
    RecordingError,
    checksum,
)
from qanat.node.recordings.header import Header, Kind, decoded_header

Read = TypeVar("Read")


class RecordingReader:
    """One open recording.

    Memory: one frame (at most 32 MiB) and its columns, eight bytes per entry.

    Raises:
        EnvironmentProblem: no such file, no right to read it, or not a plain file.
        RecordingError: the beginning is not that of a recording; names the byte.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("rb")
        except OSError as error:
            raise EnvironmentProblem(f"recording {self.path} cannot be opened: {error.strerror}") from None
        status = os.fstat(self._file.fileno())
        self._size_bytes, self._at = status.st_size, 0
        try:
            if not stat.S_ISREG(status.st_mode):
                raise EnvironmentProblem(f"recording {self.path} is not a plain file")
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RecordingReader:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def detections(self) -> Iterator[DetectionBlock]:
        """The blocks of a detections recording, numbers strictly increasing; gaps are blocks that were lost.

        Raises:
            RecordingError: at the first byte that is wrong.
        """
        self._demand(Kind.DETECTIONS)
        last = -1
        for payload, place in self._payloads():
            block = self._named(detections_from_payload, payload, place, self.header)
            last = self._after(last, block.number, place)
            yield block

    def settings(self) -> Iterator[RecordedSettings]:
        """The blocks of a settings recording, numbers strictly increasing. Raises: RecordingError."""
        self._demand(Kind.SETTINGS)
        last = -1
        for payload, place in self._payloads():
            block = self._named(settings_from_payload, payload, place, self.header)
            last = self._after(last, block.number, place)
            yield block

    def tags(self) -> Iterator[RecordedTags]:
        """The frames of a time-tag recording, never going back in time. Raises: RecordingError."""
        self._demand(Kind.TIMETAGS)
        last = -(2**63)
        for payload, place in self._payloads():
            frame = self._named(tags_from_payload, payload, place)
            if frame.tag_ps.size:
                if int(frame.tag_ps[0]) < last:
                    raise self._wrong(place, f"tags go back in time, from {last} to {int(frame.tag_ps[0])} ps")
                last = int(frame.tag_ps[-1])
            yield frame

    def _read_header(self) -> Header:
        raw = self._read(PREAMBLE.size, "the beginning")
        magic, version, spare, size_bytes = PREAMBLE.unpack(raw)
        if magic != MAGIC:
            raise self._wrong(0, "this is no recording of light: its first bytes are others")
        if version != VERSION:
            raise self._wrong(8, f"version {version}; this program reads version {VERSION}")
        if spare:
            raise self._wrong(10, f"{spare} where 0 is due")
        if size_bytes > HEADER_BYTES_MAX:
            raise self._wrong(12, f"a header of {size_bytes} bytes; at most {HEADER_BYTES_MAX}")
        text = self._read(size_bytes, "the header")
        self._check(checksum(raw, text), "the header")
        return self._named(decoded_header, text, PREAMBLE.size)

    def _payloads(self) -> Iterator[tuple[bytes, int]]:
        while True:
            place = self._at
            size = self._read(WORD.size, "the size of a frame")
            (size_bytes,) = WORD.unpack(size)
            if size_bytes > PAYLOAD_BYTES_MAX:
                raise self._wrong(place, f"a frame of {size_bytes} bytes; at most {PAYLOAD_BYTES_MAX}")
            payload = self._read(size_bytes, "a frame")
            self._check(checksum(size, payload), "the frame")
            if not payload:
                break
            yield payload, place + WORD.size
        if self._at != self._size_bytes:
            raise self._wrong(self._at, f"{self._size_bytes - self._at} bytes after the end mark")

    def _read(self, size_bytes: int, what: str) -> bytes:
        """So many bytes; nothing is allocated that the file does not have."""
        left = self._size_bytes - self._at
        if size_bytes > left:
            raise self._wrong(
                self._at, f"{what} needs {size_bytes} bytes, the file has {max(0, left)} left: it was cut"
            )
        try:
            data = self._file.read(size_bytes)
        except OSError as error:
            raise self._wrong(self._at, f"{what} cannot be read: {error.strerror}") from None
        if len(data) != size_bytes:
            raise self._wrong(self._at, f"{what} needs {size_bytes} bytes, {len(data)} came: the file shrank")
        self._at += size_bytes
        return data

    def _check(self, found: int, what: str) -> None:
        place = self._at
        (stored,) = WORD.unpack(self._read(WORD.size, "a checksum"))
        if stored != found:
            raise self._wrong(place, f"the checksum of {what} before it is {stored:08x}, computed is {found:08x}")

    def _demand(self, kind: Kind) -> None:
        if self.header.kind is not kind:
            raise self._wrong(PREAMBLE.size, f"this is a recording of {self.header.kind}, not of {kind}")

    def _after(self, last: int, number: int, place: int) -> int:
        if number <= last:
            raise self._wrong(place, f"block {number} does not follow block {last}")
        return number

    def _wrong(self, place: int, problem: str) -> RecordingError:
        return RecordingError(f"{self.path}, byte {place}: {problem}")

    def _named(self, read: Callable[..., Read], *arguments: object) -> Read:
        """The same error, with the file's name before the byte."""
        try:
            return read(*arguments)
        except RecordingError as error:
            raise RecordingError(f"{self.path}, {error.detail}") from None
