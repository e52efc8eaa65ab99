"""From links that may be used to routes, backups prepared ahead, and what nothing can back up."""

from __future__ import annotations

from collections.abc import Mapping

from qanat.control.disjoint import disjoint_pair
from qanat.control.routing import Graph, Path, best_path, link_cost
from qanat.control.state import SinglePoint
from qanat.core.ids import LinkId, SiteId
from qanat.core.topology import Network

Pair = tuple[SiteId, SiteId]


class Planner:
    """Pure planning on one network: the same links and levels always give the same routes."""

    def __init__(self, network: Network) -> None:
        self._ends = {link.id: link.sites for link in network.links.values()}
        self._relays = frozenset(site.id for site in network.sites.values() if site.is_trusted)
        self._between_max = network.policy.max_trusted_nodes
        self.pairs: tuple[Pair, ...] = tuple(network.km_pairs())

    def graph(self, levels: Mapping[LinkId, int]) -> Graph:
        """The graph of the links given, each with the octave of its secret rate."""
        costs = {link: link_cost(level) for link, level in levels.items()}
        return Graph.of(self._ends, costs, self._relays, self._between_max)

    def backups(self, graph: Graph, primary: Path, pair: Pair) -> tuple[Path, ...]:
        """Where the pair goes when its route breaks: a path that shares nothing with it, else two
        paths that share nothing with each other, one of which survives any single loss."""
        apart = best_path(graph.without(links=primary.links, sites=primary.between), *pair)
        if apart is not None:
            return (apart,)
        return disjoint_pair(graph, *pair) or ()

    def single_points(self, graph: Graph) -> list[SinglePoint]:
        """Links and relay sites whose loss leaves a pair that has a route now without any."""
        found: dict[tuple[str, bool], list[Pair]] = {}
        for pair in self.pairs:
            path = best_path(graph, *pair)
            if path is None:
                continue
            # What lies on no path of the pair cannot separate it, so one path's parts are all to try.
            for link in path.links:
                if best_path(graph.without(links=(link,)), *pair) is None:
                    found.setdefault((link, True), []).append(pair)
            for site in path.between:
                if best_path(graph.without(sites=(site,)), *pair) is None:
                    found.setdefault((site, False), []).append(pair)
        return [
            SinglePoint(name=name, is_link=is_link, pairs=tuple(pairs))
            for (name, is_link), pairs in sorted(found.items())
        ]
