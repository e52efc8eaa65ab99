"""Where in the text a part of the document was written. tomllib does not say, so we look ourselves."""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_TABLE_OF_MANY = re.compile(r"^\s*\[\[\s*([\w.-]+)\s*\]\]")
_TABLE = re.compile(r"^\s*\[\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"^\s*\"?([\w-]+)\"?\s*=")


def place_text(path: Path) -> str:
    """A path as people write it.

    Example:
        >>> place_text(("links", 2, "loss_db"))
        'links[2].loss_db'
    """
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Places:
    """Line numbers of tables and keys, found by their headings.

    Inline tables and values over several lines answer with the line of what contains them: a near
    line is better than none.

    Example:
        >>> places = Places('name = "n"\\n[[sites]]\\nid = "a"\\n[[sites]]\\nid = "b"')
        >>> places.line(("sites", 1, "id")), places.line(("sites", 0, "latitude_deg"))
        (5, 2)
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Path, int] = {}
        counts: dict[str, int] = {}
        table: Path = ()
        for number, line in enumerate(text.splitlines(), start=1):
            if many := _TABLE_OF_MANY.match(line):
                name = many[1]
                table = (name, counts.get(name, 0))
                counts[name] = counts.get(name, 0) + 1
                self._lines.setdefault((name,), number)
                self._lines[table] = number
            elif one := _TABLE.match(line):
                table = _table_path(one[1].split("."), counts)
                self._lines.setdefault(table, number)
            elif key := _KEY.match(line):
                self._lines.setdefault((*table, key[1]), number)

    def line(self, path: Path) -> int | None:
        """The line of that part, or of the nearest part around it."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None


def _table_path(names: list[str], counts: dict[str, int]) -> Path:
    """``[links.environment]`` belongs to the link last begun."""
    first, *rest = names
    return (first, counts[first] - 1, *rest) if rest and first in counts else tuple(names)
