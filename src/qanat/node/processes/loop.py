"""The closed loop: reports in, alarms, commands out; all three go to the journal.

LinkReport -> Watcher.observe -> Alarm -> Controller.step -> Command -> the KME of its site
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from itertools import groupby
from typing import Any

from qanat.control.controller import Controller
from qanat.control.presence import Presence
from qanat.core.alarms import Alarm, Command
from qanat.core.ids import LinkId, SiteId
from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.node.processes.journal import REMEMBERED_COUNT, Journal
from qanat.watch.watcher import Watcher

# Reports come every 50 ms of link time; a stretch of 20 makes that a second. Ten seconds is silence.
SILENCE_TIMEOUT_NS = 10 * NS_PER_S


class Loop:
    """Watcher and controller of one network, and what they said."""

    def __init__(self, network: Network, journal: Journal, send: Callable[[Command], None]) -> None:
        # Revisions must rise across restarts of this process: the clock in microseconds does.
        self.controller = Controller(network=network, first_revision=time.time_ns() // 1_000)
        self.watcher = Watcher(
            links=list(network.links),
            false_alarm_interval_s=network.policy.false_alarm_interval_s,
            pulse_block_ns={link.id: link.pulse_block_ns for link in network.links.values()},
            silence_timeout_ns=SILENCE_TIMEOUT_NS,
        )
        self.presence = Presence(network.sites)
        self._sites = network.sites
        self.alarms: deque[Alarm] = deque(maxlen=REMEMBERED_COUNT)
        self.journal = journal
        self._send = send
        self._last_start_ns: dict[LinkId, int] = {}

    def begin(self) -> None:
        for point in self.controller.single_points():
            self.journal.write("note", point.sentence())
        self._carry(self.controller.initial_commands(time.time_ns()))

    def on_report(self, report: LinkReport) -> None:
        self.journal.write_report(report)
        now_ns = time.time_ns()
        alarms: list[Alarm] = []
        if report.number == 0 and report.link in self._last_start_ns:
            alarms += self.watcher.relearn(report.link, now_ns)
        self._last_start_ns[report.link] = report.start_ns
        alarms += self.watcher.observe(report, now_ns)
        self._step(alarms=alarms, reports=[report])

    def on_block(self, report: BlockReport) -> None:
        self.journal.write_report(report)
        self._step(reports=[report])

    def on_stores(self, stores: list[Any]) -> None:
        self._step(stores=stores)

    def tick(self) -> None:
        self._step(alarms=self.watcher.silence(time.time_ns()))
        self.go_around()

    def go_around(self) -> None:
        """Routes around links and KMEs that are not heard of. Silence that lasts is an alarm besides."""
        self._carry(self.controller.avoid(self.presence.look(time.monotonic_ns()), time.time_ns()))

    def on_site(self, site: SiteId) -> None:
        """A KME came (back): tell it all that holds now."""
        self._carry(self.controller.resync(site, time.time_ns()))

    def _step(
        self, *, alarms: list[Alarm] | None = None, reports: list[Any] | None = None, stores: list[Any] | None = None
    ) -> None:
        for alarm in alarms or []:
            self.alarms.appendleft(alarm)
            state = "raised" if alarm.raised else "over"
            self.journal.write("alarm", f"{alarm.kind} on {alarm.link} {state}: {alarm.evidence}", alarm)
        self._carry(
            self.controller.step(time.time_ns(), alarms=alarms or (), reports=reports or (), stores=stores or ())
        )

    def _carry(self, commands: list[Command]) -> None:
        for command in commands:
            self._send(command)
        for (action, reason), same in groupby(commands, key=lambda command: (command.action, command.reason)):
            told = list(same)
            sites = "all sites" if len(told) == len(self._sites) > 1 else ", ".join(command.site for command in told)
            self.journal.write("command", f"{sites}: {action}: {reason}", told)
