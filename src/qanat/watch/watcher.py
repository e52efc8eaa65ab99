"""The door: link reports go in, numbered alarms come out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qanat.core.alarms import Alarm, AlarmKind
from qanat.core.errors import LocalProtocolError
from qanat.core.ids import LinkId
from qanat.core.report import LinkReport
from qanat.core.timebase import NS_PER_S, text_from_ns
from qanat.watch.finding import CRITICAL, WARNING, Finding
from qanat.watch.qber import QberMonitor
from qanat.watch.rate import RateMonitor
from qanat.watch.windows import detection_window, error_window

MEMORY_S = 300.0  # link time; the baselines' time constant (design/watch_thresholds.py)
MONITORS_PER_LINK = 2  # they share the link's false-alarm budget
SILENCE_TIMEOUT_NS = 3 * NS_PER_S  # a silent sensor is itself an alarm
FIRST_REPORT_TIMEOUT_NS = 60 * NS_PER_S  # modules start, kernels compile


@dataclass(slots=True)
class LinkWatch:
    """What the watcher keeps per link."""

    pulse_block_ns: int
    qber: QberMonitor
    rate: RateMonitor
    last: LinkReport | None = None
    heard_ns: int | None = None
    is_silent: bool = False


class Watcher:
    """Watches links by their public reports. No clock, no I/O, no secrets.

    Args:
        links: Links to watch.
        false_alarm_interval_s: Mean time between false alarms of one link, at least, in link time.
        pulse_block_ns: Link time of one report, which is one window of every test.
        silence_timeout_ns: Wall time without reports that counts as silence. A host whose link time is
            stretched should stretch this too.
        first_report_timeout_ns: The same for a link that has never reported.
        first_number: Number of the first alarm, so that a restart continues.

    Raises:
        ValueError: a link has no pulse block length, or the interval is shorter than ten windows.

    Example:
        >>> watcher = Watcher(links=[LinkId("a-b")], false_alarm_interval_s=86400.0,
        ...                   pulse_block_ns={LinkId("a-b"): 50_000_000})
        >>> watcher.silence(0)
        []
    """

    def __init__(
        self,
        *,
        links: Iterable[LinkId],
        false_alarm_interval_s: float,
        pulse_block_ns: Mapping[LinkId, int],
        silence_timeout_ns: int = SILENCE_TIMEOUT_NS,
        first_report_timeout_ns: int = FIRST_REPORT_TIMEOUT_NS,
        first_number: int = 1,
    ) -> None:
        self._interval_s = false_alarm_interval_s
        self._silence_timeout_ns = silence_timeout_ns
        self._first_report_timeout_ns = first_report_timeout_ns
        self._next_number = first_number
        self._watches: dict[LinkId, LinkWatch] = {}
        for link in links:
            if link not in pulse_block_ns:
                raise ValueError(f"link {link} has no pulse_block_ns")
            self._watches[link] = self._fresh(pulse_block_ns[link])

    def observe(self, report: LinkReport, now_ns: int) -> list[Alarm]:
        """Take one report; returns alarms that begin or end with it.

        Reports of a link come in order. One that is not newer than the last is ignored and does not
        end a silence: a replayed report must not keep a dead link alive. Where a link's numbers start
        again (its modules restarted), call ``relearn`` first.

        Raises:
            LocalProtocolError: the link is not watched.
        """
        watch = self._watch(report.link)
        if watch.last is not None and report.number <= watch.last.number:
            return []
        alarms = self._end_silence(watch, report, now_ns)
        watch.last, watch.heard_ns = report, now_ns
        for finding in watch.qber.observe(error_window(report)):
            alarms.append(self._alarm(report.link, AlarmKind.QBER, finding, now_ns))
        for finding in watch.rate.observe(detection_window(report)):
            alarms.append(self._alarm(report.link, AlarmKind.DETECTION_RATE, finding, now_ns))
        return alarms

    def silence(self, now_ns: int, *, timeout_ns: int | None = None) -> list[Alarm]:
        """Alarms for links whose reports stopped. Call it regularly, with the clock of ``observe``.

        Args:
            now_ns: Wall or world clock.
            timeout_ns: Instead of the constructor's ``silence_timeout_ns``.
        """
        usual_ns = self._silence_timeout_ns if timeout_ns is None else timeout_ns
        alarms = []
        for link, watch in self._watches.items():
            if watch.heard_ns is None:
                watch.heard_ns = now_ns
            limit_ns = usual_ns if watch.last is not None else max(usual_ns, self._first_report_timeout_ns)
            quiet_ns = now_ns - watch.heard_ns
            if not watch.is_silent and quiet_ns > limit_ns:
                watch.is_silent = True
                alarms.append(self._alarm(link, AlarmKind.SILENCE, _silent(watch, quiet_ns, limit_ns), now_ns))
        return alarms

    def relearn(self, link: LinkId, now_ns: int) -> list[Alarm]:
        """Forget all about a link: its modules restarted, or an operator accepts its new normal.

        Returns:
            The ends of its open alarms, so that no alarm disappears without a word. A silence goes on
            until a report arrives.
        """
        watch = self._watch(link)
        monitors = ((AlarmKind.QBER, watch.qber), (AlarmKind.DETECTION_RATE, watch.rate))
        open_kinds = [kind for kind, monitor in monitors if monitor.is_alarmed]
        finding = _forgotten(watch)
        self._watches[link] = self._fresh(watch.pulse_block_ns)
        self._watches[link].heard_ns = now_ns
        self._watches[link].is_silent = watch.is_silent
        return [self._alarm(link, kind, finding, now_ns) for kind in open_kinds]

    @property
    def next_number(self) -> int:
        """Number of the next alarm: what a restart passes as ``first_number``."""
        return self._next_number

    def is_learning(self, link: LinkId) -> bool:
        """Some baseline of the link is not learned yet: only the absolute limit protects it."""
        watch = self._watch(link)
        return not (watch.qber.baseline.is_ready and watch.rate.baseline.is_ready)

    def _watch(self, link: LinkId) -> LinkWatch:
        try:
            return self._watches[link]
        except KeyError:
            raise LocalProtocolError(f"link {link} is not watched") from None

    def _fresh(self, pulse_block_ns: int) -> LinkWatch:
        window_s = pulse_block_ns / NS_PER_S
        gamma = MONITORS_PER_LINK * self._interval_s / window_s
        if gamma < 10:
            raise ValueError(f"a false alarm every {self._interval_s} s is too many for windows of {window_s} s")
        memory = max(50.0, MEMORY_S / window_s)
        return LinkWatch(
            pulse_block_ns=pulse_block_ns,
            qber=QberMonitor(gamma=gamma, memory_windows=memory),
            rate=RateMonitor(gamma=gamma, memory_windows=memory),
        )

    def _end_silence(self, watch: LinkWatch, report: LinkReport, now_ns: int) -> list[Alarm]:
        if not watch.is_silent:
            return []
        watch.is_silent = False
        return [self._alarm(report.link, AlarmKind.SILENCE, _heard_again(report), now_ns)]

    def _alarm(self, link: LinkId, kind: AlarmKind, finding: Finding, now_ns: int) -> Alarm:
        number = self._next_number
        self._next_number += 1
        return Alarm(
            number=number,
            kind=kind,
            link=link,
            raised=finding.is_raised,
            severity=finding.severity,
            since_ns=finding.since_ns,
            last_good_number=finding.last_good_number,
            at_ns=now_ns,
            statistic=finding.statistic,
            threshold=finding.threshold,
            evidence=finding.evidence,
        )


def _silent(watch: LinkWatch, quiet_ns: int, limit_ns: int) -> Finding:
    """Nobody watched the link since its last report: what it made since then is under suspicion."""
    last = watch.last
    return Finding(
        is_raised=True,
        # A link never heard may have been watched by a forerunner: no ground to condemn all it ever made.
        severity=CRITICAL if last else WARNING,
        since_ns=last.start_ns + last.duration_ns if last else 0,
        last_good_number=last.number if last else -1,
        statistic=quiet_ns / NS_PER_S,
        threshold=limit_ns / NS_PER_S,
        evidence=(
            f"No report for {text_from_ns(quiet_ns)}, limit {text_from_ns(limit_ns)}; the last one was "
            f"{f'number {last.number}' if last else 'never'}. What the link made since then was not watched."
        ),
    )


def _heard_again(report: LinkReport) -> Finding:
    return Finding(
        is_raised=False,
        severity=CRITICAL,
        since_ns=report.start_ns,
        last_good_number=report.number - 1,
        statistic=0.0,
        threshold=0.0,
        evidence=f"Reports arrive again, from number {report.number}.",
    )


def _forgotten(watch: LinkWatch) -> Finding:
    last = watch.last
    return Finding(
        is_raised=False,
        severity=CRITICAL,
        since_ns=last.start_ns + last.duration_ns if last else 0,
        last_good_number=last.number if last else -1,
        statistic=0.0,
        threshold=0.0,
        evidence="Baseline forgotten by order (modules restarted, or the new normal was accepted); learning anew.",
    )
