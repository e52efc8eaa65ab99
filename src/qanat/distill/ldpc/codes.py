"""The quasi-cyclic codes of the package, and how their rates are raised: rows are spread at first, later split."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS = 512
LANES = (208, 640, 1984)  # circulant sizes: frames of 106,496, 327,680 and 1,015,808 bits


@dataclass(frozen=True, slots=True)
class Code:
    """One parity check matrix: ``rows`` by COLUMNS circulants of ``lanes`` lanes.

    Attributes:
        starts: Edges of row r are starts[r] .. starts[r + 1] - 1, int32, shape (rows + 1,).
        columns, shifts: Of every edge, int32. Lane z of the row checks lane (z + shift) mod lanes of the column.
    """

    lanes: int
    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    shifts: NDArray[np.int32]

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    @property
    def bits(self) -> int:
        return COLUMNS * self.lanes

    @property
    def halves(self) -> NDArray[np.int32]:
        """Where each row's edges divide when it is split, shape (rows,)."""
        return (self.starts[:-1] + self.starts[1:]) // 2

    def spread(self, rows: int) -> Code:
        """The same edges in this many rows of nearly one degree: each new row takes its edges from the longest ones.

        What the old rows would have disclosed does not follow from it; so this is for the beginning alone. The last new
        row takes columns of high degree: part of it may stay undisclosed, which a column of two rows would not bear.
        """
        parts = [list(range(first, last)) for first, last in itertools.pairwise(self.starts.tolist())]
        columns = self.columns.tolist()
        degrees = np.bincount(self.columns).tolist()
        for row in range(self.rows, rows):
            taken: dict[int, int] = {}  # edge by column
            while len(taken) < len(columns) // rows:
                longest = max(parts, key=len)  # the first of them; it has more columns than are taken
                free = [edge for edge in longest if columns[edge] not in taken]
                edge = free[-1] if row + 1 < rows else max(free, key=lambda each: degrees[columns[each]])
                longest.remove(edge)
                taken[columns[edge]] = edge
            parts.append(list(taken.values()))
        order = np.array(list(itertools.chain(*parts)))
        starts = np.cumsum([0, *map(len, parts)]).astype(np.int32)
        return Code(self.lanes, starts, self.columns[order], self.shifts[order])

    def split(self, count: int) -> Code:
        """The code in which the first ``count`` rows are two rows each: same edges, more parities."""
        starts = np.sort(np.concatenate([self.starts, self.halves[:count]]))
        return Code(self.lanes, starts, self.columns, self.shifts)

    def first_halves(self, first: int, last: int) -> Code:
        """Only the first halves of rows first .. last - 1: what splitting these rows discloses."""
        edges = [np.arange(self.starts[row], self.halves[row]) for row in range(first, last)]
        picked = np.concatenate(edges) if edges else np.empty(0, dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum([len(each) for each in edges])]).astype(np.int32)
        return Code(self.lanes, starts, self.columns[picked], self.shifts[picked])


@cache
def row_counts() -> tuple[int, ...]:
    """Rows of every code, rising: a code of r rows discloses r / COLUMNS bits per bit."""
    with np.load(Path(__file__).with_name("codes.npz"), allow_pickle=False) as file:
        meta = json.loads(file["meta"].tobytes())
    assert (meta["columns"], tuple(meta["lanes"])) == (COLUMNS, LANES), "codes.npz is of another make"
    return tuple(each["rows"] for each in meta["codes"])


@lru_cache(maxsize=128)
def code(index: int, size: int, rows_added: int = 0) -> Code:
    """Code ``index`` with circulants of LANES[size] lanes, spread over some rows more."""
    with np.load(Path(__file__).with_name("codes.npz"), allow_pickle=False) as file:
        starts, columns, shifts = (file[f"{name}_{index}"] for name in ("starts", "columns", "shifts"))
    stored = Code(LANES[size], starts.astype(np.int32), columns.astype(np.int32), shifts[size].astype(np.int32))
    return stored.spread(stored.rows + rows_added)
