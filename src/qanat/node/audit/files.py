"""The files of one audit in their order: ``audit-000000.jsonl``, ``audit-000001.jsonl``, ..."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path


def file_name(number: int) -> str:
    return f"audit-{number:06d}.jsonl"


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("audit-[0-9][0-9][0-9][0-9][0-9][0-9].jsonl"))


def lines_of(paths: Iterable[Path]) -> Iterator[bytes]:
    """Whole lines without their line feed; a torn one at the end is left out."""
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]
