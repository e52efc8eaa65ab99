"""Ways through a network, against brute force."""

import itertools
from pathlib import Path
from random import Random

from qanat.core.ids import FibreId, LinkId, SiteId
from qanat.core.netfile import network_from_toml
from qanat.core.paths import disjoint_paths, shortest_path
from qanat.core.topology import Fibre, Link, Network, Site

METRO = network_from_toml((Path(__file__).parents[2] / "networks" / "metro.toml").read_text(encoding="utf-8"))


def graph(edges: list[tuple[int, int]], count: int, untrusted: frozenset[int] = frozenset()) -> Network:
    def name(n: int) -> SiteId:
        return SiteId(f"s{n}")

    def link(a: int, b: int) -> Link:
        return Link(
            id=LinkId(f"{a}-{b}"), transmitter_site=name(a), receiver_site=name(b), fibre=FibreId(f"{a}-{b}"),
            protocol="decoy-bb84", transmitter="t", receiver="r", clock_hz=1e9, block_sifted_bits=100_000,
            pulse_block_ns=1, epsilon_sec=1e-9, epsilon_cor=1e-9,
        )  # fmt: skip

    sites = {
        name(n): Site(id=name(n), name="", latitude_deg=0, longitude_deg=0, is_trusted=n not in untrusted)
        for n in range(count)
    }  # noqa: E501
    fibres: dict[FibreId, Fibre] = {}
    links = {LinkId(f"{a}-{b}"): link(a, b) for a, b in edges}
    return Network(name="g", is_simulation=True, sites=sites, fibres=fibres, links=links, saes={}, demands=())


def simple_ways(network: Network, start: SiteId, end: SiteId) -> list[list[SiteId]]:
    done, open_ways = [], [[start]]
    while open_ways:
        way = open_ways.pop()
        if way[-1] == end:
            done.append(way)
            continue
        if way[-1] != start and not network.sites[way[-1]].is_trusted:
            continue
        open_ways += [
            [*way, link.other_end(way[-1])] for link in network.links_at(way[-1]) if link.other_end(way[-1]) not in way
        ]  # noqa: E501
    return done


def test_paths_agree_with_brute_force_on_random_graphs() -> None:
    random = Random(3)
    found_two = found_none = 0
    for _ in range(150):
        count = random.randint(3, 7)
        edges = [pair for pair in itertools.combinations(range(count), 2) if random.random() < 0.45]
        network = graph(edges, count, frozenset({random.randrange(count)}))
        start, end = SiteId("s0"), SiteId(f"s{count - 1}")
        ways = simple_ways(network, start, end)
        shortest = shortest_path(network, start, end)
        assert len(shortest) == min((len(way) for way in ways), default=0)
        exists = any(not set(a[1:-1]) & set(b[1:-1]) for a, b in itertools.combinations(ways, 2))
        pair = disjoint_paths(network, start, end)
        assert (pair is not None) == exists
        if pair:
            assert all(way in ways for way in pair)
            assert not set(pair[0][1:-1]) & set(pair[1][1:-1])
        found_two += exists
        found_none += not exists
    assert min(found_two, found_none) > 20


def test_every_demand_of_metro_has_a_disjoint_second_path_and_one_is_two_hops_long() -> None:
    hops = []
    for demand in METRO.demands:
        start, end = (METRO.saes[sae].site for sae in demand.saes)
        assert disjoint_paths(METRO, start, end)
        hops.append(len(shortest_path(METRO, start, end)) - 1)
    assert 1 in hops
    assert 2 in hops
