"""The route book: which way each pair goes, which way it would go next, and the commands that say so."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.control.orders import Orders
from qanat.control.planner import Pair, Planner
from qanat.control.routing import Graph, Path
from qanat.control.state import Route
from qanat.core.alarms import Alarm, Command
from qanat.core.ids import LinkId, SiteId


@dataclass(frozen=True, slots=True)
class Ways:
    """Links that routes may use now.

    Attributes:
        planner: Knows what each pair's rule allows.
        graphs: The graph to plan on; then, for pairs that it does not join, the same with what is not heard of now;
            then with links of which nothing is known yet, good or bad.
    """

    planner: Planner
    graphs: tuple[Graph, ...]

    @property
    def preferred(self) -> Graph:
        return self.graphs[0]

    def best(self, pair: Pair) -> tuple[Path, ...]:
        return next((paths for graph in self.graphs if (paths := self.planner.best(graph, pair))), ())

    def allow(self, path: Path) -> bool:
        usable = {edge.link for edges in self.preferred.edges.values() for edge in edges}
        return usable.issuperset(path.links) and self.preferred.relays.issuperset(path.between)


class RouteBook:
    """Paths of the pairs that the network's demands need, each pair with its ends in sorted order."""

    def __init__(self, planner: Planner, orders: Orders) -> None:
        self._planner = planner
        self._orders = orders
        self._paths: dict[Pair, tuple[Path, ...]] = {}
        self._backups: dict[Pair, tuple[Path, ...]] = {}
        self.routes: dict[Pair, Route] = {}

    def users(self, link: LinkId) -> list[Pair]:
        """Pairs whose route uses the link."""
        return [pair for pair, paths in self._paths.items() if any(link in path.links for path in paths)]

    def plan(self, ways: Ways, *, reason: str, now_ns: int) -> list[Command]:
        """Every pair onto its best paths; commands for those that change."""
        commands: list[Command] = []
        for pair in self._planner.pairs:
            new = ways.best(pair)
            if pair not in self._paths or _ways(self._paths[pair]) != _ways(new):
                commands += self._move(pair, new, reason=reason, now_ns=now_ns, alarm=None)
        self.prepare(ways)
        return commands

    def leave(self, alarm: Alarm, ways: Ways, *, now_ns: int) -> list[Command]:
        """Pairs off the alarm's link: onto the backup prepared ahead if it holds, else the best path left."""
        commands: list[Command] = []
        for pair in self.users(alarm.link):
            ready = next((path for path in self._backups.get(pair, ()) if ways.allow(path)), None)
            reason = f"link {alarm.link} is paused by alarm {alarm.number}"
            new = (ready,) if ready is not None else ways.best(pair)
            commands += self._move(pair, new, reason=reason, now_ns=now_ns, alarm=alarm)
        return commands

    def prepare(self, ways: Ways) -> None:
        """Backups for the routes as they are now, while nothing is on fire."""
        self._backups = {
            pair: self._planner.backups(ways.preferred, paths[0], pair) for pair, paths in self._paths.items() if paths
        }

    def repeat(self, source: SiteId, *, reason: str, now_ns: int) -> list[Command]:
        """The present routes of one site, under new revisions."""
        return [
            self._tell(*ends, self._paths[_pair(ends)], reason=reason, now_ns=now_ns, alarm=None)
            for ends in sorted(self.routes)
            if ends[0] == source
        ]

    def _move(
        self, pair: Pair, new: tuple[Path, ...], *, reason: str, now_ns: int, alarm: Alarm | None
    ) -> list[Command]:
        self._paths[pair] = new
        if not new:
            reason = f"WARNING: no route is left between {pair[0]} and {pair[1]}: {reason}"
        return [self._tell(*ends, new, reason=reason, now_ns=now_ns, alarm=alarm) for ends in (pair, pair[::-1])]

    def _tell(
        self, source: SiteId, target: SiteId, paths: tuple[Path, ...], *, reason: str, now_ns: int, alarm: Alarm | None
    ) -> Command:
        step = 1 if _pair((source, target)) == (source, target) else -1
        links, *others = [path.links[::step] for path in paths] or [()]
        between = tuple(site for path in paths for site in path.between[::step])
        command = self._orders.route(source, target, links, tuple(others), reason=reason, now_ns=now_ns, alarm=alarm)
        self.routes[source, target] = Route(
            links=links, others=tuple(others), trusted_nodes=between, revision=command.revision
        )
        return command


def _pair(ends: Pair) -> Pair:
    """The ends in the order in which paths are kept."""
    return (min(ends), max(ends))


def _ways(paths: tuple[Path, ...]) -> tuple[tuple[LinkId, ...], ...]:
    return tuple(path.links for path in paths)
