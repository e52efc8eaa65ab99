"""From links that may be used to routes, backups prepared ahead, and what nothing can back up."""

from __future__ import annotations

from collections.abc import Mapping

from qanat.control.disjoint import disjoint_pair, disjoint_paths
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
        self._rules = {pair: network.relay_rule(*pair) for pair in self.pairs}
        self._relays_of = {
            pair: frozenset(site for site in network.sites if network.may_relay(site, rule))
            for pair, rule in self._rules.items()
        }

    def graph(self, levels: Mapping[LinkId, int]) -> Graph:
        """The graph of the links given, each with the octave of its secret rate."""
        costs = {link: link_cost(level) for link, level in levels.items()}
        return Graph.of(self._ends, costs, self._relays, self._between_max)

    def best(self, graph: Graph, pair: Pair) -> tuple[Path, ...]:
        """The paths that the pair's keys should take now; empty when there is no way that its rule allows.

        One path, or as many that share no node as the rule wants and the graph has. With fewer than the threshold no
        share is sent at all: secrecy comes before service. A link of their own needs nobody and no shares.
        """
        graph, rule = self._for(graph, pair), self._rules[pair]
        alone = best_path(graph, *pair)
        if not rule.is_shared or (alone is not None and not alone.between):
            return (alone,) if alone is not None else ()
        paths = disjoint_paths(graph, *pair, rule.paths)
        return paths if len(paths) >= rule.threshold else ()

    def _for(self, graph: Graph, pair: Pair) -> Graph:
        """Only sites whose label the pair accepts may relay."""
        return Graph(graph.relays & self._relays_of[pair], graph.between_max, graph.edges)

    def backups(self, graph: Graph, primary: Path, pair: Pair) -> tuple[Path, ...]:
        """Where a pair of one path goes when it breaks: a path that shares nothing with it, else two
        paths that share nothing with each other, one of which survives any single loss.

        A pair that uses shares goes on with those that are left, so it has none.
        """
        if self._rules[pair].is_shared:
            return ()
        graph = self._for(graph, pair)
        apart = best_path(graph.without(links=primary.links, sites=primary.between), *pair)
        if apart is not None:
            return (apart,)
        return disjoint_pair(graph, *pair) or ()

    def single_points(self, graph: Graph) -> list[SinglePoint]:
        """Links and relay sites whose loss leaves a pair that has a route now without any."""
        found: dict[tuple[str, bool], list[Pair]] = {}
        for pair in self.pairs:
            # What lies on no path of the pair cannot separate it, so the parts of its paths are all to try.
            for path in self.best(graph, pair):
                for link in path.links:
                    if not self.best(graph.without(links=(link,)), pair):
                        found.setdefault((link, True), []).append(pair)
                for site in path.between:
                    if not self.best(graph.without(sites=(site,)), pair):
                        found.setdefault((site, False), []).append(pair)
        return [
            SinglePoint(name=name, is_link=is_link, pairs=tuple(pairs))
            for (name, is_link), pairs in sorted(found.items())
        ]
