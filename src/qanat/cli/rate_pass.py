"""``qanat rate PROTOCOL --pass FILE``: one finite key for a satellite's pass. Never asymptotic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanat.cli.rate import given_by_hand
from qanat.cli.show import as_json_text, bits, rate
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.keyrate.protocol import Protocol, Rate
    from qanat.plan.passes import Pass

EXCLUDED = {
    "distance_km": "--distance-km",
    "loss_db": "--loss-db",
    "finite": "--finite",
    "duration": "--duration",
}


def pass_key(
    names: Sequence[str], file: Path, options: dict[str, Any], *, as_json: bool, plot: Path | None = None
) -> int:
    """Read, compute, print, draw. No key is an answer too: the exit code is 0.

    Raises:
        MisuseError: not one protocol, an option that the file makes void, or a file of another form.
        EnvironmentProblem: the file cannot be read.
    """
    from qanat.keyrate.library import protocol_named  # noqa: PLC0415

    if len(names) != 1:
        raise MisuseError(
            "--pass takes one protocol with a finite key over a pass, such as `qanat rate decoy-bb84 --pass f.csv`"
        )
    for name, option in EXCLUDED.items():
        if options[name] is not None:
            raise MisuseError(f"{option} and --pass exclude each other: the file says how long which loss lasted")
    flown, protocol = _read(file), protocol_named(names[0])
    found = _rate(protocol, flown, options)
    if plot is not None:
        from qanat.cli.pass_plot import draw_pass  # noqa: PLC0415

        draw_pass(flown, qber_by_part(protocol, flown, found), protocol.name, plot)
    if as_json:
        as_json_text(found.as_dict() | {"pass": _summary(flown, found)})
    else:
        _show(flown, found)
        if plot is not None:
            print(f"drawn: {plot}")
    return 0


def qber_by_part(protocol: Protocol, flown: Pass, found: Rate) -> list[float]:
    """The QBER that each part would have by itself, with what was given or chosen; a half without sight."""
    import numpy as np  # noqa: PLC0415

    losses_db = np.minimum(flown.losses_db, 1e4)
    known = {each.name for each in protocol.parameters} - {"n_x", "n_sent", "distance_km", "attenuation_db_per_km"}
    given = {name: value for name, value in found.params.items() if name in known and value is not None}
    qber: list[float] = protocol(**{**given, "loss_db": losses_db}).qber.tolist()
    return qber


def _read(file: Path) -> Pass:
    from qanat.plan.passes import pass_from_csv  # noqa: PLC0415

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise EnvironmentProblem(f"cannot read the pass from {file}: {reason}") from error
    return pass_from_csv(text, str(file))


def _rate(protocol: Protocol, flown: Pass, options: dict[str, Any]) -> Rate:
    from qanat.keyrate.satellite import pass_protocol  # noqa: PLC0415
    from qanat.keyrate.search import optimised  # noqa: PLC0415

    over_pass = pass_protocol(protocol, flown.transmittances, flown.durations_s)
    given = given_by_hand(over_pass, options["pairs"])
    found = optimised(over_pass, **given) if options["is_optimised"] else over_pass(**given)
    if found.rate_per_pulse.size != 1:
        raise MisuseError("--pass takes one value of each --set: a pass is one key")
    return found


def _summary(flown: Pass, found: Rate) -> dict[str, Any]:
    duration_s = sum(flown.durations_s)
    length = max(float(found.terms["signed_length_bits"]), 0.0)
    seen = [loss for loss, eta in zip(flown.losses_db, flown.transmittances, strict=True) if eta > 0]
    return {
        "parts": len(flown.durations_s),
        "duration_s": duration_s,
        "loss_db_least": min(seen),
        "loss_db_most": max(seen),
        "secret_bits": int(length),
        "rate_bps": length / duration_s,
        "qber": float(found.qber),
    }


def _show(flown: Pass, found: Rate) -> None:
    told = _summary(flown, found)
    print(f"{found.protocol}, one finite key for the whole pass\n\n{found.explain()}\n")
    print(
        f"pass: {told['parts']} parts, {told['duration_s']:g} s, loss of the channel {told['loss_db_least']:.1f} to "
        f"{told['loss_db_most']:.1f} dB"
    )
    length = told["secret_bits"]
    if length:
        print(f"key: {length} bits ({bits(length)}), {rate(told['rate_bps'])} while it lasts, QBER {told['qber']:.2%}")
    else:
        print(
            f"key: none; the pass would need {-float(found.terms['signed_length_bits']):.0f} bits more than it made. "
            "A longer pass, less loss or --optimise may help"
        )
    print("assumes: " + "; ".join(found.assumptions))
