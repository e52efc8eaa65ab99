"""A satellite's pass as a table: how long the link had which loss. CSV in, columns out.

The first row that is no comment names the columns: ``duration_s`` and either ``loss_db`` or ``transmittance``, of the
channel from telescope to telescope, without the receiver's optics and detectors. Each row is one part of the pass, in
the order of time; a part without sight has transmittance 0. Lines that begin with ``#`` are comments.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from qanat.core.errors import MisuseError

COLUMNS: Final = ("duration_s", "loss_db", "transmittance")
PARTS_MAX: Final = 100_000  # a day in seconds; a pass of a low orbit has some hundreds


class PassFileError(MisuseError):
    """A file of a satellite's pass does not have the form that `qanat rate --pass` reads: a line
    `duration_s,loss_db` or `duration_s,transmittance`, then one line of two numbers per part of the pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Parts of a pass in the order of time.

    Attributes:
        durations_s: Of each part, above 0.
        transmittances: Of the channel, 0 to 1, without the receiver.
    """

    durations_s: tuple[float, ...]
    transmittances: tuple[float, ...]

    @property
    def losses_db(self) -> tuple[float, ...]:
        """Infinite where there is no sight."""
        return tuple(math.inf if eta == 0 else -10 * math.log10(eta) for eta in self.transmittances)

    @property
    def midpoints_s(self) -> tuple[float, ...]:
        """The middle of each part, from the beginning of the pass."""
        ends = [math.fsum(self.durations_s[: index + 1]) for index in range(len(self.durations_s))]
        return tuple(end - duration / 2 for end, duration in zip(ends, self.durations_s, strict=True))


def pass_from_csv(text: str, source: str) -> Pass:
    """The pass that a CSV text describes.

    Args:
        source: What to call the text in messages.

    Raises:
        PassFileError: naming the line.

    Example:
        >>> pass_from_csv("duration_s,loss_db\\n60,30\\n60,20\\n", "a pass").transmittances
        (0.001, 0.01)
    """
    rows = list(_rows(text))
    if not rows:
        raise PassFileError(f"{source} is empty; it begins with the line duration_s,loss_db")
    head = _head(rows[0], source)
    parts = [_part(number, cells, head, source) for number, cells in rows[1:]]
    if not 1 <= len(parts) <= PARTS_MAX:
        raise PassFileError(f"{source} has {len(parts)} parts; a pass has 1 to {PARTS_MAX}")
    if not any(eta for _, eta in parts):
        raise PassFileError(f"{source}: no part has sight of the satellite (every transmittance is 0)")
    return Pass(durations_s=tuple(part[0] for part in parts), transmittances=tuple(part[1] for part in parts))


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells, without comments and empty lines."""
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, [cell.strip() for cell in next(csv.reader([line]))]


def _head(row: tuple[int, list[str]], source: str) -> list[str]:
    number, names = row
    if len(names) != 2 or set(names) not in ({"duration_s", "loss_db"}, {"duration_s", "transmittance"}):
        raise PassFileError(
            f"{source}, line {number}: the columns are {', '.join(names)}; they must be duration_s and one of loss_db "
            "and transmittance"
        )
    return names


def _part(number: int, cells: list[str], head: list[str], source: str) -> tuple[float, float]:
    """Duration and transmittance of one row."""
    where = f"{source}, line {number}"
    if len(cells) != 2:
        raise PassFileError(f"{where}: {len(cells)} values for the two columns {', '.join(head)}")
    values = {name: _number(cell, name, where) for name, cell in zip(head, cells, strict=True)}
    duration_s = values["duration_s"]
    if duration_s <= 0:
        raise PassFileError(f"{where}: duration_s is {duration_s:g}; a part lasts more than 0 seconds")
    if "loss_db" in values:
        if values["loss_db"] < 0:
            raise PassFileError(f"{where}: loss_db is {values['loss_db']:g}; a loss is written without a minus sign")
        return duration_s, 10 ** (-values["loss_db"] / 10)
    if not 0 <= values["transmittance"] <= 1:
        raise PassFileError(f"{where}: transmittance is {values['transmittance']:g}; it must lie between 0 and 1")
    return duration_s, values["transmittance"]


def _number(cell: str, name: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise PassFileError(f"{where}: {name} is {cell!r}; it must be a number")
    return value
