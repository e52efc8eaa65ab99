"""``qanat rate``: what a link could give, by any protocol of the field, with every term and assumption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanat.cli.show import as_json_text, rate, table
from qanat.core.errors import MisuseError

if TYPE_CHECKING:
    from qanat.keyrate.protocol import Protocol, Rate

POINTS_MAX = 100_000
SIZES = {"n": "n_x", "n_x": "n_x", "n_sent": "n_sent"}


def rates(names: Sequence[str], options: dict[str, Any], *, as_json: bool, plot: Path | None) -> int:
    """Compute, print, draw. No key is an answer too: the exit code is 0.

    Args:
        options: As typed: distance_km, loss_db, pairs, is_optimised, finite, duration.
    """
    from qanat.keyrate.library import protocol_named  # noqa: PLC0415

    if not names:
        raise MisuseError("name a protocol, such as `qanat rate decoy-bb84`; `qanat rate --list` names all")
    found = [_rate(protocol_named(name), options) for name in names]
    if plot is not None:
        from qanat.cli.rate_plot import draw  # noqa: PLC0415

        draw(found, plot)
    if as_json:
        as_json_text(found[0].as_dict() if len(found) == 1 else [each.as_dict() for each in found])
    else:
        for each in found:
            _show(each)
        if plot is not None:
            print(f"drawn: {plot}")
    return 0


def names(as_json: bool) -> int:
    """``--list``."""
    from qanat.keyrate.library import FILES, protocol_named  # noqa: PLC0415

    listed = [protocol_named(name) for name in FILES]
    if as_json:
        as_json_text([{"name": each.name, "title": each.title, "sources": list(each.sources)} for each in listed])
    else:
        table("", ("protocol", "what it is", "sources"), [(p.name, p.title, "; ".join(p.sources)) for p in listed])
    return 0


def params(names: Sequence[str], as_json: bool) -> int:
    """``--params``: each parameter with unit, range, default and where that comes from."""
    from qanat.keyrate.library import protocol_named  # noqa: PLC0415

    if not names:
        raise MisuseError("name a protocol, such as `qanat rate decoy-bb84 --params`; `qanat rate --list` names all")
    rows = [{"protocol": name, **row} for name in names for row in parameter_rows(protocol_named(name))]
    if as_json:
        as_json_text(rows)
        return 0
    for name in names:
        columns = ("parameter", "default", "unit", "range", "meaning", "source of the default")
        cells = [
            (
                row["name"] + (" *" if row["tunable"] else ""),
                _default(row),
                row["unit"],
                row["range"],
                row["text"],
                row["source"],
            )
            for row in rows
            if row["protocol"] == name
        ]
        table(name, columns, cells)
    print("* chosen by --optimise unless set")
    return 0


def parameter_rows(protocol: Protocol) -> list[dict[str, Any]]:
    """A protocol's parameters as plain data."""
    return [
        {
            "name": each.name,
            "unit": each.quantity.unit,
            "range": each.quantity.range_text,
            "default": each.default,
            "source": each.source,
            "text": each.quantity.text,
            "tunable": each.search is not None,
            "optional": each.is_optional,
        }
        for each in protocol.parameters
    ]


def numbers(text: str, name: str) -> float | list[float]:
    """``100``, ``0,50,100`` or ``first:last:step``.

    Raises:
        MisuseError: it is none of these, or far too many.

    Example:
        >>> numbers("0:100:50", "distance_km")
        [0.0, 50.0, 100.0]
    """
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            count = math.floor((last - first) / step + 1e-9) + 1 if step > 0 else 0
            if not 1 <= count <= POINTS_MAX:
                raise MisuseError(f"{name} {text}: the step must be above 0 and give 1 to {POINTS_MAX} values")
            return [first + which * step for which in range(count)]
        values = [float(part) for part in text.split(",")]
    except (ValueError, OverflowError):
        raise MisuseError(f"{name} {text!r}: give a number, some (0,50,100), or first:last:step (0:200:5)") from None
    return values[0] if len(values) == 1 else values


