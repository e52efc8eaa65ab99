"""The journal: alarms, commands and notes in one file, the reports they rest on in another.

Both are JSON lines. Each file is cut when it is full and its predecessor kept, so that a network may run for
years; a full disk costs the record, never an alarm or a command.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

# What the page and the command line show; the whole journal is in the file.
REMEMBERED_COUNT = 200
# Reports of the metro network at full speed: 200 a second of 400 bytes, so 13 minutes a file; of the
# journal's own entries, months.
FILE_SIZE_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalEntry:
    at_ns: int
    kind: str
    text: str


class LinesFile:
    """Append-only JSON lines in a file of bounded size; the full one before it keeps the ending ``.1``."""

    def __init__(self, path: Path, *, size_bytes_max: int = FILE_SIZE_BYTES_MAX) -> None:
        self._path = path
        self._size_bytes_max = size_bytes_max
        self._file: IO[bytes] = path.open("ab")

    def write(self, record: object) -> None:
        try:
            if self._file.tell() >= self._size_bytes_max:
                self._cut()
            self._file.write(msgspec.json.encode(record) + b"\n")
            self._file.flush()
        except OSError as error:
            logging.error("%s cannot be written: %s", self._path.name, error)  # noqa: TRY400 - a full disk

    def _cut(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._file = self._path.open("ab")


class Journal:
    """What happened, and the newest entries in memory."""

    def __init__(self, path: Path) -> None:
        self._entries = LinesFile(path)
        self._reports = LinesFile(path.with_name("reports.jsonl"))
        self.newest: deque[JournalEntry] = deque(maxlen=REMEMBERED_COUNT)

    def write(self, kind: str, text: str, record: object = None) -> None:
        entry = JournalEntry(time.time_ns(), kind, text)
        self.newest.appendleft(entry)
        line: dict[str, object] = {"at_ns": entry.at_ns, "kind": kind, "text": text}
        self._entries.write(line if record is None else line | {"record": record})

    def write_report(self, report: object) -> None:
        """A LinkReport or BlockReport: what the monitors and the controller judged by."""
        self._reports.write({"kind": type(report).__name__, "report": report})
