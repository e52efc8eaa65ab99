"""How numbers and tables look at the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any


def as_json_text(data: Any) -> None:
    json.dump(data, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.2f} %"


def rate(value: float | None) -> str:
    """Bits per second of link time, with a unit that people read."""
    if value is None:
        return "-"
    for unit, size in (("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} bit/s"


def bits(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / 1e6:.2f} Mbit" if value >= 1e6 else f"{value / 1e3:.1f} kbit"


def stretch_sentence(stretch: float | None) -> str:
    """The sentence that every surface shows about simulated time."""
    if stretch is None:
        return "link time: not running yet"
    if stretch < 1.05:
        return "link time runs in real time"
    return f"link time runs {stretch:.1f} x slower than the clock (this machine is too slow for the clock rates)"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that bends to the terminal's width."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    grid = Table(title=title or None, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140).print(grid)


def simulation_mark(snapshot: dict[str, Any]) -> str:
    return "SIMULATED photons: keys are a rehearsal\n" if snapshot["network"]["is_simulation"] else ""
