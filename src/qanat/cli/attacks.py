"""Commands about Eve: which attacks there are, and starting and stopping them on a running link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qanat.cli.live import change
from qanat.cli.show import as_json_text
from qanat.core.errors import MisuseError


def start(
    state: Path | None, as_json: bool, link: str, name: str, options: Mapping[str, float | None], pairs: Iterable[str]
) -> int:
    """``options`` are those with a flag of their own; ``pairs`` are NAME=VALUE and win."""
    given = {key: value for key, value in options.items() if value is not None} | parameters_from_text(pairs)
    return change(state, as_json, "attack_start", link=link, name=name, **given)


def stop(state: Path | None, as_json: bool, link: str, name: str | None) -> int:
    return change(state, as_json, "attack_stop", link=link, **({} if name is None else {"name": name}))


def parameters_from_text(pairs: Iterable[str]) -> dict[str, float | str]:
    """What ``--set`` says. Numbers become numbers, anything else stays a word; whether it fits is the attack's to say.

    Raises:
        MisuseError: no NAME=VALUE, or a name that is taken.

    Example:
        >>> parameters_from_text(["fraction=0.3", "basis=x", "period_gates=1000"])
        {'fraction': 0.3, 'basis': 'x', 'period_gates': 1000}
    """
    from qanat.sim.faults import number_or_word  # noqa: PLC0415 - it loads the attacks

    found: dict[str, float | str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier() or not value or name in ("link", "name"):
            raise MisuseError(f"--set {pair}: write NAME=VALUE, as in --set fraction=0.3")
        found[name] = number_or_word(value)
    return found


def show(as_json: bool) -> int:
    """All attacks, what each takes and what it moves."""
    from qanat.physics.attack import attack_table  # noqa: PLC0415

    entries = attack_table()
    if as_json:
        as_json_text(entries)
        return 0
    for entry in entries:
        print(f"{entry['name']}\n  {entry['what'].replace('`', '')}")
        for number in entry["parameters"]:
            print(f"  --set {_usage(number)}")
        print(f"  shows: {entry['signature']}\n")
    return 0


def _usage(number: Mapping[str, Any]) -> str:
    default, unit = number["default"], number["unit"]
    shown = default if isinstance(default, str) else f"{default:g}".replace("e+0", "e")
    limits = " | ".join(number["options"]) if "options" in number else _range(number)
    return f"{number['name']}={shown}{' ' + unit if unit else ''}: {number['help']} ({limits})"


def _range(number: Mapping[str, Any]) -> str:
    low, high = (f"{number[key]:g}".replace("e+0", "e").replace("e+", "e") for key in ("low", "high"))
    return f"{low} to {high}"
