"""What can be wrong with a datasheet or an attack."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from qanat.core.errors import MisuseError, QanatError


class DatasheetError(MisuseError):
    """The module datasheet cannot be used as given. The network file names one of the datasheets that come
    with qanat; `physics/datasheets` holds them."""


class AttackError(MisuseError):
    """The attack cannot be played as given. `qanat attack list` shows all attacks, what each takes, and in which
    range."""


class SamplerError(QanatError):
    """The click sampler met a state that its proof excludes. Nothing it made in this block is used; this is a
    bug, please report the link's parameters."""


def near_miss(what: str, given: str, known: Iterable[str]) -> str:
    """A sentence that names the offender, the nearest known name and all of them.

    Example:
        >>> near_miss("attack", "jaming", ["cut", "jamming"])
        "attack 'jaming' is unknown; did you mean 'jamming'? Known: cut, jamming"
    """
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=2, cutoff=0.5)
    guess = f"; did you mean {' or '.join(map(repr, close))}?" if close else "."
    return f"{what} {given!r} is unknown{guess} Known: {', '.join(names)}"
