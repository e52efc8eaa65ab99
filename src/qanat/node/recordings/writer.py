"""Writes a recording frame by frame. Until ``close`` it has no end mark, so a crash shows as a cut file."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.records import DetectionBlock, SettingsColumns
from qanat.node.recordings.columns import (
    Bytes,
    Column,
    payload_from_detections,
    payload_from_settings,
    payload_from_tags,
)
from qanat.node.recordings.form import (
    MAGIC,
    PAYLOAD_BYTES_MAX,
    PREAMBLE,
    VERSION,
    WORD,
    checksum,
    framed,
)
from qanat.node.recordings.header import Header, encoded_header


class RecordingWriter:
    """One recording being written; use it in a ``with``.

    The file is made anew with mode 0600: settings and bits are secret until they were announced.

    Raises:
        EnvironmentProblem: the file exists already or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header) -> None:
        self.path, self.header = Path(path), header
        text = encoded_header(header)
        start = PREAMBLE.pack(MAGIC, VERSION, 0, len(text)) + text
        try:
            self._file = os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            raise EnvironmentProblem(f"recording {self.path} cannot be made: {error.strerror}") from None
        self._file.write(start + WORD.pack(checksum(start)))

    def detections(self, block: DetectionBlock) -> None:
        self._add(payload_from_detections(block))

    def settings(self, number: int, index: Column | None, settings: SettingsColumns) -> None:
        """``index`` None: every slot of the block, in order."""
        self._add(payload_from_settings(number, index, settings))

    def tags(self, tag_ps: Column, channel: Bytes) -> None:
        self._add(payload_from_tags(tag_ps, channel))

    def _add(self, payload: bytes) -> None:
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise MisuseError(f"a frame of {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX}: use shorter pulse blocks")
        self._file.write(framed(payload))

    def close(self) -> None:
        """Write the end mark and close."""
        if not self._file.closed:
            self._file.write(framed(b""))
            self._file.close()

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()  # no end mark: what failed half way is no whole recording
