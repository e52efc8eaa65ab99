"""Ways through a network: fewest links first, and whether a second way avoids every node of the first.

Only for sentences about a network file. Routing by key in store is ``control``'s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import pairwise

from qanat.core.ids import SiteId
from qanat.core.topology import Network


def shortest_path(network: Network, start: SiteId, end: SiteId, *, without: Collection[SiteId] = ()) -> list[SiteId]:
    """Sites from start to end over the fewest QKD links, through trusted sites only; empty if there is no way."""
    before: dict[SiteId, SiteId] = {start: start}
    queue = deque([start])
    while queue and end not in before:
        site = queue.popleft()
        for neighbour in sorted(link.other_end(site) for link in network.links_at(site)):
            passable = neighbour == end or (network.sites[neighbour].is_trusted and neighbour not in without)
            if neighbour not in before and passable:
                before[neighbour] = site
                queue.append(neighbour)
    if end not in before:
        return []
    path = [end]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


def disjoint_paths(network: Network, start: SiteId, end: SiteId) -> tuple[list[SiteId], list[SiteId]] | None:
    """Two ways that share no node in between and no link, the shorter first; None where one failure can part the two.

    Found by augmenting (Suurballe without weights): a greedy second way misses pairs that exist.
    """
    flow = _unit_flow(network, start, end)
    if flow is None:
        return None
    ways = [[start], [start]]
    for way in ways:
        while way[-1] != end:
            step = flow[way[-1]].pop()
            way.append(step)
    first, second = sorted(ways, key=lambda way: (len(way), way))
    return first, second


_Node = tuple[SiteId, bool]  # every site split in two: arrivals (False) and departures (True)


def _unit_flow(network: Network, start: SiteId, end: SiteId) -> dict[SiteId, list[SiteId]] | None:
    """For each site, where two disjoint ways go on to; None if there are no two."""
    capacity = _capacities(network, start, end)
    for _ in range(2):
        path = _augmenting((start, True), (end, False), capacity)
        if not path:
            return None
        for a, b in pairwise(path):
            capacity[a][b] -= 1
            capacity[b][a] = capacity[b].get(a, 0) + 1
    full = _capacities(network, start, end)
    onward: dict[SiteId, list[SiteId]] = {site: [] for site in network.sites}
    for a, targets in full.items():
        for b, size in targets.items():
            if a[1] and not b[1]:
                onward[a[0]] += [b[0]] * max(0, size - capacity[a].get(b, 0))
    return onward


def _capacities(network: Network, start: SiteId, end: SiteId) -> dict[_Node, dict[_Node, int]]:
    capacity: dict[_Node, dict[_Node, int]] = {(site, half): {} for site in network.sites for half in (False, True)}
    for site in network.sites.values():
        if site.is_trusted or site.id in (start, end):
            capacity[site.id, False][site.id, True] = 1
    for link in network.links.values():
        for a, b in (link.sites, link.sites[::-1]):
            if b != start and a != end:
                capacity[a, True][b, False] = capacity[a, True].get((b, False), 0) + 1
    return capacity


def _augmenting(start: _Node, end: _Node, capacity: dict[_Node, dict[_Node, int]]) -> list[_Node]:
    before: dict[_Node, _Node] = {start: start}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for neighbour, left in sorted(capacity[node].items()):
            if left > 0 and neighbour not in before:
                before[neighbour] = node
                queue.append(neighbour)
    if end not in before:
        return []
    path = [end]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]