def _rate(protocol: Protocol, options: dict[str, Any]) -> Rate:
    given = _given(protocol, options)
    if not options["is_optimised"]:
        return protocol(**given)
    from qanat.keyrate.search import optimised  # noqa: PLC0415

    return optimised(protocol, **given)


def _given(protocol: Protocol, options: dict[str, Any]) -> dict[str, Any]:
    """Every option as a parameter."""
    given: dict[str, Any] = {
        name: numbers(options[name], name) for name in ("distance_km", "loss_db") if options[name] is not None
    }
    given |= given_by_hand(protocol, options["pairs"])
    return given | _block_size(protocol, options, given)


def given_by_hand(protocol: Protocol, pairs: Sequence[str]) -> dict[str, Any]:
    """Every ``--set NAME=VALUE``."""
    known = {each.name: each for each in protocol.parameters}
    given: dict[str, Any] = {}
    for pair in pairs:
        name, is_there, value = pair.partition("=")
        if not is_there:
            raise MisuseError(f"--set {pair}: write NAME=VALUE; `qanat rate {protocol.name} --params` lists the names")
        is_choice = name in known and bool(known[name].quantity.choices)
        given[name] = value if is_choice else numbers(value, name)
    return given


def _block_size(protocol: Protocol, options: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    if options["finite"] is not None and options["duration"] is not None:
        raise MisuseError("give --finite or --duration: each says how large a key block is")
    if options["finite"] is not None:
        name, _, value = str(options["finite"]).rpartition("=")
        if (name or "n") not in SIZES:
            raise MisuseError(f"--finite {options['finite']}: write n=1e7 (sifted bits) or n_sent=1e12 (pulses)")
        return {SIZES[name or "n"]: numbers(value, "--finite")}
    if options["duration"] is not None:
        from qanat.core.timebase import ns_from_text, seconds  # noqa: PLC0415

        default = next((each.default for each in protocol.parameters if each.name == "clock_hz"), None)
        clock_hz = given.get("clock_hz", default)
        if not isinstance(clock_hz, float | int):
            raise MisuseError("--duration needs one clock rate: --set clock_hz=1e9")
        try:
            return {"n_sent": clock_hz * seconds(ns_from_text(options["duration"]))}
        except ValueError as error:
            raise MisuseError(f"--duration: {error}") from None
    return {}


def _show(found: Rate) -> None:
    if found.rate_per_pulse.size == 1:
        print(f"{found.protocol}\n\n{found.explain()}\n")
    else:
        x_name, x = axis(found)
        rows = [
            (f"{at:g}", f"{per_pulse:.4g}" if per_pulse else "no key", rate(bps), f"{qber * 100:.2f} %")
            for at, per_pulse, bps, qber in zip(
                x, found.rate_per_pulse.ravel(), found.rate_bps.ravel(), found.qber.ravel(), strict=True
            )
        ]
        table(found.protocol, (x_name, "bits per pulse", "rate", "QBER"), rows)
    print("assumes: " + "; ".join(found.assumptions))


def axis(found: Rate) -> tuple[str, list[float]]:
    """What varies: the distance, the loss, or the first other array."""
    import numpy as np  # noqa: PLC0415

    shape = found.rate_per_pulse.shape
    arrays = {name: value for name, value in found.params.items() if isinstance(value, np.ndarray) and value.shape}
    name = next((name for name in ("distance_km", "loss_db", *arrays) if name in arrays), "")
    return name, np.broadcast_to(arrays[name], shape).ravel().tolist() if name else [0.0]


def _default(row: dict[str, Any]) -> str:
    if row["default"] is None:
        return "-" if row["optional"] else "must be given"
    return row["default"] if isinstance(row["default"], str) else f"{row['default']:g}"
