"""``qanat schema``: the JSON schemas of the network file and of the reports, for editors and other programs."""

from __future__ import annotations

import json
from collections.abc import Callable

from qanat.core.errors import MisuseError
from qanat.core.netfile import schema as network_schema
from qanat.core.netfile.problems import near_miss
from qanat.core.report import BlockReport, LinkReport
from qanat.core.report_schema import report_schema

SCHEMAS: dict[str, Callable[[], dict[str, object]]] = {
    "network": network_schema,
    "link-report": lambda: report_schema(LinkReport),
    "block-report": lambda: report_schema(BlockReport),
}


def schema(what: str = "network") -> int:
    """Print a schema; exit code 0.

    Raises:
        MisuseError: there is no schema of that name.
    """
    if what not in SCHEMAS:
        raise MisuseError(f"no schema is called {what!r}{near_miss(what, SCHEMAS)}")
    print(text(what))
    return 0


def text(what: str) -> str:
    """The schema as ``networks/network.schema.json`` holds it."""
    return json.dumps(SCHEMAS[what](), indent=2, ensure_ascii=False)
