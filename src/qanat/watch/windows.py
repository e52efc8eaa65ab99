"""Windows: what a monitor remembers of each report, and where in them a change began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanat.core.report import LinkReport

# A start is ruled out when it is e**-3 (5 %) as likely as the best one: a likelihood-ratio confidence set.
CHANGE_CONFIDENCE_NATS = 3.0
HISTORY_COUNT = 512  # windows; 26 s of 50 ms. A longer excursion uses the start that its CUSUM kept.


@dataclass(frozen=True, slots=True)
class Window:
    """One report, reduced to one observable: ``count`` events out of (or expected from) ``size``.

    For errors, ``size`` is the number of test bits; for detections, the number of pulses.
    """

    number: int
    start_ns: int
    end_ns: int
    count: int
    size: int


def error_window(report: LinkReport) -> Window:
    """Errors among the announced Z bits, all intensities together."""
    return Window(
        report.number,
        report.start_ns,
        report.start_ns + report.duration_ns,
        report.error_count,
        report.test_count,
    )


def detection_window(report: LinkReport) -> Window:
    """Detections among all pulses, before sifting."""
    return Window(
        report.number,
        report.start_ns,
        report.start_ns + report.duration_ns,
        report.detection_count,
        report.n_pulses,
    )


def change_start(ratios: Sequence[float]) -> int:
    """Index of the first window at which the change may have begun.

    Args:
        ratios: Log-likelihood ratio (changed against not) of each window, oldest first.

    Returns:
        The earliest start that the data do not rule out: its sum of ratios to the end is within
        ``CHANGE_CONFIDENCE_NATS`` of the best start's.

    Example:
        >>> change_start([-5.0, -0.5, -0.5, 9.0, 9.0]), change_start([-5.0, -5.0, -5.0, 9.0])
        (1, 3)
    """
    sums: list[float] = []
    total = 0.0
    for ratio in reversed(ratios):
        total += ratio
        sums.append(total)
    sums.reverse()
    floor = max(sums) - CHANGE_CONFIDENCE_NATS
    return next(index for index, value in enumerate(sums) if value >= floor)
