"""Writes the reference pages that are made from the code: `python docs/make_reference.py`.

``pages()`` has all texts by file name; tests/docs compares them with the files in docs/reference.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

import qanat
from qanat.core.errors import QanatError

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- Made from the code by docs/make_reference.py. Change the code, then run it again. -->\n\n"


def pages() -> dict[str, str]:
    """Every generated page by its file name."""
    makers: dict[str, Callable[[], str]] = {
        "commands.md": commands,
        "errors.md": errors,
        "faults.md": faults,
        "metrics.md": metrics,
        "network-file.md": network_file,
        "recorded-light.md": recorded_light,
        "reports.md": reports,
        "session-states.md": states,
    }
    sys.path.append(str(Path(__file__).parent))  # also when a test loads this file by its path
    import demonstration_page
    import rate_pages

    texts = {name: maker() for name, maker in makers.items()} | rate_pages.pages()
    texts["demonstrations.md"] = demonstration_page.page()
    from qanat.node.api import openapi, openapi004

    made = {name: MADE + text.rstrip() + "\n" for name, text in texts.items()}
    described = {"openapi.json": openapi, "openapi-push.json": openapi004}
    return made | {name: one.encoded().decode() for name, one in described.items()}  # JSON has no comments


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]) + "\n"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "-"


def prose(thing: object) -> str:
    """A docstring as one line of Markdown; names between double backquotes are code."""
    return " ".join(inspect.cleandoc(getattr(thing, "__doc__", None) or "").split()).replace("``", "`")


# --- commands


def commands() -> str:
    from qanat.cli.main import app

    root = typer.main.get_command(app)
    text = "# Commands\n\n`qanat COMMAND --help` says the same at the terminal. " + (root.epilog or "") + "\n\n"
    return text + "\n".join(_command_section(name, command) for name, command in _walk("qanat", root))


def _walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    for child_name, child in getattr(command, "commands", {}).items():
        if getattr(child, "commands", None):
            yield from _walk(f"{name} {child_name}", child)
        else:
            yield f"{name} {child_name}", child


def _command_section(name: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    shown = [_shown_argument(argument) for argument in arguments]
    text = f"## {name}\n\n{prose_of_help(command.help)}\n\n    {' '.join([name, '[OPTIONS]', *shown])}\n\n"
    rows = [(f"`{usage}`", _help(argument)) for usage, argument in zip(shown, arguments, strict=True)]
    for option in command.params:
        if option.param_type_name == "option" and "--help" not in option.opts:
            value = "" if option.is_flag else f" {option.name.rstrip('_').upper()}"
            rows.append((f"`{', '.join(option.opts)}{value}`", _help(option)))
    return text + (table(("argument or option", "meaning"), rows) if rows else "")


def _shown_argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def _help(parameter: Any) -> str:
    text = parameter.help or ""
    default = parameter.default
    if parameter.required or default in (None, "", False, ()) or callable(default):
        return text
    return f"{text} Default: `{default}`."


def prose_of_help(text: str | None) -> str:
    return " ".join((text or "").split())


# --- errors


def errors() -> str:
    text = (
        "# Errors and exit codes\n\n"
        "A command ends with 0 fine, 1 the answer is no, 2 misuse, 3 the environment does not allow it, "
        "130 interrupted\n([why](../decisions/0009-exit-codes.md)). Every error says what happened, why, "
        "and what to do next; the sentences\nbelow follow the particulars. What the key delivery interface answers "
        "instead is HTTP:\n"
        "[Use the keys with curl](../howto/use-the-keys-with-curl.md).\n"
    )
    found = sorted(_error_classes(), key=lambda kind: (kind.exit_code, kind.__module__, kind.__name__))
    for code in sorted({kind.exit_code for kind in found}):
        rows = [
            (f"`{kind.__name__}`", f"`{kind.__module__.removeprefix('qanat.')}`", prose(kind))
            for kind in found
            if kind.exit_code == code
        ]
        text += f"\n## Exit code {code}\n\n" + table(("error", "from", "what it says"), rows)
    return text


def _error_classes() -> set[type[QanatError]]:
    for module in pkgutil.walk_packages(qanat.__path__, "qanat."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return set(_subclasses(QanatError))


def _subclasses(kind: type[QanatError]) -> Iterator[type[QanatError]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("qanat.") and not child.__name__.startswith("_"):  # not those of tests
            yield child
        yield from _subclasses(child)


# --- faults and invariants


def faults() -> str:
    from qanat.sim import faults as schedule
    from qanat.sim.invariants import Invariant

    spelled = inspect.cleandoc("\n" + (schedule.__doc__ or "").partition("\n\n")[2]).replace("``", "")
    text = (
        "# Faults and invariants of qanat sim\n\nHow to use them: "
        "[Rehearse in virtual time](../howto/rehearse-in-virtual-time.md).\n\n"
        "## What `--faults` understands\n\n```text\n" + spelled + "\n```\n\n"
        f"`random` draws {schedule.RANDOM_PER_MINUTE:g} faults per virtual minute unless told otherwise. Times and "
        "lengths are written like `250ms`, `30s`, `5min`, `1h`.\n\n## What must hold after every step\n\n"
    )
    return text + table(("", "invariant"), [(str(rule.value), rule.sentence) for rule in Invariant])


# --- metrics


def metrics() -> str:
    from qanat.node.dashboard.metrics import metrics_table

    return (
        "# Metrics\n\nThe hub serves them at `/metrics` of the live page's address, in Prometheus' text format. "
        "Sizes are in\nbytes of 8 bits. Rates are per second of *link time*; divide by `qanat_time_stretch_ratio` "
        "for seconds of the wall clock.\n\n"
    ) + metrics_table()


# --- the network file


def network_file() -> str:
    from qanat.core import topology
    from qanat.core.netfile import schema

    made: Any = schema()
    text = (
        "# The network file\n\nTOML. `qanat check FILE` lists all errors at once, each with its place; "
        "`qanat schema` prints the JSON schema for editors\n(`networks/network.schema.json` is a copy). "
        "How to write one: [Write a network file](../howto/write-a-network-file.md).\n\n"
    )
    text += f"## Top level\n\n{made.get('description', '')}\n\n" + _fields(made, {})
    parts = {name: value["items"]["$ref"] for name, value in made["properties"].items() if "items" in value}
    parts |= {"policy": "#/$defs/PolicyDocument", "links.environment": "#/$defs/EnvironmentDocument"}
    for name, reference in parts.items():
        part = made["$defs"][reference.rpartition("/")[2]]
        heading = f"[{name}]" if name in ("policy", "links.environment") else f"[[{name}]]"
        text += f"\n## `{heading}`\n\n{part.get('description', '')}\n\n" + _fields(
            part, _attributes(getattr(topology, reference.rpartition("/")[2].removesuffix("Document")))
        )
    return text


def _attributes(kind: type) -> dict[str, str]:
    """What the noun's docstring says about each attribute: `name, other: sentence` below "Attributes:"."""
    _, _, section = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \S)", "\n" + section):
        names, colon, sentence = entry.strip().partition(": ")
        if colon:
            found |= dict.fromkeys(names.split(", "), " ".join(sentence.split()))
    return found


