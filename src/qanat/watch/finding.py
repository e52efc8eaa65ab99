"""Finding: what a monitor tells the watcher, before the watcher numbers and addresses it."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.watch.cusum import Cusum
from qanat.watch.windows import Window

CRITICAL = "critical"
WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A change began (``is_raised``) or is over. Other fields as in ``core.alarms.Alarm``."""

    is_raised: bool
    severity: str
    since_ns: int
    last_good_number: int
    statistic: float
    threshold: float
    evidence: str


def begin_with_margin(first: Window, before: Window | None) -> tuple[int, int]:
    """``since_ns`` and ``last_good_number`` of a change that began in ``first``.

    One window of margin: the change may have begun within the window before, too late in it to show.
    Windows that never arrived between the two count as bad.
    """
    if before is None:
        return max(0, 2 * first.start_ns - first.end_ns), max(-1, first.number - 2)
    return before.start_ns, before.number - 1


def ended(window: Window, test: Cusum, severity: str, evidence: str) -> Finding:
    """The change is over; good from the end of the window that proved it, which is late on purpose."""
    return Finding(
        is_raised=False,
        severity=severity,
        since_ns=window.end_ns,
        last_good_number=window.number,
        statistic=test.value,
        threshold=test.threshold,
        evidence=evidence,
    )
