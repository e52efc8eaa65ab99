"""JSON schemas of the reports, made from their types; a field's description is the type's docstring's."""

from __future__ import annotations

import inspect
import re
from typing import Any

from qanat.core.health import Arrivals, ReceiverHealth, TransmitterHealth
from qanat.core.ledger_term import LengthTerm
from qanat.core.report import BlockReport, LinkReport

_TYPES = (LengthTerm, LinkReport, BlockReport, Arrivals, ReceiverHealth, TransmitterHealth)
_ENTRY = re.compile(r"^    (\w+(?:, \w+)*): (.*)$")


def report_schema(kind: type[LinkReport] | type[BlockReport]) -> dict[str, object]:
    """The schema of one report as it stands in the journal and in ``--json``.

    Example:
        >>> report_schema(LinkReport)["title"]
        'LinkReport'
    """
    import msgspec  # noqa: PLC0415 - core must import without it

    (top,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    _inline_words(definitions)
    docs = {each.__name__: each.__doc__ or "" for each in _TYPES}
    for name, definition in definitions.items():
        _describe(definition, docs.get(name, ""))
    root = definitions.pop(top["$ref"].rsplit("/", 1)[1])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": definitions}


def _inline_words(definitions: dict[str, Any]) -> None:
    """A field that is one of a few words lists them itself: readers need no second table for that."""
    words = {f"#/$defs/{name}": definition for name, definition in definitions.items() if "enum" in definition}
    for definition in definitions.values():
        for name, value in definition.get("properties", {}).items():
            if value.get("$ref") in words:
                found = words[value["$ref"]]
                definition["properties"][name] = {"type": "string", "enum": found["enum"]}
    for reference in words:
        del definitions[reference.rsplit("/", 1)[1]]


def described_fields(docstring: str) -> dict[str, str]:
    """What a docstring's ``Attributes:`` says of each field.

    Example:
        >>> described_fields("A noun.\\n\\n    Attributes:\\n        a, b: Both in ns,\\n            from 0.\\n")
        {'a': 'Both in ns, from 0.', 'b': 'Both in ns, from 0.'}
    """
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(docstring).partition("Attributes:")[2].splitlines():
        if (entry := _ENTRY.match(line)) is not None:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif line.startswith(" " * 8):
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
        else:
            names = []
    return {name: text.replace("``", "") for name, text in found.items()}


def _describe(definition: dict[str, Any], docstring: str) -> None:
    caption = " ".join(inspect.cleandoc(docstring).partition("Attributes:")[0].split())
    definition["description"] = caption.replace("``", "")
    for name, text in described_fields(docstring).items():
        if name in definition["properties"]:
            definition["properties"][name]["description"] = text
