"""One page per protocol, made from its file: what the docstring says, parameters, assumptions, sources, a picture.

``python docs/rate_pages.py`` draws the pictures anew; ``make_reference.py`` writes the pages.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import numpy as np

from qanat.cli.rate import parameter_rows
from qanat.cli.rate_plot import draw
from qanat.keyrate.library import FILES, protocol_named
from qanat.keyrate.protocol import Protocol
from qanat.keyrate.search import optimised

FOLDER = Path(__file__).parent / "reference" / "rates"
RELAY_KM = {"mdi": 260.0, "mdi-four": 260.0}
LENGTHS_KM = {"cv-gaussian": 120.0, "cv-qpsk": 80.0, "hd-bb84": 200.0, "di": 4.0, "bbm92": 260.0, **RELAY_KM}
RELAYED_KM = 600.0  # twin-field and mode pairing reach further than the rest
DIRECT_KM = 200.0


def pages() -> dict[str, str]:
    """Every page by its name under docs/reference."""
    found = {f"rates/{name}.md": page(name) for name in FILES}
    return {"rates/index.md": index(), **found}


def index() -> str:
    """All protocols in one table."""
    rows = [
        f"| [{name}]({name}.md) | {protocol.title} | {'; '.join(protocol.sources)} |"
        for name, protocol in ((name, protocol_named(name)) for name in FILES)
    ]
    return (
        "# Key rates\n\nWhat a link could give, before it is built: `qanat rate PROTOCOL`, or in Python\n"
        "`from qanat.keyrate import decoy_bb84`. "
        "Every rate comes with its terms and with what it assumes; `--plot` draws several protocols and the bounds.\n\n"
        "    qanat rate decoy-bb84 bb84 --distance-km 0:150:5 --plot rates.svg\n\n"
        "| protocol | what it is | sources |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def page(name: str) -> str:
    """One protocol."""
    protocol = protocol_named(name)
    module = importlib.import_module(f"qanat.keyrate.protocols.{FILES[name]}")
    prose = inspect.cleandoc(module.__doc__ or "").replace("``", "`")
    rows = "\n".join(
        f"| `{row['name']}`{' *' if row['tunable'] else ''} | {_default(row)} | {row['unit']} | {_cell(row['range'])} "
        f"| {_cell(row['text'])} | {_cell(row['source'])} |"
        for row in parameter_rows(protocol)
    )
    picture = f"![Secret bits per pulse over distance]({name}.svg)\n\n" if (FOLDER / f"{name}.svg").exists() else ""
    return (
        f"# {name}: {protocol.title}\n\n{prose}\n\n{picture}"
        f"    qanat rate {name} --distance-km 0:100:10\n\n"
        "## Assumes\n\n" + "\n".join(f"- {each}" for each in protocol().assumptions) + "\n\n"
        "## Parameters\n\nThose with * are chosen by `--optimise` unless set.\n\n"
        "| name | default | unit | range | meaning | source of the default |\n|---|---|---|---|---|---|\n"
        + rows
        + "\n\n"
        "## Sources\n\n" + "\n".join(f"- {each}" for each in protocol.sources) + "\n"
    )


def picture(protocol: Protocol) -> None:
    """The protocol at its defaults, the best of what is tunable, over the lengths that it reaches."""
    if "distance_km" not in {each.name for each in protocol.parameters}:
        return
    end_km = LENGTHS_KM.get(protocol.name, RELAYED_KM if protocol.bound == "single-repeater" else DIRECT_KM)
    lengths = np.linspace(0.0, end_km, 101)
    found = optimised(protocol, distance_km=lengths)
    if found.rate_per_pulse.any():  # COW has no secure rate: nothing to draw
        draw([found], FOLDER / f"{protocol.name}.svg")


def _default(row: dict[str, object]) -> str:
    default = row["default"]
    return "-" if default is None else f"`{default}`" if isinstance(default, str) else f"{default:g}"


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in FILES:
        picture(protocol_named(each))
