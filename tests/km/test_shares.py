"""Keys in shares over paths that share no node: what each node sees, who is named, what is given out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from tests.km.pairing import MS, S, World, a_chain, a_network, a_web, ids

from qanat.core.alarms import Action
from qanat.core.secret import SecretBits
from qanat.core.topology import Policy
from qanat.core.trust import Trust
from qanat.crypto.shared_block import SharesDisagree, block_from_shares
from qanat.km.documents import KeyDeliveryError
from qanat.km.events import (
    CommandIgnored,
    PeerMisbehaved,
    RelayAltered,
    RelayCompleted,
    RelayForwarded,
    RelayLost,
)
from qanat.km.kme import Kme
from qanat.km.messages import Gone, HopHeader, RelayFailed
from qanat.km.relay.trails import share_context
from qanat.km.rests import covers, rests_on
from qanat.sim.store import StoreCrashed

WAYS = ("abcz", "adez", "afgz")
LONE = ("abz", "adz", "afz")


def a_world(*ways: str, threshold: int = 2, blocks: int = 3, route: bool = True, **changes) -> World:
    world = World(a_web(*ways, threshold=threshold, **changes))
    world.run(10 * MS)
    for link in world.network.links:
        world.distil(link, blocks)
    world.run(50 * MS)
    if route:
        world.route_shares("a", "z", *ways)
    return world


def shared(world: World, count: int = 4) -> None:
    """Keys go from a to z and are the same at both."""
    container = world.enc("a1", "z1", count)
    world.run(100 * MS)
    world.dec("z1", "a1", ids(container))


Change = Callable[[HopHeader, SecretBits], tuple[HopHeader, SecretBits]]


def lies(world: World, site: str, change: Change) -> None:
    """From now on what the site passes on is changed first, and sealed properly for the next node."""
    hops = world.kmes[site]._relay._hops
    honest = hops._forward
    hops._forward = lambda header, payload, link: honest(*change(header, payload), link)


def flipped(at: int) -> Change:
    def change(header: HopHeader, payload: SecretBits) -> tuple[HopHeader, SecretBits]:
        data = bytearray(payload.reveal())
        data[at] ^= 1
        return header, SecretBits(data)

    return change


def with_header(**changes: object) -> Change:
    return lambda header, payload: (msgspec.structs.replace(header, **changes), payload)


def with_share(**changes: object) -> Change:
    return lambda header, payload: (
        msgspec.structs.replace(header, share=msgspec.structs.replace(header.share, **changes)),
        payload,
    )


def altered(world: World, site: str) -> set[tuple[tuple[str, ...], bool]]:
    return {(event.suspects, event.is_certain) for event in world.of_kind(site, RelayAltered)}


# --- the way it should be


@pytest.mark.parametrize(
    ("ways", "threshold"), [(WAYS, 2), (LONE, 2), (LONE[:2], 2), (LONE, 3), (("abz", "adz", "afz", "ahz", "aiz"), 3)]
)
def test_keys_in_shares_are_equal_at_both_ends_and_labelled(ways, threshold):
    world = a_world(*ways, threshold=threshold)
    world.run(S)
    assert (world.stored("a", "z"), world.stored("z", "a")) == (16, 16)
    key = world.enc("a1", "z1").keys[0]
    told = key.key_extension
    assert told["qanat_relay_threshold"] == threshold
    assert told["qanat_relay_paths"] == [list(way[1:-1]) for way in ways]
    assert told["qanat_trusted_nodes"] == [site for way in ways for site in way[1:-1]]
    assert told["qanat_node_trust"] == dict.fromkeys(told["qanat_trusted_nodes"], "own")
    assert set(told["qanat_links"]) == set(world.network.links)
    assert told["qanat_epsilon_total"] >= len(told["qanat_links"]) * 1e-10 * 0.999
    world.run(100 * MS)
    assert world.dec("z1", "a1", [key.key_id]).keys[0].key_extension == told
    shared(world)
    world.check_ledgers()


def seen_by_nodes(world: World) -> dict[str, dict[str, list[tuple[HopHeader, bytes]]]]:
    """Payloads that each node between opens, by relay; call it before anything is sent."""
    seen: dict[str, dict[str, list[tuple[HopHeader, bytes]]]] = defaultdict(lambda: defaultdict(list))
    for site in world.kmes:

        def spy(header, payload, site=site):
            seen[header.relay][site].append((header, payload.reveal()))
            return header, payload

        lies(world, site, spy)
    return seen


def test_a_node_between_opens_one_share_and_two_nodes_of_one_path_the_same_one():
    world = a_world(*WAYS, route=False)
    seen = seen_by_nodes(world)
    world.route_shares("a", "z", *WAYS)
    world.run(S)
    keys = [key.key.reveal() for key in world.enc("a1", "z1", 16).keys]
    assert len(seen) >= 4
    for by_site in seen.values():
        assert set(by_site) == set("bcdefg")
        assert all(len(opened) == 1 for opened in by_site.values())
        for left, right in ("bc", "de", "fg"):
            assert by_site[left][0][1] == by_site[right][0][1]
        assert len({by_site[site][0][1] for site in "bdf"}) == 3
    everything = b"".join(data for by_site in seen.values() for opened in by_site.values() for _, data in opened)
    stored = b"".join(
        world.stores[site].read_bits(record.piece).reveal()
        for site in "bcdefg"
        for record, _ in world.stores[site].load().pieces
    )
    wire = b"".join(frame for _, _, frame in world.sent)
    for key in keys:
        assert key not in everything
        assert key not in stored
        assert key not in wire


def test_two_paths_together_know_the_block_and_one_does_not():
    """The label says it: nodes of as many paths as the threshold could know a key."""
    world = a_world(*LONE, route=False)
    seen = seen_by_nodes(world)
    world.route_shares("a", "z", *LONE)
    world.run(S)
    keys = b"".join(key.key.reveal() for key in world.enc("a1", "z1", 16).keys)
    relay, by_site = next(item for item in seen.items() if item[0].startswith("relay/a/"))
    (one, two) = (by_site[site][0] for site in "bd")
    points, shares = (one[0].share.point, two[0].share.point), [SecretBits(one[1]), SecretBits(two[1])]
    context = share_context(one[0])
    assert block_from_shares(points, shares, threshold=2, context=context).block.reveal()[:32] in keys, relay
    with pytest.raises(SharesDisagree):
        block_from_shares(points[:1], shares[:1], threshold=2, context=context)


# --- silence


def test_a_key_comes_although_one_path_of_three_is_silent_and_soon():
    world = a_world(*WAYS, route=False)
    world.wire.cut.add(frozenset("bc"))
    world.route_shares("a", "z", *WAYS)
    world.run(900 * MS)  # half a second of grace for the silent path
    assert world.stored("a", "z") >= 8
    assert {event.silent_paths for event in world.of_kind("a", RelayCompleted)} == {1}
    assert not altered(world, "z")
    told = world.enc("a1", "z1").keys[0].key_extension
    assert (told["qanat_relay_threshold"], len(told["qanat_relay_paths"])) == (2, 3)  # the silent one is named too
    world.run(20 * S)
    shared(world)
    world.check_ledgers()


def test_nothing_is_released_while_too_few_shares_come_and_nothing_stays():
    world = a_world(*WAYS, route=False)
    world.wire.cut |= {frozenset("bc"), frozenset("de")}
    world.route_shares("a", "z", *WAYS)
    world.run(10 * S)
    assert world.stored("a", "z") == world.stored("z", "a") == 0
    assert world.of_kind("a", RelayLost)
    world.route("a", "z")  # nothing new goes out from here on
    world.run(20 * S)
    assert world.account("z", "share/a").held_bits == 0
    assert world.account("z", "share/a").destroyed_bits > 0
    assert [pair.incoming_keys for pair in world.report("z").pairs if pair.peer == "a"] == [0]
    world.check_ledgers()


def test_a_path_without_key_at_its_start_is_left_out():
    world = World(a_web(*LONE, threshold=2))
    for link in world.network.links:
        if link != "a-b":
            world.distil(link, 3)
    world.route_shares("a", "z", *LONE)
    world.run(3 * S)
    assert world.stored("a", "z") == 16
    world.check_ledgers()


def test_a_node_that_gives_up_costs_its_share_only():
    world = World(a_web(*LONE, threshold=2))
    for link in world.network.links:
        if link != "b-z":
            world.distil(link, 4)
    world.route_shares("a", "z", *LONE)
    world.run(3 * S)
    assert world.stored("a", "z") == 16
    assert {event.silent_paths for event in world.of_kind("a", RelayCompleted)} == {1}


# --- lies


@pytest.mark.parametrize("at", [0, 100, -1, -20])
@pytest.mark.parametrize("liar", "bcdefg")
def test_whoever_changes_a_share_is_named_by_his_path_and_the_key_comes_all_the_same(liar, at):
    world = a_world(*WAYS, route=False)
    lies(world, liar, flipped(at))
    world.route_shares("a", "z", *WAYS)
    world.run(S)
    path = next(way[1:-1] for way in WAYS if liar in way)
    for site in "az":
        # Keys go both ways, so each end is target once and origin once, and names the path in its own direction.
        assert altered(world, site) == {(tuple(path), True), (tuple(path[::-1]), True)}
    assert world.stored("a", "z") == 16
    shared(world)
    world.check_ledgers()


@pytest.mark.parametrize("liar", "bdf")
def test_a_single_relay_on_its_path_is_named_by_name(liar):
    world = a_world(*LONE, route=False)
    lies(world, liar, flipped(5))
    world.route_shares("a", "z", *LONE)
    world.run(S)
    assert altered(world, "a") == altered(world, "z") == {((liar,), True)}
    shared(world)


@pytest.mark.parametrize("liar", "bd")
def test_without_a_spare_path_a_change_is_noticed_nothing_released_and_nobody_named_for_certain(liar):
    world = a_world(*LONE[:2], route=False)
    lies(world, liar, flipped(5))
    world.route_shares("a", "z", *LONE[:2])
    world.run(10 * S)
    assert world.stored("a", "z") == world.stored("z", "a") == 0
    assert {is_certain for _, is_certain in altered(world, "z")} == {False}
    assert {frozenset(suspects) for suspects, _ in altered(world, "z")} == {frozenset("bd")}
    assert not world.of_kind("a", RelayCompleted)
    world.check_ledgers()


def test_two_liars_of_three_paths_stop_the_keys_and_falsify_none():
    world = a_world(*LONE, route=False)
    lies(world, "b", flipped(5))
    lies(world, "d", flipped(5))
    world.route_shares("a", "z", *LONE)
    world.run(5 * S)
    assert world.stored("a", "z") == 0
    assert not world.of_kind("a", RelayCompleted)
    world.check_ledgers()


LIES_IN_THE_HEADER = {
    "another point": with_share(point=2),
    "a point nowhere": with_share(point=9),
    "another threshold": with_share(threshold=3),
    "no threshold": with_share(threshold=1),
    "other paths": lambda h, p: with_share(ways=h.share.ways[:2])(h, p),
    "paths that meet": lambda h, p: with_share(ways=(h.route, h.route))(h, p),
    "no paths": with_share(ways=()),
    "no share at all": with_header(share=None),
    "another origin": with_header(origin="d"),
    "another target": with_header(target="d"),
    "another block": lambda h, p: with_header(relay=h.relay + "x")(h, p),
    "another origin's block": lambda h, p: with_header(relay=h.relay.replace("relay/a", "relay/f"))(h, p),
    "another size": lambda h, p: (
        msgspec.structs.replace(h, size_bytes=h.size_bytes - 32),
        p.take(0, p.size_bytes - 32),
    ),
}


@pytest.mark.parametrize("what", LIES_IN_THE_HEADER)
def test_a_lie_beside_the_share_costs_the_liar_his_share_and_nobody_else(what):
    world = a_world(*LONE, route=False)
    lies(world, "b", LIES_IN_THE_HEADER[what])
    world.route_shares("a", "z", *LONE)
    world.run(5 * S)
    assert world.stored("a", "z") == 16
    assert all("b" in suspects for suspects, _ in altered(world, "z"))
    assert (
        altered(world, "z")
        or any(event.peer == "b" for event in world.of_kind("z", PeerMisbehaved))
        or (
            what == "another block"  # a share of a block that never was: it waits in vain, and is destroyed
        )
    )
    shared(world)
    world.run(70 * S)
    assert world.account("z", "share/a").held_bits == 0
    world.check_ledgers()


def test_a_share_handed_over_twice_counts_once():
    world = a_world(*LONE, route=False)
    hops = world.kmes["b"]._relay._hops
    honest = hops._forward

    def twice(header, payload, link):
        honest(header, payload, link)
        honest(header, payload, link)

    hops._forward = twice
    world.wire.cut.add(frozenset("dz"))  # else all came before the second copy
    world.route_shares("a", "z", *LONE)
    world.run(2 * S)
    assert any("second share" in event.reason for event in world.of_kind("z", PeerMisbehaved))
    assert world.stored("a", "z") >= 8
    world.check_ledgers()


# --- one path: the node knows the keys, but cannot change them unnoticed


@pytest.mark.parametrize("at", [0, 31, -1, -17, -48])
@pytest.mark.parametrize("liar", "bc")
def test_a_changed_block_on_a_single_path_is_not_released_and_its_path_named(liar, at):
    world = World(a_chain(3))
    for link in world.network.links:
        world.distil(link, 4)
    lies(world, liar, flipped(at))
    world.route("a", "d", *world.network.links)
    world.run(3 * S)
    assert world.stored("a", "d") == 0
    assert not world.of_kind("a", RelayCompleted)
    is_named = altered(world, "a") == {(("b", "c"), True)}
    # Where the confirmation's own key was changed, its tag fails: the origin hears from d what d cannot have known.
    assert is_named or any(event.peer == "d" for event in world.of_kind("a", PeerMisbehaved))
    world.run(30 * S)
    world.check_ledgers()


# --- claims


def said_by(world: World, source: str, target: str, message: object) -> None:
    """A KME posts a message of its own accord."""
    world.call(source, lambda kme: kme._c.channel.post(target, message))
    world.run(50 * MS)


def flying(world: World) -> str:
    return next(iter(world.kmes["a"]._relay._origin._flights._flights))


def a_slow_chain() -> World:
    """A relay from a to c whose confirmation is held back."""
    world = World(a_network(["a-b", "b-c", "b-x"], [("a1", "c1"), ("a1", "x1")]))
    for link in world.network.links:
        world.distil(link, 3)
    world.run(100 * MS)
    world.wire.cut.add(frozenset("ac"))
    world.route("a", "c", "a-b", "b-c")
    world.run(100 * MS)
    return world


def test_a_site_that_is_not_on_the_way_cannot_end_a_relay():
    world = a_slow_chain()
    relay = flying(world)
    for message in (RelayFailed(relay, "so I say"), Gone(relay, "so I say")):
        said_by(world, "x", "a", message)
        assert world.kmes["a"]._relay._origin._flights.get(relay) is not None
        assert world.of_kind("a", PeerMisbehaved)
        world.events["a"].clear()


def test_a_node_that_passes_a_block_on_and_says_it_failed_leaves_nothing_at_the_target():
    world = a_slow_chain()
    relay = flying(world)
    assert world.account("c", "relay/a").held_bits > 0
    said_by(world, "b", "a", RelayFailed(relay, "alas"))
    world.route("a", "c")
    world.wire.cut.clear()
    world.run(20 * S)
    assert all(record.piece != relay for record, _ in world.stores["c"].load().pieces)
    world.check_ledgers()


def test_a_block_sent_in_the_name_of_another_origin_does_not_stay_at_the_target():
    world = World(a_chain(2))
    for link in world.network.links:
        world.distil(link, 5)
    hops = world.kmes["b"]._relay._hops
    honest = hops._forward

    def also_invented(header, payload, link):
        honest(header, payload, link)
        with suppress(Exception):
            honest(msgspec.structs.replace(header, relay=header.relay[:-1] + "!"), payload, link)

    hops._forward = also_invented
    world.route("a", "c", "a-b", "b-c")
    world.run(5 * S)
    assert not any(record.piece.endswith("!") for record, _ in world.stores["c"].load().pieces)
    assert any(piece.endswith("!") for piece in world.stores["c"].load().seen)
    world.check_ledgers()


# --- rules


def test_a_kme_refuses_a_route_that_its_own_network_file_does_not_allow():
    for ways, reason in (
        (("abz",), "1 paths; keys for a and z go in 2 of 3 shares"),
        (("abz", "abz"), "meet at a node"),
        (("abz", "ad"), "does not lead"),
    ):
        world = a_world(*LONE, route=False)
        world.route_shares("a", "z", *ways)
        assert reason in world.of_kind("a", CommandIgnored)[0].reason
        assert not world.kmes["a"]._relay.ways


def with_labels(**labels: Trust):
    network = a_network(["a-b", "b-z", "a-d", "d-z"], [("a1", "z1")])
    sites = {name: replace(site, trust=labels.get(name, Trust.OWN)) for name, site in network.sites.items()}
    demands = (replace(network.demands[0], relay_through=(Trust.OWN, Trust.PARTNER)),)
    return replace(network, sites=sites, demands=demands)


def test_labels_travel_with_the_key_and_a_demand_refuses_those_it_does_not_accept():
    world = World(with_labels(b=Trust.PARTNER, d=Trust.LEASED))
    for link in world.network.links:
        world.distil(link, 3)
    world.route("a", "z", "a-d", "d-z")
    assert "site d (leased) may not relay" in world.of_kind("a", CommandIgnored)[0].reason
    world.route("a", "z", "a-b", "b-z")
    world.run(S)
    assert world.enc("a1", "z1").keys[0].key_extension["qanat_node_trust"] == {"b": "partner"}


def test_a_node_between_holds_a_relay_against_its_own_network_file_too():
    """An origin whose file says otherwise gets nothing through."""
    lenient = with_labels(b=Trust.OWN)
    world = World(with_labels(b=Trust.LEASED))
    world.kmes["a"] = Kme(site="a", network=lenient, store=world.stores["a"], entropy=world._entropy["a"])
    for link in world.network.links:
        world.distil(link, 3)
    world.route("a", "z", "a-b", "b-z")
    world.run(S)
    assert any("may not relay" in event.reason for event in world.of_kind("b", PeerMisbehaved))
    assert not world.of_kind("b", RelayForwarded)
    assert world.stored("a", "z") == 0


def test_a_whole_block_is_refused_where_shares_are_asked_for():
    careless = a_network(["a-b", "b-z"], [("a1", "z1")])
    strict = replace(careless, policy=Policy(buffer_keys=16, relay_paths=2, relay_threshold=2))
    world = World(strict)
    world.kmes["a"] = Kme(site="a", network=careless, store=world.stores["a"], entropy=world._entropy["a"])
    for link in world.network.links:
        world.distil(link, 3)
    world.route("a", "z", "a-b", "b-z")
    world.run(S)
    assert any("go in 2 shares" in event.reason for event in world.of_kind("b", PeerMisbehaved))
    assert world.stored("a", "z") == 0


# --- alarms and restarts


def test_a_quarantine_on_one_path_takes_what_rests_on_it_and_new_paths_serve_on():
    world = a_world(*LONE)
    world.run(S)
    world.command(Action.QUARANTINE, link="b-z", since_ns=0)
    assert world.stored("a", "z") == 0
    with pytest.raises(KeyDeliveryError):
        world.enc("a1", "z1")
    world.route_shares("a", "z", *LONE[1:])
    world.run(S)
    shared(world)
    world.check_ledgers()


def test_an_alarm_while_shares_wait_takes_that_share_only():
    world = a_world(*LONE, route=False)
    world.wire.cut.add(frozenset("fz"))
    world.route_shares("a", "z", *LONE)
    world.run(200 * MS)  # two shares wait for the third
    assert world.account("z", "share/a").held_bits > 0
    world.command(Action.QUARANTINE, "z", link="b-z", since_ns=0)
    world.wire.cut.clear()
    world.run(S)
    assert world.account("z", "share/a").compromised_bits > 0
    world.run(20 * S)
    world.check_ledgers()
    assert world.account("z", "share/a").held_bits == 0


@pytest.mark.parametrize("commit", range(0, 24, 2))
@pytest.mark.parametrize("site", "abz")
def test_a_crash_before_any_commit_of_a_shared_relay_loses_and_doubles_nothing(site, commit):
    world = World(a_web(*LONE, threshold=2))
    world.stores[site].crash_at_commit(commit)
    for link in world.network.links:
        world.distil(link, 4)
    with suppress(StoreCrashed):
        world.route_shares("a", "z", *LONE)
    world.run(300 * MS)
    with suppress(StoreCrashed, KeyDeliveryError):
        container = world.enc("a1", "z1", 3)
        world.run(100 * MS)
        world.dec("z1", "a1", ids(container))
    world.stores[site].crash_at_commit(None)
    world.route_shares("a", "z", *LONE)
    world.run(20 * S)
    shared(world)
    world.check_ledgers()


def test_shares_that_waited_through_a_restart_are_put_together():
    world = a_world(*LONE, route=False)
    world.wire.cut.add(frozenset("fz"))
    world.route_shares("a", "z", *LONE)
    world.run(100 * MS)
    assert world.account("z", "share/a").held_bits > 0
    for site in world.kmes:
        world.restart(site)
    world.run(2 * S)
    assert world.of_kind("a", RelayCompleted)
    shared(world)
    world.check_ledgers()


# --- keys cut from several blocks


def test_a_key_of_several_blocks_says_shares_only_where_all_came_the_same_way():
    world = a_world(*LONE, blocks=4)
    world.run(S)
    pieces = [piece for piece in world.kmes["a"]._c.books.pieces.values() if piece.record.account == "relay/z"]
    mine = [piece for piece in pieces if piece.record.owner == "a"]
    assert len(mine) >= 2
    _, whole = rests_on(mine)
    assert (whole.threshold, whole.share_paths) == (2, (("b",), ("d",), ("f",)))
    part = mine[0].record.provenance
    assert covers(whole, part)
    direct = next(piece for piece in world.kmes["a"]._c.books.pieces.values() if piece.record.account == "a-b")
    _, mixed = rests_on([*mine, direct])
    assert (mixed.threshold, mixed.share_paths) == (1, ())
    assert covers(mixed, part)
    assert not covers(replace(whole, threshold=3), part)
