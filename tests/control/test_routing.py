"""Paths and pairs of paths against a search of everything."""

from __future__ import annotations

from itertools import combinations, pairwise, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.control.disjoint import disjoint_pair, disjoint_paths
from qanat.control.routing import TRUST_PENALTY, Graph, Path, best_path, link_cost, shortest_path
from qanat.core.ids import LinkId, SiteId

SITES = [SiteId(name) for name in "abcdef"]
SOURCE, TARGET = SITES[0], SITES[-1]
EDGES = list(combinations(SITES, 2))


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Up to six sites; costs are distinct sums of powers of two's neighbours, so ties are rare."""
    chosen = draw(st.sets(st.sampled_from(EDGES), min_size=1))
    ends = {LinkId(f"{a}{b}"): (a, b) for a, b in chosen}
    costs = {link: draw(st.floats(0.01, 5.0)) for link in sorted(ends)}
    relays = draw(st.sets(st.sampled_from(SITES)))
    return Graph.of(ends, costs, relays, draw(st.integers(0, 4)))


def all_paths(graph: Graph, source: SiteId, target: SiteId) -> list[Path]:
    """The slow twin: every order of every set of relays."""
    found = []
    middle = sorted(graph.relays - {source, target})
    for count in range(min(len(middle), graph.between_max) + 1):
        for between in permutations(middle, count):
            stops = [source, *between, target]
            edges = []
            for a, b in pairwise(stops):
                edges += [edge for edge in graph.edges.get(a, ()) if edge.to == b]
            if len(edges) == len(stops) - 1:
                cost = sum(edge.cost for edge in edges) + TRUST_PENALTY * count
                found.append(Path(cost, tuple(edge.link for edge in edges), between))
    return found


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_the_shortest_path_is_the_cheapest_of_all(graph: Graph) -> None:
    every = all_paths(graph, SOURCE, TARGET)
    found = shortest_path(graph, SOURCE, TARGET)
    if found is None:
        assert every == []
    else:
        assert abs(found.cost - min(path.cost for path in every)) < 1e-9
        assert any(found.links == path.links and found.between == path.between for path in every)


@given(graphs())
@settings(max_examples=200, deadline=None)
def test_the_pair_is_the_cheapest_of_all_disjoint_pairs(graph: Graph) -> None:
    graph = Graph(graph.relays, 4, graph.edges)  # no bound: with one the search is not complete, by design
    pairs = [
        (one.cost + two.cost)
        for one, two in combinations(all_paths(graph, SOURCE, TARGET), 2)
        if not set(one.between) & set(two.between)
    ]
    found = disjoint_pair(graph, SOURCE, TARGET)
    if found is None:
        assert pairs == []
    else:
        assert not set(found[0].between) & set(found[1].between)
        assert not set(found[0].links) & set(found[1].links)
        assert abs(found[0].cost + found[1].cost - min(pairs)) < 1e-9


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_a_bounded_pair_keeps_the_bound(graph: Graph) -> None:
    for path in disjoint_pair(graph, SOURCE, TARGET) or ():
        assert len(path.between) <= graph.between_max
        assert graph.relays.issuperset(path.between)


def test_a_trusted_node_costs_more_than_a_slower_link() -> None:
    a, b, c, d = SITES[:4]
    ends = {LinkId("ab"): (a, b), LinkId("bd"): (b, d), LinkId("ac"): (a, c), LinkId("cb"): (c, b)}
    costs = {LinkId("ab"): link_cost(11), LinkId("bd"): link_cost(20), LinkId("ac"): 0.0001, LinkId("cb"): 0.0001}
    found = shortest_path(Graph.of(ends, costs, SITES, 4), a, d)
    assert found is not None
    assert found.links == ("ab", "bd")


def test_neighbours_use_their_own_link_however_slow() -> None:
    a, b, c = SITES[:3]
    ends = {LinkId("ab"): (a, b), LinkId("bc"): (b, c), LinkId("ac"): (a, c)}
    costs = {LinkId("ab"): 0.01, LinkId("bc"): 0.01, LinkId("ac"): link_cost(0)}
    found = best_path(Graph.of(ends, costs, SITES, 4), a, c)
    assert found is not None
    assert (found.links, found.between) == (("ac",), ())


@given(graphs(), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_the_set_of_paths_is_the_cheapest_of_all_sets_of_its_size_and_no_larger_one_exists(
    graph: Graph, wanted: int
) -> None:
    graph = Graph(graph.relays, 4, graph.edges)
    every = all_paths(graph, SOURCE, TARGET)
    sets = {
        count: [
            chosen
            for chosen in combinations(every, count)
            if len({site for path in chosen for site in path.between}) == sum(len(path.between) for path in chosen)
        ]
        for count in range(1, wanted + 1)
    }
    found = disjoint_paths(graph, SOURCE, TARGET, wanted)
    assert len(found) == max((count for count, some in sets.items() if some), default=0)
    if found:
        cheapest = min(sum(path.cost for path in chosen) for chosen in sets[len(found)])
        assert abs(sum(path.cost for path in found) - cheapest) < 1e-9
        assert len({site for path in found for site in path.between}) == sum(len(path.between) for path in found)


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_bounded_sets_of_paths_keep_the_bound(graph: Graph) -> None:
    for path in disjoint_paths(graph, SOURCE, TARGET, 3):
        assert len(path.between) <= graph.between_max
