"""Shortest paths over QKD links, through trusted sites only, with a bound on how many."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from qanat.core.ids import LinkId, SiteId

# Crossing a trusted node costs as much as a link of 1 kbit/s: a node fewer is nearly always better than
# a faster link, because each node on the way sees the key.
TRUST_PENALTY = 1.0


def link_cost(level: int) -> float:
    """Cost of a link whose secret rate is about 2**level bits/s: milliseconds per bit.

    Example:
        >>> link_cost(10) < link_cost(9)
        True
    """
    return 1000.0 / 2.0**level


@dataclass(frozen=True, slots=True)
class Edge:
    """One link, seen from one end."""

    cost: float
    link: LinkId
    to: SiteId


@dataclass(frozen=True, slots=True)
class Path:
    """A simple path: its links in order and the sites between its ends."""

    cost: float
    links: tuple[LinkId, ...]
    between: tuple[SiteId, ...]


@dataclass(slots=True)
class Graph:
    """Links that may be used now, and who may relay.

    Attributes:
        edges: Per site, sorted, so that equal costs are always settled the same way.
        relays: Sites that may stand between the ends.
        between_max: Most sites between the ends.
    """

    relays: frozenset[SiteId]
    between_max: int
    edges: dict[SiteId, list[Edge]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        links: Mapping[LinkId, tuple[SiteId, SiteId]],
        costs: Mapping[LinkId, float],
        relays: Iterable[SiteId],
        between_max: int,
    ) -> Graph:
        """The graph of these links.

        Args:
            links: The two ends of each link.
            costs: Positive cost of each; a link without one is left out.
        """
        graph = cls(frozenset(relays), between_max)
        for link in sorted(costs):
            a, b = links[link]
            graph.edges.setdefault(a, []).append(Edge(costs[link], link, b))
            graph.edges.setdefault(b, []).append(Edge(costs[link], link, a))
        return graph

    def without(self, *, links: Collection[LinkId] = (), sites: Collection[SiteId] = ()) -> Graph:
        """The same without some links and without some sites as relays."""
        kept = {site: [edge for edge in edges if edge.link not in links] for site, edges in self.edges.items()}
        return Graph(self.relays - set(sites), self.between_max, kept)


def shortest_path(graph: Graph, source: SiteId, target: SiteId) -> Path | None:
    """Cheapest path within the trust rules, or None.

    Dijkstra over (site, sites crossed): a label is kept only if no cheaper one reached its site with as few
    sites between. Costs are positive, so the result visits no site twice. Ties go to fewer sites, then to the
    names of the links.

    Example:
        >>> a, b, c = SiteId("a"), SiteId("b"), SiteId("c")
        >>> ab, bc = LinkId("a-b"), LinkId("b-c")
        >>> graph = Graph.of({ab: (a, b), bc: (b, c)}, {ab: 1.0, bc: 1.0}, [b], 4)
        >>> shortest_path(graph, a, c)
        Path(cost=3.0, links=('a-b', 'b-c'), between=('b',))
    """
    heap: list[tuple[float, int, tuple[LinkId, ...], SiteId, tuple[SiteId, ...]]] = [(0.0, 0, (), source, ())]
    fewest: dict[SiteId, int] = {}  # labels leave the heap by cost: a later one must have crossed fewer
    while heap:
        cost, crossed, links, site, between = heapq.heappop(heap)
        if site == target:
            return Path(cost, links, between)
        if fewest.get(site, graph.between_max + 2) <= crossed:
            continue
        fewest[site] = crossed
        if site != source and (site not in graph.relays or crossed > graph.between_max):
            continue
        through = between if site == source else (*between, site)
        toll = 0.0 if site == source else TRUST_PENALTY
        if len(through) > graph.between_max:
            continue
        for edge in graph.edges.get(site, ()):
            if edge.to != source and edge.to not in between:
                heapq.heappush(heap, (cost + toll + edge.cost, len(through), (*links, edge.link), edge.to, through))
    return None


def best_path(graph: Graph, source: SiteId, target: SiteId) -> Path | None:
    """A direct link when there is one, whatever it costs, since nobody in between sees the key; else the
    cheapest path."""
    direct = [edge for edge in graph.edges.get(source, ()) if edge.to == target]
    if direct:
        edge = min(direct, key=lambda each: (each.cost, each.link))
        return Path(edge.cost, (edge.link,), ())
    return shortest_path(graph, source, target)
