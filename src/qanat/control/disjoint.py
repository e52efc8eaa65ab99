"""Two paths that share no link and no site between the ends: Bhandari's form of Suurballe's algorithm.

Source: R. Bhandari, *Survivable Networks* (1999), chapter 3; J. W. Suurballe, Networks 4, 125 (1974).
"""

from __future__ import annotations

from qanat.control.routing import TRUST_PENALTY, Graph, Path
from qanat.core.ids import LinkId, SiteId

# Each relay site is split into an entry (0) and an exit (1), joined by an arc that costs the trust penalty and
# may be used once: paths that share no arc of the split graph share no site.
Vertex = tuple[SiteId, int]
Arc = tuple[Vertex, Vertex, LinkId | None]


def disjoint_pair(graph: Graph, source: SiteId, target: SiteId) -> tuple[Path, Path] | None:
    """The two node-disjoint paths of least total cost, cheaper first, or None when there are no two.

    The bound on trusted nodes is checked afterwards: with it the problem is NP-hard, so a pair may be missed
    that a search of all paths would find. Then the caller falls back on single paths.

    Example:
        >>> sites = s, a, b, t = [SiteId(name) for name in "sabt"]
        >>> ends = {LinkId(x + y): (SiteId(x), SiteId(y)) for x, y in ("sa", "ab", "bt", "sb", "at")}
        >>> costs = dict.fromkeys(ends, 1.0) | {LinkId("sb"): 5.0, LinkId("at"): 5.0}
        >>> pair = disjoint_pair(Graph.of(ends, costs, sites, 4), s, t)  # not s-a-b-t: it blocks every other
        >>> [path.links for path in pair]
        [('sa', 'at'), ('sb', 'bt')]
    """
    arcs = _split(graph, source, target)
    first = _walk(arcs, (source, 1), (target, 0))
    if first is None:
        return None
    second = _walk(_reversed_along(arcs, first), (source, 1), (target, 0))
    if second is None:
        return None
    paths = [_path(graph, arcs, chain) for chain in _untangled(first, second, source, target)]
    if any(len(path.between) > graph.between_max for path in paths):
        return None
    cheaper, dearer = sorted(paths, key=lambda path: (path.cost, path.links))
    return cheaper, dearer


def _split(graph: Graph, source: SiteId, target: SiteId) -> dict[Arc, float]:
    arcs: dict[Arc, float] = {}
    for site in sorted(graph.edges):
        if site not in (source, target) and site in graph.relays:
            arcs[(site, 0), (site, 1), None] = TRUST_PENALTY
        if site == target or (site != source and site not in graph.relays):
            continue
        for edge in graph.edges[site]:
            if edge.to != source and (edge.to == target or edge.to in graph.relays):
                arcs[(site, 1), (edge.to, 0), edge.link] = edge.cost
    return arcs


def _walk(arcs: dict[Arc, float], start: Vertex, goal: Vertex) -> list[Arc] | None:
    """Cheapest chain of arcs (Bellman-Ford: reversed arcs have negative cost, but no cycle has)."""
    cost: dict[Vertex, float] = {start: 0.0}
    last: dict[Vertex, Arc] = {}
    changed = True
    while changed:
        changed = False
        for arc, weight in arcs.items():
            if arc[0] in cost and cost[arc[0]] + weight < cost.get(arc[1], float("inf")) - 1e-12:
                cost[arc[1]], last[arc[1]] = cost[arc[0]] + weight, arc
                changed = True
    if goal not in cost:
        return None
    chain: list[Arc] = []
    vertex = goal
    while vertex != start:
        chain.append(last[vertex])
        vertex = last[vertex][0]
    return chain[::-1]


def _reversed_along(arcs: dict[Arc, float], chain: list[Arc]) -> dict[Arc, float]:
    """The first path's arcs may only be given back; the other direction of its links stays as it is."""
    turned = {arc: weight for arc, weight in arcs.items() if arc not in chain}
    for tail, head, link in chain:
        turned[head, tail, link] = -arcs[tail, head, link]
    return turned


def _untangled(first: list[Arc], second: list[Arc], source: SiteId, target: SiteId) -> list[list[Arc]]:
    """Drop arcs that one path took and the other gave back; what is left falls into two paths."""
    given_back = {(head, tail, link) for tail, head, link in second} & set(first)
    kept = [arc for arc in first if arc not in given_back]
    kept += [(tail, head, link) for tail, head, link in second if (head, tail, link) not in given_back]
    chains = []
    for start in [arc for arc in kept if arc[0] == (source, 1)]:
        chain = [start]
        while chain[-1][1] != (target, 0):
            chain.append(next(arc for arc in kept if arc[0] == chain[-1][1]))
        chains.append(chain)
    return chains


def _path(graph: Graph, arcs: dict[Arc, float], chain: list[Arc]) -> Path:
    links = tuple(link for _, _, link in chain if link is not None)
    between = tuple(head[0] for _, head, link in chain if link is None)
    return Path(sum(arcs[arc] for arc in chain), links, between)