def _fields(part: Any, meanings: dict[str, str]) -> str:
    rows = [
        (f"`{name}`", _kind(value), _default(part, name, value), value.get("description") or meanings.get(name, ""))
        for name, value in part["properties"].items()
    ]
    return table(("key", "what", "default", "meaning"), rows)


def _kind(value: Any) -> str:
    value = value.get("anyOf", [value])[0]
    if value.get("type") == "array":
        is_pair = value.get("maxItems") == 2
        return "a pair of ids" if is_pair else "tables" + (", at least one" if value.get("minItems") else "")
    words = {"number": "number", "integer": "whole number", "string": "text", "boolean": "true or false"}
    kind = words.get(value.get("type", ""), "table")
    if "pattern" in value:
        kind = "id"
    limits = [
        f"{sign} {_number(value[key])}"
        for key, sign in (("minimum", ">="), ("exclusiveMinimum", ">"), ("maximum", "<="), ("exclusiveMaximum", "<"))
        if key in value
    ]
    limits += [f"multiple of {value['multipleOf']}"] if "multipleOf" in value else []
    limits += [f"up to {value['maxLength']} characters"] if "maxLength" in value else []
    return ", ".join([kind, *limits])


def _number(value: float) -> str:
    """Digits in threes up to a billion, powers of ten beyond."""
    if value != int(value) or abs(value) > 1e9:
        return f"{value:g}"
    return f"{int(value):,}".replace(",", " ")


