"""One error in a network file, in words, with the near miss."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, and where.

    Attributes:
        place: Path in the document, for example ``links[2].loss_db``.
        line: Line in the text, from 1; None where it cannot be told.
        message: What is wrong and what would be right.

    Example:
        >>> str(Problem(place="links[2].fibre", line=41, message="no fibre is called 'rng'"))
        "links[2].fibre (line 41): no fibre is called 'rng'"
    """

    place: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f" (line {self.line})" if self.line else ""
        return f"{self.place or 'file'}{where}: {self.message}"


def near_miss(name: str, known: Iterable[str]) -> str:
    """A suggestion to put after a sentence, or the choices, or nothing.

    Example:
        >>> near_miss("lenght_km", ["length_km", "id"])
        '; did you mean length_km?'
        >>> near_miss("zzz", ["a", "b"])
        '; known: a, b'
    """
    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {lowered[close[0]]}?"
    if not names:
        return "; none is defined"
    shown = ", ".join(names[:8])
    return f"; known: {shown}" + (", ..." if len(names) > 8 else "")
