"""``qanat sim FILE``: the network in virtual time, with faults; exit code 0 if every invariant held, 1 if one broke."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qanat.cli.check import load_network
from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.timebase import NS_PER_S, ns_from_text, text_from_ns

if TYPE_CHECKING:
    from qanat.sim.run import SimReport


def sim(
    path: Path, *, duration: str, seed: int, faults: str = "", trace: Path | None = None, as_json: bool = False
) -> int:
    """Run and print what came of it.

    Args:
        duration: Virtual time, such as "90s" or "1h".
        faults: See ``qanat.sim.faults``.
        trace: File for the trace, one line per event.

    Returns:
        0 if every invariant held after every step, 1 if one broke.

    Raises:
        MisuseError: the duration or the faults cannot be understood, or the network file has errors.
        EnvironmentProblem: a file cannot be read or written.
    """
    try:
        duration_ns = ns_from_text(duration)
    except ValueError as error:
        raise MisuseError(f"--duration: {error}") from None
    if duration_ns < NS_PER_S:
        raise MisuseError(f"--duration: {duration!r} is less than a second of virtual time")
    network = load_network(path)
    from qanat.sim.run import rerun_line, run_sim  # noqa: PLC0415 - numpy only when it runs

    started_s = time.monotonic()
    with _trace_sink(trace) as sink:
        report = run_sim(
            network,
            duration_ns=duration_ns,
            seed=seed,
            faults=faults,
            trace=sink,
            progress=_progress(duration_ns, started_s),
        )
    wall_s = time.monotonic() - started_s
    rerun = rerun_line(report, path=str(path), faults=faults)
    if as_json:
        print(json.dumps(_plain(report, wall_s, rerun), indent=2))
    else:
        print("\n".join(_lines(report, wall_s, rerun)))
    return 0 if report.violation is None else 1


@contextmanager
def _trace_sink(path: Path | None) -> Iterator[Callable[[str], None] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write the trace to {path}: {error.strerror}") from error
    with file:
        yield lambda line: print(line, file=file)


def _progress(duration_ns: int, started_s: float) -> Callable[[int], None]:
    """A line on stderr: rewritten in place on a terminal, else every tenth of the way."""
    is_terminal = sys.stderr.isatty()
    state = {"shown_s": 0.0, "tenth": 0}

    def show(now_ns: int) -> None:
        wall_s = time.monotonic() - started_s
        tenth = 10 * now_ns // duration_ns
        if not (wall_s - state["shown_s"] > 0.2 if is_terminal else tenth > state["tenth"]) and now_ns < duration_ns:
            return
        state["shown_s"], state["tenth"] = wall_s, tenth
        speed = now_ns / NS_PER_S / max(wall_s, 1e-9)
        text = f"virtual time {text_from_ns(now_ns)} of {text_from_ns(duration_ns)}, {speed:.0f} times real time"
        end = "\n" if not is_terminal or now_ns >= duration_ns else ""
        print(f"{chr(13) if is_terminal else ''}{text:<72}", end=end, file=sys.stderr, flush=True)

    return show


def _plain(report: SimReport, wall_s: float, rerun: str) -> dict[str, Any]:
    return {
        **asdict(report),
        "is_correct": report.violation is None,
        "faults": [str(fault) for fault in report.faults],
        "wall_s": round(wall_s, 3),
        "speed": round(report.ended_ns / NS_PER_S / max(wall_s, 1e-9), 1),
        "rerun": rerun,
    }


def _lines(report: SimReport, wall_s: float, rerun: str) -> Iterator[str]:
    speed = report.ended_ns / NS_PER_S / max(wall_s, 1e-9)
    yield f"network {report.network}   SIMULATION in virtual time, seed {report.seed}"
    yield f"  {text_from_ns(report.ended_ns)} in {wall_s:.1f} s, {speed:.0f} times real time; {report.steps} steps"
    yield f"  light in windows of {text_from_ns(report.window_ns)} (statistical tier; live pulse blocks are shorter)"
    yield from _faults(report)
    yield ""
    yield f"  {'link':<26} {'key blocks':>10} {'aborted':>8} {'QBER':>8} {'secret bits/s':>14}"
    seconds = max(report.ended_ns / NS_PER_S, 1e-9)
    for link, totals in report.links.items():
        qber = f"{100 * totals.errors / totals.tests:.2f} %" if totals.tests else "-"
        rate = totals.secret_bits / seconds
        yield f"  {link:<26} {totals.blocks:>10} {totals.aborted:>8} {qber:>8} {rate:>14.0f}"
    yield ""
    yield f"  {'applications':<40} {'wanted':>8} {'shared':>8} {'refused':>8} {'lost':>6}   (keys)"
    for name, pair in report.pairs.items():
        yield f"  {name:<40} {pair.wanted:>8} {pair.shared:>8} {pair.refused:>8} {pair.lost:>6}"
    yield ""
    yield f"  alarms: {_counts(report.alarms)}; commands: {_counts(report.commands)}"
    yield f"  frames: {report.frames_sent} sent, {report.frames_lost} lost, {report.frames_doubled} doubled"
    yield f"  trace digest {report.digest}"
    yield ""
    yield from _verdict(report, rerun)


def _faults(report: SimReport) -> Iterator[str]:
    count = len(report.faults)
    if count:
        yield (
            f"  {count} faults, {report.crashes} KMEs died: {', '.join(str(fault) for fault in report.faults[:6])}"
            + (", ..." if count > 6 else "")
        )


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _verdict(report: SimReport, rerun: str) -> Iterator[str]:
    broken = report.violation
    if broken is None:
        yield f"all seven invariants held after each of {report.steps} steps ({report.checks} observations judged)"
        return
    yield f"BROKEN at step {broken.step}, virtual time {broken.at_ns / NS_PER_S:.6f} s, seed {report.seed}"
    yield f"  {broken.text}"
    yield "the last events:"
    yield from (f"  {line}" for line in broken.recent)
    yield "run it again:"
    yield f"  {rerun}"
