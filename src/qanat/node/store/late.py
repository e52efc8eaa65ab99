"""Rows of an open transaction of which only the last value counts: written once, at its end.

Eight keys of one group move one offset, one ledger row and one message to the peer eight times.
"""

from __future__ import annotations

from typing import Any

Statement = tuple[str, tuple[Any, ...]]
Row = tuple[object, ...]  # which table, and which row of it


class LateRows:
    """Statements by the row that each of them sets whole."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[Row, Statement] = {}

    def put(self, row: Row, statement: str, values: tuple[Any, ...]) -> None:
        """In place of what was to be written there."""
        self._rows[row] = (statement, values)

    def forget(self, row: Row) -> None:
        """The row is deleted by other means."""
        self._rows.pop(row, None)

    def taken(self) -> dict[str, list[tuple[Any, ...]]]:
        """All of them, once: the values that each statement is to be run with."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for statement, values in self._rows.values():
            found.setdefault(statement, []).append(values)
        self._rows.clear()
        return found

    def clear(self) -> None:
        """The transaction is rolled back."""
        self._rows.clear()
