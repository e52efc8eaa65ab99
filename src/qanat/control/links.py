"""The life of one link as the controller sees it: the table drawn in ``state.py``, in code."""

from __future__ import annotations

import math

from qanat.control.state import LinkState, LinkView
from qanat.core.alarms import Alarm, AlarmKind
from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Fibre, Link

FLAP_MEMORY_NS = 60 * NS_PER_S  # link time; an alarm sooner than this after a resume is a relapse
REQUALIFY_FACTOR_MAX = 16
SECRET_PER_PULSE = 1e-3  # at no loss; a guess that only orders links until their first key block


def fresh_view(link: Link, fibre: Fibre) -> LinkView:
    """A link about which nothing is known but its fibre."""
    guess = max(1.0, link.clock_hz * SECRET_PER_PULSE * 10 ** (-fibre.loss_db / 10))
    return LinkView(rate_bits_per_s=guess, level=round(math.log2(guess)))


def is_grave(alarm: Alarm) -> bool:
    """Must the link stop? Critical alarms, and silence: unwatched blocks are not accepted."""
    return alarm.severity == "critical" or alarm.kind is AlarmKind.SILENCE


def raise_alarm(view: LinkView, alarm: Alarm) -> None:
    """A grave alarm began. ``is_paused`` is left to whoever sends the command."""
    relapsed = view.state is LinkState.REQUALIFYING or (
        view.resumed_ns is not None and alarm.since_ns - view.resumed_ns < FLAP_MEMORY_NS
    )
    if not view.open_alarms:
        view.requalify_factor = min(REQUALIFY_FACTOR_MAX, 2 * view.requalify_factor) if relapsed else 1
    view.warnings.pop(alarm.kind, None)
    view.open_alarms[alarm.kind] = alarm
    view.good_ns, view.has_good_block = 0, False
    view.state = _state_of_alarms(view)


def end_alarm(view: LinkView, alarm: Alarm) -> None:
    """An alarm is over; with the last grave one the link starts to earn trust back."""
    view.warnings.pop(alarm.kind, None)
    if view.open_alarms.pop(alarm.kind, None) is None:
        return
    view.recovered_ns = max(view.recovered_ns, alarm.since_ns)
    view.good_ns, view.has_good_block = 0, False
    view.state = _state_of_alarms(view)


def _state_of_alarms(view: LinkView) -> LinkState:
    if not view.open_alarms:
        return LinkState.REQUALIFYING
    return LinkState.SILENT if set(view.open_alarms) == {AlarmKind.SILENCE} else LinkState.ALARMED


def qualify(view: LinkView, report: LinkReport | BlockReport) -> None:
    """Count what speaks for a link on probation. Only what began after its recovery does."""
    if view.state is not LinkState.REQUALIFYING or report.start_ns < view.recovered_ns:
        return
    if isinstance(report, LinkReport):
        view.good_ns += report.duration_ns
    elif report.aborted is None and report.secret_bits > 0:
        view.has_good_block = True


def has_requalified(view: LinkView, requalify_s: float) -> bool:
    """Enough good link time, and the link makes key again."""
    return (
        view.state is LinkState.REQUALIFYING
        and view.has_good_block
        and view.good_ns >= requalify_s * view.requalify_factor * NS_PER_S
    )


def resume(view: LinkView) -> None:
    view.state = LinkState.UP
    view.is_paused = False
    view.quarantined_since_ns = None
    view.resumed_ns = view.recovered_ns
