"""The door: alarms and reports go in, numbered commands come out. A pure state machine.

The rules, in the order in which they win:
1. A link under a critical alarm, or that nobody watches, accepts no new blocks (PAUSE_LINK at both ends), and
   what rests on its blocks since the change is quarantined at every site, since relayed keys may lie anywhere.
2. Only then are routes moved, first to the backup prepared ahead, else to the best path that is left.
3. Where no path is left, the pair's route is emptied and the command says so. Security comes before service:
   whoever fakes alarms can stop a demand, but not in silence. Each pause that strands a pair names it in its
   reason and counts how many links are paused, and ``single_points`` lists beforehand where that can happen.
   What an attacker cannot do with alarms is to make a link be trusted.
4. A link returns when its alarms are over, it showed ``policy.requalify_s`` of good link time (doubled for each
   relapse, up to 16 times) and made a key block that began after its recovery. It is resumed before any
   route moves back to it; keys already relayed stay valid, so nothing breaks while routes move.

Routes use links that are UP. At the start no link has made key yet, so STARTING links carry routes too, for
``start_patience_ns``; after that only where nothing else leads to the goal. So it is with links and relay sites that
are not heard of (``avoid``): routes go around them where they can, and nothing is paused or condemned for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qanat.control.links import end_alarm, fresh_view, has_requalified, is_grave, qualify, raise_alarm, resume
from qanat.control.orders import Orders
from qanat.control.planner import Pair, Planner
from qanat.control.presence import Absent
from qanat.control.routebook import RouteBook, Ways
from qanat.control.state import LinkState, LinkView, Route, SinglePoint, StoreReportLike
from qanat.core.alarms import Alarm, Command
from qanat.core.errors import LocalProtocolError
from qanat.core.ids import LinkId, SiteId
from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network

START_PATIENCE_NS = 20 * NS_PER_S


class Controller:
    """Decides which links and routes are used.

    Args:
        network: The checked network file.
        first_revision: Revision of the first command, so that a restart continues (``next_revision``). Above
            1 the controller takes itself to be restarted and resumes links that its forerunner may have paused,
            each once it has made key.
        start_patience_ns: See the module's last paragraph.
    """

    def __init__(
        self, *, network: Network, first_revision: int = 1, start_patience_ns: int = START_PATIENCE_NS
    ) -> None:
        self._network = network
        self._planner = Planner(network)
        self._orders = Orders(first_revision)
        self._book = RouteBook(self._planner, self._orders)
        self._is_restarted = first_revision > 1
        self._patience_ns = start_patience_ns
        self._started_ns: int | None = None
        self._is_patient = True
        self._views = {link.id: fresh_view(link, network.fibres[link.fibre]) for link in network.links.values()}
        self._store_bits: dict[tuple[SiteId, LinkId], int] = {}
        self._absent = Absent()

    @property
    def next_revision(self) -> int:
        return self._orders.next_revision

    @property
    def routes(self) -> dict[Pair, Route]:
        """The route of each (source, target) as last commanded, in both directions."""
        return dict(self._book.routes)

    @property
    def links(self) -> dict[LinkId, LinkView]:
        """What is believed of each link. Look, do not touch."""
        return dict(self._views)

    def link_state(self, link: LinkId) -> LinkState:
        return self._view(link).state

    def store_bits(self, link: LinkId) -> int | None:
        """Least secret bits of a link that one of its ends reported; None when none did."""
        bits = [count for (_, of), count in self._store_bits.items() if of == link]
        return min(bits) if bits else None

    def single_points(self) -> list[SinglePoint]:
        """Links and sites whose loss would now leave a pair without route: know it before the cut."""
        return self._planner.single_points(self._ways().preferred)

    def initial_commands(self, now_ns: int) -> list[Command]:
        """First routes. Call it once, before the first ``step`` (which else does it)."""
        if self._started_ns is not None:
            return []
        self._started_ns = now_ns
        return self._book.plan(self._ways(), reason="first plan", now_ns=now_ns)

    def step(
        self,
        now_ns: int,
        *,
        alarms: Sequence[Alarm] = (),
        reports: Sequence[LinkReport | BlockReport] = (),
        stores: Sequence[StoreReportLike] = (),
    ) -> list[Command]:
        """Take what happened; returns what is to be done, in the order in which to do it.

        Args:
            now_ns: Wall or world clock.
            alarms: In order of their numbers. Warnings are remembered (``links``) and command nothing.
            reports: In order per link.
            stores: Kept for ``store_bits``; routes do not depend on them yet.

        Raises:
            LocalProtocolError: an alarm or report names a link that the network does not have.
        """
        commands = self.initial_commands(now_ns)
        for store in stores:
            self._store_bits.update({(store.site, link): bits for link, bits in store.link_bits.items()})
        commands += self._stop(self._take_alarms(alarms), now_ns)
        resumed, reasons = self._take_reports(reports)
        for link in resumed:
            commands += self._resume(link, now_ns)
        reasons += self._patience_ran_out(now_ns)
        if reasons:
            commands += self._book.plan(self._ways(), reason="; ".join(reasons), now_ns=now_ns)
        return commands

    def avoid(self, absent: Absent, now_ns: int) -> list[Command]:
        """Routes around what is not heard of, and back when it is again; see ``presence.py``."""
        if absent == self._absent:
            return []
        self._absent = absent
        return self._book.plan(self._ways(), reason=absent.sentence(), now_ns=now_ns)

    def resync(self, site: SiteId, now_ns: int) -> list[Command]:
        """All that a site which reconnected must know: quarantines under their old revisions (see
        ``orders.py``), then the present state of its links and routes under new ones."""
        if site not in self._network.sites:
            raise LocalProtocolError(f"site {site} is not in network {self._network.name}")
        reason = f"told again: site {site} reconnected"
        commands = self._orders.quarantines(site)
        for link, view in self._views.items():
            if view.is_paused and site in self._network.links[link].sites:
                commands.append(self._orders.pause(site, link, reason=reason, now_ns=now_ns, alarm=None))
            elif not view.is_paused and view.resumed_ns is not None:
                from_ns = view.resumed_ns
                commands.append(self._orders.resume(site, link, from_ns=from_ns, reason=reason, now_ns=now_ns))
        return commands + self._book.repeat(site, reason=reason, now_ns=now_ns)

    def _take_alarms(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """Bring the links' states up to date; returns the grave alarms that began."""
        grave = []
        for alarm in alarms:
            view = self._view(alarm.link)
            if not alarm.raised:
                end_alarm(view, alarm)
            elif is_grave(alarm):
                raise_alarm(view, alarm)
                grave.append(alarm)
            else:
                view.warnings[alarm.kind] = alarm
        return grave

    def _stop(self, grave: Sequence[Alarm], now_ns: int) -> list[Command]:
        """Pause and quarantine for all alarms first, then move the routes that used their links."""
        if not grave:
            return []
        ways = self._ways()
        commands: list[Command] = []
        for alarm in grave:
            commands += self._pause(alarm, ways, now_ns)
            commands += self._quarantine(alarm, now_ns)
        for alarm in grave:
            commands += self._book.leave(alarm, ways, now_ns=now_ns)
        self._book.prepare(ways)
        return commands

    def _pause(self, alarm: Alarm, ways: Ways, now_ns: int) -> list[Command]:
        view = self._views[alarm.link]
        if view.is_paused:
            return []
        view.is_paused = True
        reason = f"alarm {alarm.number} ({alarm.kind}) on link {alarm.link}{self._price(alarm.link, ways)}"
        return [
            self._orders.pause(site, alarm.link, reason=reason, now_ns=now_ns, alarm=alarm)
            for site in self._network.links[alarm.link].sites
        ]

    def _price(self, link: LinkId, ways: Ways) -> str:
        """What the pause costs, in words; empty when every pair finds another way."""
        stranded = [f"{pair[0]} - {pair[1]}" for pair in self._book.users(link) if not ways.best(pair)]
        if not stranded:
            return ""
        paused = sum(view.is_paused for view in self._views.values())
        return (
            f"; SERVICE STOPS for {', '.join(stranded)}: no other route ({paused} of {len(self._views)} links are "
            "paused). Security comes before service; check whether the alarm is genuine"
        )

    def _quarantine(self, alarm: Alarm, now_ns: int) -> list[Command]:
        """Keys made since the change, less the policy's margin, at every site. A warning condemns nothing,
        nor does a later alarm that reaches less far back."""
        view = self._views[alarm.link]
        earliest = view.quarantined_since_ns
        since_ns = max(0, alarm.since_ns - round(self._network.policy.suspect_margin_s * NS_PER_S))
        if alarm.severity != "critical" or (earliest is not None and earliest <= since_ns):
            return []
        view.quarantined_since_ns = since_ns
        return [
            self._orders.quarantine(site, alarm, since_ns=since_ns, now_ns=now_ns)
            for site in sorted(self._network.sites)
        ]

    def _take_reports(self, reports: Iterable[LinkReport | BlockReport]) -> tuple[list[LinkId], list[str]]:
        """Returns the links to resume, and reasons to plan again."""
        resumed: list[LinkId] = []
        reasons: list[str] = []
        for report in reports:
            view = self._view(report.link)
            qualify(view, report)
            if isinstance(report, BlockReport):
                first_key = view.state is LinkState.STARTING
                reasons += self._learn(view, report)
                if first_key and view.state is LinkState.UP and self._is_restarted:
                    view.resumed_ns = report.start_ns
                    resumed.append(report.link)
            if has_requalified(view, self._network.policy.requalify_s):
                seconds = view.good_ns / NS_PER_S
                resume(view)
                resumed.append(report.link)
                reasons.append(f"link {report.link} is requalified by {seconds:.3g} s of good light and a key block")
        return resumed, reasons

    def _learn(self, view: LinkView, report: BlockReport) -> list[str]:
        """A key block tells the link's rate, and that it is up. Links on probation keep their old rate."""
        if view.state not in (LinkState.STARTING, LinkState.UP):
            return []
        has_moved = view.learn_rate(report)
        if view.state is LinkState.STARTING and report.aborted is None and report.secret_bits > 0:
            view.state = LinkState.UP
            return [f"link {report.link} makes key"]
        return [f"link {report.link} now makes about {2**view.level} bits/s"] if has_moved else []

    def _patience_ran_out(self, now_ns: int) -> list[str]:
        assert self._started_ns is not None, "step() starts the controller first"
        if not self._is_patient or now_ns - self._started_ns < self._patience_ns:
            return []
        self._is_patient = False
        late = sorted(link for link, view in self._views.items() if view.state is LinkState.STARTING)
        return [f"no key yet from {', '.join(late)}"] if late else []

    def _resume(self, link: LinkId, now_ns: int) -> list[Command]:
        from_ns = self._views[link].resumed_ns or 0
        reason = f"link {link} is good again: its blocks that begin from now on are accepted"
        return [
            self._orders.resume(site, link, from_ns=from_ns, reason=reason, now_ns=now_ns)
            for site in self._told_sites(link)
        ]

    def _told_sites(self, link: LinkId) -> list[SiteId]:
        """Who must hear that a link is good again: every site, since each was told to condemn it."""
        ends = self._network.links[link].sites
        return [*ends, *sorted(site for site in self._network.sites if site not in ends)]

    def _ways(self) -> Ways:
        up = {link: view.level for link, view in self._views.items() if view.state is LinkState.UP}
        starting = {link: view.level for link, view in self._views.items() if view.state is LinkState.STARTING}
        wide = self._planner.graph(up | starting)
        preferred = wide if self._is_patient else self._planner.graph(up)
        heard_of = preferred.without(links=self._absent.links, sites=self._absent.sites)
        return Ways(planner=self._planner, graphs=(heard_of, preferred, wide))

    def _view(self, link: LinkId) -> LinkView:
        try:
            return self._views[link]
        except KeyError:
            raise LocalProtocolError(f"link {link} is not in network {self._network.name}") from None
