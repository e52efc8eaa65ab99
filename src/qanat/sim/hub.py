"""Watcher and controller in virtual time: reports come in, commands go out over connections that may break."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from qanat.control.controller import Controller
from qanat.core.alarms import Alarm, Command
from qanat.core.ids import SiteId
from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.sim.network import HUB, SimulatedNetwork
from qanat.sim.site import SimulatedSite
from qanat.sim.trace import Trace
from qanat.sim.words import alarm_text, command_text
from qanat.sim.world import World
from qanat.watch.watcher import Watcher

TICK_NS = NS_PER_S


class SimulatedHub:
    """The host of one watcher and one controller.

    Attributes:
        alarm_count, command_count: By kind.
    """

    def __init__(
        self,
        *,
        topology: Network,
        world: World,
        network: SimulatedNetwork,
        trace: Trace,
        sites: Mapping[SiteId, SimulatedSite],
        window_ns: int,
    ) -> None:
        self._world, self._network, self._trace, self._sites = world, network, trace, sites
        self._watcher = Watcher(
            links=list(topology.links),
            false_alarm_interval_s=topology.policy.false_alarm_interval_s,
            pulse_block_ns=dict.fromkeys(topology.links, window_ns),
            silence_timeout_ns=3 * max(NS_PER_S, window_ns),
        )
        self.controller = Controller(network=topology)
        self.alarm_count: Counter[str] = Counter()
        self.command_count: Counter[str] = Counter()

    def start(self) -> None:
        self._carry_out(self.controller.initial_commands(self._world.now_ns))
        self._world.every(TICK_NS, self._tick)

    def report(self, report: LinkReport | BlockReport) -> None:
        """A QKD module's report arrived."""
        alarms = self._watcher.observe(report, self._world.now_ns) if isinstance(report, LinkReport) else []
        self._step(alarms, [report])

    def resync(self, site: SiteId) -> None:
        """A site can be reached again: tell it all that holds."""
        self._carry_out(self.controller.resync(site, self._world.now_ns))

    def _tick(self) -> None:
        self._step(self._watcher.silence(self._world.now_ns), [])

    def _step(self, alarms: Sequence[Alarm], reports: Sequence[LinkReport | BlockReport]) -> None:
        for alarm in alarms:
            self.alarm_count[f"{alarm.kind} {'raised' if alarm.raised else 'over'}"] += 1
            self._trace.add("alarm", alarm.link, alarm_text(alarm))
        self._carry_out(self.controller.step(self._world.now_ns, alarms=alarms, reports=reports))

    def _carry_out(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self.command_count[command.action] += 1
            self._trace.add("command", command.site, command_text(command))
            self._send(self._sites[command.site], command)

    def _send(self, site: SimulatedSite, command: Command) -> None:
        self._network.send_in_order(HUB, site.site, lambda: site.apply(command))