def _default(part: Any, name: str, value: Any) -> str:
    if name in part.get("required", ()):
        return "required"
    default = value.get("default")
    if "anyOf" in value:
        return "none"
    if isinstance(default, dict) or default is None:
        return "see below"
    if isinstance(default, list):
        return "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default:g}`" if default < 1 else _number(default)


# --- recorded light


def recorded_light() -> str:
    from qanat.node.recordings import columns, form, header

    text = (
        "# Recorded light\n\nA `.qlight` file holds what one end of a QKD link saw or prepared, block by block.\n"
        "`qanat record` makes such files from simulated light, `qanat module --light replay://FILE` and `timetags://FILE`\n"
        "read them. How to use them: [Run two ends on two machines](../howto/run-two-ends-on-two-machines.md).\n\n"
        "A file that is not as described is refused with the place, in bytes, of the first thing that is wrong.\n\n"
    )
    text += "## The file\n\n```text\n" + _picture(form) + "\n```\n\n"
    text += "All integers are little-endian. CRC-32 finds accidents, no forgery.\n\n"
    text += "## Frames\n\n```text\n" + _picture(columns) + "\n```\n\n"
    text += "Gaps are in the narrowest of 1, 2, 4 or 8 bytes; bits are packed most significant bit first.\n"
    for kind in (header.Header, header.Prepared, header.Tags):
        rows = [(f"`{name}`", meaning) for name, meaning in _attributes(kind).items()]
        text += f"\n## {kind.__name__}\n\n" + table(("field", "meaning"), rows)
    return text


# --- reports


def reports() -> str:
    from qanat.core.report import BlockReport, LinkReport
    from qanat.core.report_schema import report_schema

    text = (
        "# Reports\n\nWhat a link tells in public: a `LinkReport` per block of pulses, a `BlockReport` per key block.\n"
        "No field can hold a secret. `qanat schema link-report` and `qanat schema block-report` print JSON schemas.\n"
    )
    shown: set[str] = set()
    for kind in (LinkReport, BlockReport):
        made: Any = report_schema(kind)
        for part in (made, *made["$defs"].values()):
            if part["title"] not in shown:
                shown.add(part["title"])
                text += f"\n## {part['title']}\n\n{part['description']}\n\n" + _report_fields(part)
    return text


def _report_fields(part: Any) -> str:
    rows = [
        (f"`{name}`", _json_kind(value), value.get("description", "")) for name, value in part["properties"].items()
    ]
    return table(("field", "JSON", "meaning"), rows)


def _json_kind(value: Any) -> str:
    if "anyOf" in value:
        return " or ".join(_json_kind(option) for option in value["anyOf"])
    if "$ref" in value:
        return f"`{value['$ref'].rpartition('/')[2]}`"
    if value.get("type") == "array":
        return f"list of {_json_kind(value['items'])}" if value.get("items") else "pair"
    return str(value.get("type", "any"))


# --- states


