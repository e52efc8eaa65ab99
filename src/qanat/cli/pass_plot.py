"""Picture of a satellite's pass: loss of the channel and QBER against time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qanat.cli.rate_plot import FORMATS
from qanat.core.errors import EnvironmentProblem, MisuseError

if TYPE_CHECKING:
    from qanat.plan.passes import Pass


def draw_pass(flown: Pass, qber: Sequence[float], protocol: str, path: Path) -> None:
    """Two panels over one axis of time; parts without sight are gaps.

    Raises:
        MisuseError: no such file format.
        EnvironmentProblem: the file cannot be written.
    """
    if path.suffix not in FORMATS:
        raise MisuseError(f"{path}: a picture ends in {', '.join(FORMATS)}")
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    mpl.rcParams.update({"svg.hashsalt": "qanat", "svg.fonttype": "none", "font.family": "DejaVu Sans"})
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(8.6, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    seen = [eta > 0 for eta in flown.transmittances]
    time_s = flown.midpoints_s
    loss_db = [loss if is_seen else math.nan for loss, is_seen in zip(flown.losses_db, seen, strict=True)]
    percent = [100 * each if is_seen else math.nan for each, is_seen in zip(qber, seen, strict=True)]
    marker = "o" if len(time_s) < 60 else ""
    above.plot(time_s, loss_db, marker=marker, ms=3, lw=1.8)
    above.invert_yaxis()  # the satellite is highest where the loss is least
    above.set(ylabel="loss of the channel (dB)", title=f"{protocol}: a pass of {math.fsum(flown.durations_s):g} s")
    below.plot(time_s, percent, marker=marker, ms=3, lw=1.8, color="C1")
    below.set(xlabel="time (s)", ylabel="QBER of each part (%)")
    below.set_ylim(0, 1.2 * max(each for each in percent if not math.isnan(each)) or 1)
    for axes in (above, below):
        axes.grid(visible=True, alpha=0.3)
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}") from error
