"""Pictures of key rates: bits per pulse over distance or loss, with the bounds that nobody exceeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.rate import axis
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.keyrate.protocol import Rate

NAMES = {"distance_km": "distance (km)", "loss_db": "loss of the channel (dB)"}
FORMATS = (".svg", ".pdf", ".png")


def draw(found: Sequence[Rate], path: Path) -> None:
    """One line per protocol, and the PLOB and single-repeater bounds of the first one's channel.

    Raises:
        MisuseError: nothing varies, protocols vary in different things, or no such file format.
        EnvironmentProblem: the file cannot be written.
    """
    x_names = {axis(each)[0] for each in found}
    if len(x_names) != 1 or any(each.rate_per_pulse.size < 2 for each in found):
        raise MisuseError("a picture needs several values of one thing, such as --distance-km 0:200:2")
    if path.suffix not in FORMATS:
        raise MisuseError(f"{path}: a picture ends in {', '.join(FORMATS)}")
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "qanat", "svg.fonttype": "none", "font.family": "DejaVu Sans"})
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes = figure.add_subplot()
    _bounds(axes, found[0])
    for each in found:
        _, x = axis(each)
        is_key = each.rate_per_pulse.ravel() > 0
        axes.plot(
            [at for at, has in zip(x, is_key, strict=True) if has],
            each.rate_per_pulse.ravel()[is_key],
            lw=1.8,
            label=each.protocol if is_key.any() else f"{each.protocol}: no key",
        )
    (x_name,) = x_names
    axes.set(yscale="log", xlabel=NAMES.get(x_name, x_name), ylabel="secret bits per pulse")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}") from error


def _bounds(axes: object, first: Rate) -> None:
    from matplotlib.axes import Axes  # noqa: PLC0415

    from qanat.keyrate import plob  # noqa: PLC0415

    assert isinstance(axes, Axes)
    names = ("distance_km", "attenuation_db_per_km", "insertion_loss_db", "loss_db")
    channel = {name: first.params[name] for name in names if first.params.get(name) is not None}
    x_name, x = axis(first)
    if x_name not in channel:
        return
    bound = plob(**channel)
    for term, label, style in (
        ("plob_bits_per_use", "PLOB bound (absolute)", "--"),
        ("single_repeater_bits_per_use", "single-repeater bound", ":"),
    ):
        y = bound.terms[term].ravel()
        is_finite = y < 20.0  # a channel without loss has no bound
        axes.plot(
            [at for at, has in zip(x, is_finite, strict=True) if has],
            y[is_finite],
            style,
            color="0.45",
            lw=1.2,
            label=label,
        )
