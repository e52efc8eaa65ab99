"""Paths that share no link and no site between the ends: Bhandari's form of Suurballe's algorithm.

Source: R. Bhandari, *Survivable Networks* (1999), chapter 3; J. W. Suurballe, Networks 4, 125 (1974).
"""

from __future__ import annotations

from qanat.control.routing import TRUST_PENALTY, Graph, Path
from qanat.core.ids import LinkId, SiteId

# Each relay site is split into an entry (0) and an exit (1), joined by an arc that costs the trust penalty and
# may be used once: paths that share no arc of the split graph share no site.
Vertex = tuple[SiteId, int]
Arc = tuple[Vertex, Vertex, LinkId | None]


def disjoint_paths(graph: Graph, source: SiteId, target: SiteId, count_max: int) -> tuple[Path, ...]:
    """Up to so many node-disjoint paths, as many as there are, of least total cost for their number, cheapest first.

    The bound on trusted nodes is checked afterwards: with it the problem is NP-hard. Where the most paths break it, the
    most that keep it are given; a set that a search of all paths would find may be missed.
    """
    arcs = _split(graph, source, target)
    used: set[Arc] = set()
    best: tuple[Path, ...] = ()
    for _ in range(count_max):
        chain = _walk(_residual(arcs, used), (source, 1), (target, 0))
        if chain is None:
            break
        for tail, head, link in chain:
            # An arc walked backwards is given back: neither path uses it any more.
            used ^= {(head, tail, link) if (head, tail, link) in used else (tail, head, link)}
        paths = [_path(graph, arcs, chain) for chain in _chains(used, source, target)]
        if all(len(path.between) <= graph.between_max for path in paths):
            best = tuple(sorted(paths, key=lambda path: (path.cost, path.links)))
    return best


def disjoint_pair(graph: Graph, source: SiteId, target: SiteId) -> tuple[Path, Path] | None:
    """The two node-disjoint paths of least total cost, cheaper first, or None when there are no two.

    Example:
        >>> sites = s, a, b, t = [SiteId(name) for name in "sabt"]
        >>> ends = {LinkId(x + y): (SiteId(x), SiteId(y)) for x, y in ("sa", "ab", "bt", "sb", "at")}
        >>> costs = dict.fromkeys(ends, 1.0) | {LinkId("sb"): 5.0, LinkId("at"): 5.0}
        >>> pair = disjoint_pair(Graph.of(ends, costs, sites, 4), s, t)  # not s-a-b-t: it blocks every other
        >>> [path.links for path in pair]
        [('sa', 'at'), ('sb', 'bt')]
    """
    paths = disjoint_paths(graph, source, target, 2)
    return (paths[0], paths[1]) if len(paths) == 2 else None


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


def _residual(arcs: dict[Arc, float], used: set[Arc]) -> dict[Arc, float]:
    """Used arcs may only be given back; the other direction of their links stays as it is."""
    turned = {arc: weight for arc, weight in arcs.items() if arc not in used}
    for tail, head, link in sorted(used, key=str):
        turned[head, tail, link] = -arcs[tail, head, link]
    return turned


def _chains(used: set[Arc], source: SiteId, target: SiteId) -> list[list[Arc]]:
    """The paths that the used arcs fall into: every site between is entered and left once."""
    onward = {arc[0]: arc for arc in used if arc[0] != (source, 1)}
    chains = []
    for start in sorted((arc for arc in used if arc[0] == (source, 1)), key=str):
        chain = [start]
        while chain[-1][1] != (target, 0):
            chain.append(onward[chain[-1][1]])
        chains.append(chain)
    return chains


def _path(graph: Graph, arcs: dict[Arc, float], chain: list[Arc]) -> Path:
    links = tuple(link for _, _, link in chain if link is not None)
    between = tuple(head[0] for _, head, link in chain if link is None)
    return Path(sum(arcs[arc] for arc in chain), links, between)