def states() -> str:
    from qanat.control import state as link_states
    from qanat.core.records import Role
    from qanat.distill.states import HEARABLE, State
    from qanat.km.lifecycle import TABLE, KeyEvent, KeyState

    says = _comments(State)
    text = (
        "# States\n\n## Of a key block, at each end of a QKD link\n\n"
        "Both ends run the same table (`src/qanat/distill/states.py`); it judges the peer and ourselves. A message\n"
        "that is not in the table ends the session. Time runs downwards.\n\n```text\n"
    )
    wide = max(len(state.value) for state in State) + 4
    heard = {key: ", ".join(kind.__name__ for kind in kinds) for key, kinds in HEARABLE.items()}
    transmitter = {state: heard.get((Role.TRANSMITTER, state), "-") for state in State}
    column = max(len(text) for text in [*transmitter.values(), "transmitter hears"]) + 4
    text += f"{'':{wide}}{'transmitter hears':{column}}receiver hears\n\n"
    for state in State:
        line = f"{state.value:{wide}}{transmitter[state]:{column}}{heard.get((Role.RECEIVER, state), '-')}"
        text += line.rstrip() + "\n" + ("" if state is list(State)[-1] else "   |\n")
    text += '```\n\nGiveUp leads to `ended` from wherever it is heard; so does a verdict of "not equal".\n\n'
    text += table(("state", "how far this end is"), [(f"`{state}`", says[state.name]) for state in State])
    kinds = sorted({kind for kinds in HEARABLE.values() for kind in kinds}, key=_tag)
    text += "\nWhat is said (`src/qanat/distill/messages.py`):\n\n"
    text += table(("message", "who says what"), [(f"`{kind.__name__}`", prose(kind)) for kind in kinds])
    text += "\n## Of a QKD link, as the controller sees it\n\n```text\n" + _picture(link_states) + "\n```\n\n"
    comments = _comments(link_states.LinkState)
    rows = [(f"`{state}`", comments[state.name]) for state in link_states.LinkState]
    text += table(("state", "what the controller believes"), rows)
    text += (
        "\n## Of a key, at one site\n\nOne table (`src/qanat/km/lifecycle.py`) judges every step of a key; a step that "
        "is not in it raises.\n[Why it looks so](../explanation/life-of-a-key.md).\n\n"
    )
    text += _key_picture(TABLE) + "\n"
    text += table(("state", "event", "becomes", "who may cause it", "for delivery"), [tuple(step) for step in TABLE])
    says, does = _comments(KeyState), _comments(KeyEvent)
    text += "\n" + table(("state", "where the key stands"), [(f"`{s}`", says[s.name]) for s in KeyState])
    return text + "\n" + table(("event", "what it is"), [(f"`{e}`", does[e.name]) for e in KeyEvent])


def _key_picture(steps: Any) -> str:
    """The table of a key's life, drawn: every state that leads on, with its ways out."""
    lines = []
    for state in dict.fromkeys(step.state for step in steps):
        lines.append(f"{state}")
        lines += [f"   |-- {step.event:8} --> {step.to}" for step in steps if step.state is state]
        lines.append("")
    return "```text\n" + "\n".join(lines[:-1]) + "\n```\n"


def _tag(kind: Any) -> int:
    return int(kind.__struct_config__.tag)


def _comments(kind: type[Enum]) -> dict[str, str]:
    """The comment behind each member: it is the member's docstring."""
    return dict(re.findall(r"^    (\w+) = .*?  # (.+)$", inspect.getsource(kind), flags=re.MULTILINE))


def _picture(module: Any) -> str:
    """The indented drawing in a module's docstring."""
    lines = (module.__doc__ or "").splitlines()
    drawn = [line for line in lines if line.startswith("    ")]
    return inspect.cleandoc("\n" + "\n".join(drawn))


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/reference/{name}: written")


if __name__ == "__main__":
    main()
