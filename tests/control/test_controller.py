"""Scenarios on a ring of seven with chords; see conftest.py for its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qanat.control.controller import Controller
from qanat.control.presence import Absent
from qanat.control.state import LinkState
from qanat.core.alarms import Action, Alarm, AlarmKind, Command
from qanat.core.errors import LocalProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Authentication
from qanat.core.report import BlockReport, LinkReport
from qanat.core.topology import Network, Policy
from qanat.core.trust import Trust

S = 1_000_000_000
Pair = tuple[SiteId, SiteId]


def alarm(link: str, number: int, *, raised: bool = True, since_s: float = 10.0, **other: object) -> Alarm:
    fields: dict[str, object] = {"kind": AlarmKind.QBER, "severity": "critical"} | other
    return Alarm(
        number=number, link=LinkId(link), raised=raised, since_ns=int(since_s * S), last_good_number=0, at_ns=0,
        statistic=99.0, threshold=20.0, evidence="a test says so", **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def light(link: LinkId, start_s: float, duration_s: float = 0.5) -> LinkReport:
    return LinkReport(
        link=link, number=int(start_s * 2), start_ns=int(start_s * S), duration_ns=int(duration_s * S),
        n_pulses=10**9, detection_count=10**6, double_click_count=0, sifted_counts=((9000, 1000),),
        error_counts_z=(20,), made_at_ns=0,
    )  # fmt: skip


def block(link: LinkId, start_s: float, secret_bits: int = 100_000, aborted: str | None = None) -> BlockReport:
    return BlockReport(
        link=link, block=BlockId(f"{link}/0/{start_s}"), aborted=aborted, first_number=0, last_number=1,
        start_ns=int(start_s * S), end_ns=int((start_s + 1) * S), n_pulses=10**9, sifted_bits=10**6,
        authentication=Authentication.PRE_SHARED, secret_bits=0 if aborted else secret_bits, epsilon={}, made_at_ns=0,
    )  # fmt: skip


def started(network: Network, **options: int) -> Controller:
    """All links have made their first key."""
    controller = Controller(network=network, **options)
    controller.step(0, reports=[block(link, 0) for link in network.links])
    return controller


def requalified(controller: Controller, link: str, since_s: float) -> list[Command]:
    """Three seconds of good light, then a block, after `since_s`."""
    name = LinkId(link)
    reports = [light(name, since_s + 0.5 * step) for step in range(6)]
    return controller.step(0, reports=[*reports, block(name, since_s)])


def of(commands: Iterable[Command], action: Action) -> list[Command]:
    return [command for command in commands if command.action is action]


def route(controller: Controller, source: str, target: str) -> tuple[str, ...]:
    return controller.routes[SiteId(source), SiteId(target)].links


# name, links whose alarm is raised, pair, its links then
SCENARIOS = [
    (
        "neighbours get a relayed route",
        ["alfa-bravo"],
        ("alfa", "bravo"),
        ("alfa-delta", "charlie-delta", "bravo-charlie"),
    ),  # and not delta-echo, bravo-echo: same cost, names decide
    ("another link changes nothing", ["delta-echo"], ("alfa", "bravo"), ("alfa-bravo",)),
    (
        "nothing is relayed at golf",
        ["alfa-golf"],
        ("alfa", "golf"),
        ("alfa-bravo", "bravo-echo", "echo-foxtrot", "foxtrot-golf"),
    ),
    ("two at once", ["alfa-bravo", "alfa-delta"], ("alfa", "bravo"), ()),
]


@pytest.mark.parametrize(("name", "links", "pair", "expected"), SCENARIOS, ids=[row[0] for row in SCENARIOS])
def test_where_a_pair_goes(
    network: Network, name: str, links: list[str], pair: tuple[str, str], expected: tuple[str, ...]
) -> None:
    controller = started(network)
    controller.step(1, alarms=[alarm(link, number) for number, link in enumerate(links, 1)])
    found = route(controller, *pair)
    assert found == expected, name
    assert route(controller, *pair[::-1]) == found[::-1]


def test_an_alarm_pauses_quarantines_then_reroutes_in_that_order(network: Network) -> None:
    controller = started(network)
    commands = controller.step(5, alarms=[alarm("alfa-bravo", 7, since_s=12.5)])
    actions = [command.action for command in commands]
    assert actions == sorted(actions, key=[Action.PAUSE_LINK, Action.QUARANTINE, Action.SET_ROUTE].index)
    assert {c.site for c in of(commands, Action.PAUSE_LINK)} == {"alfa", "bravo"}
    quarantines = of(commands, Action.QUARANTINE)
    assert {c.site for c in quarantines} == set(network.sites), "relayed keys may lie anywhere"
    assert {(c.link, c.since_ns, c.alarm) for c in quarantines} == {("alfa-bravo", 10_500_000_000, 7)}
    for command in of(commands, Action.SET_ROUTE):
        assert "alfa-bravo" not in command.links
        assert command.site == command.source
    assert controller.link_state(LinkId("alfa-bravo")) is LinkState.ALARMED


def test_the_backup_shares_nothing_with_the_broken_route(network: Network) -> None:
    controller = started(network)
    before = controller.routes[SiteId("alfa"), SiteId("charlie")]
    assert len(before.trusted_nodes) == 1
    controller.step(5, alarms=[alarm(before.links[0], 1)])
    after = controller.routes[SiteId("alfa"), SiteId("charlie")]
    assert after.links
    assert not set(before.links) & set(after.links)
    assert not set(before.trusted_nodes) & set(after.trusted_nodes)


def test_a_second_alarm_on_a_paused_link_quarantines_only_what_reaches_further_back(network: Network) -> None:
    controller = started(network)
    controller.step(5, alarms=[alarm("alfa-bravo", 1, since_s=10)])
    rate = {"kind": AlarmKind.DETECTION_RATE}
    assert controller.step(6, alarms=[alarm("alfa-bravo", 2, since_s=11, **rate)]) == []
    commands = controller.step(7, alarms=[alarm("alfa-bravo", 3, since_s=9, **rate)])
    assert {c.action for c in commands} == {Action.QUARANTINE}
    assert {c.since_ns for c in commands} == {7 * S}


def test_a_link_returns_only_after_good_time_and_a_block_of_its_own(network: Network) -> None:
    controller = started(network)
    original = controller.routes
    link = LinkId("alfa-bravo")
    controller.step(5, alarms=[alarm(link, 1)])
    assert controller.step(6, reports=[light(link, 11), block(link, 11)]) == [], "the alarm is still open"
    assert controller.step(7, alarms=[alarm(link, 2, raised=False, since_s=20)]) == []
    assert controller.link_state(link) is LinkState.REQUALIFYING
    assert controller.step(8, reports=[light(link, 20), light(link, 20.5), light(link, 21)]) == [], "no block"
    assert controller.step(9, reports=[block(link, 19.9)]) == [], "began before the recovery"
    assert controller.step(9, reports=[block(link, 20.1, aborted="too few bits")]) == []
    commands = controller.step(9, reports=[block(link, 20.1)])
    resumes = of(commands, Action.RESUME_LINK)
    assert {(c.site, c.since_ns) for c in resumes} == {(site, 20 * S) for site in network.sites}
    assert commands[: len(resumes)] == resumes, "make before break: the link is resumed before routes return"
    assert {pair: r.links for pair, r in controller.routes.items()} == {pair: r.links for pair, r in original.items()}


def test_a_block_alone_does_not_requalify(network: Network) -> None:
    controller = started(network)
    link = LinkId("alfa-bravo")
    controller.step(5, alarms=[alarm(link, 1), alarm(link, 2, raised=False, since_s=20)])
    assert of(controller.step(8, reports=[block(link, 20), light(link, 20)]), Action.RESUME_LINK) == []
    assert of(controller.step(8, reports=[light(link, 20.5)]), Action.RESUME_LINK)


def test_all_alarms_must_end(network: Network) -> None:
    controller = started(network)
    rate = {"kind": AlarmKind.DETECTION_RATE}
    controller.step(5, alarms=[alarm("alfa-bravo", 1), alarm("alfa-bravo", 2, **rate)])
    controller.step(6, alarms=[alarm("alfa-bravo", 3, raised=False, since_s=20)])
    assert controller.link_state(LinkId("alfa-bravo")) is LinkState.ALARMED
    controller.step(6, alarms=[alarm("alfa-bravo", 4, raised=False, since_s=30, **rate)])
    assert controller.link_state(LinkId("alfa-bravo")) is LinkState.REQUALIFYING
    assert requalified(controller, "alfa-bravo", 25) == [], "these reports lie before 30 s"
    assert of(requalified(controller, "alfa-bravo", 30), Action.RESUME_LINK)


def test_a_flapping_link_waits_twice_as_long(network: Network) -> None:
    controller = started(network)
    link = LinkId("alfa-bravo")
    controller.step(5, alarms=[alarm(link, 1), alarm(link, 2, raised=False, since_s=20)])
    controller.step(6, reports=[light(link, 20), light(link, 20.5), block(link, 20)])
    controller.step(7, alarms=[alarm(link, 3, since_s=25), alarm(link, 4, raised=False, since_s=30)])
    assert controller.step(8, reports=[light(link, 30), light(link, 30.5), block(link, 30)]) == []
    assert of(controller.step(8, reports=[light(link, 31), light(link, 31.5)]), Action.RESUME_LINK)
    controller.step(9, alarms=[alarm(link, 5, since_s=500), alarm(link, 6, raised=False, since_s=510)])
    assert controller.links[link].requalify_factor == 1, "an old flap is forgiven"


def test_a_warning_is_remembered_and_commands_nothing(network: Network) -> None:
    controller = started(network)
    assert controller.step(5, alarms=[alarm("alfa-bravo", 1, severity="warning")]) == []
    assert controller.links[LinkId("alfa-bravo")].warnings
    assert controller.link_state(LinkId("alfa-bravo")) is LinkState.UP
    controller.step(5, alarms=[alarm("alfa-bravo", 2, severity="warning", raised=False)])
    assert not controller.links[LinkId("alfa-bravo")].warnings


def test_a_silent_link_is_paused_and_one_never_heard_condemns_nothing(network: Network) -> None:
    controller = started(network)
    silence = {"kind": AlarmKind.SILENCE}
    commands = controller.step(5, alarms=[alarm("alfa-bravo", 1, **silence)])
    assert of(commands, Action.PAUSE_LINK)
    assert of(commands, Action.QUARANTINE)
    assert controller.link_state(LinkId("alfa-bravo")) is LinkState.SILENT
    commands = controller.step(5, alarms=[alarm("alfa-delta", 2, severity="warning", **silence)])
    assert of(commands, Action.PAUSE_LINK)
    assert not of(commands, Action.QUARANTINE)


def test_a_pause_that_strands_a_pair_happens_and_says_so(network: Network) -> None:
    controller = started(network)
    controller.step(5, alarms=[alarm("alfa-golf", 1)])
    commands = controller.step(6, alarms=[alarm("foxtrot-golf", 2)])
    pauses = of(commands, Action.PAUSE_LINK)
    assert len(pauses) == 2
    assert all("SERVICE STOPS for alfa - golf" in c.reason and "2 of 9 links" in c.reason for c in pauses)
    emptied = of(commands, Action.SET_ROUTE)
    assert {(c.source, c.target, c.links) for c in emptied} == {("alfa", "golf", ()), ("golf", "alfa", ())}
    assert all(c.reason.startswith("WARNING: no route is left") for c in emptied)


def test_single_points_are_known_before_the_cut(building: Callable[..., Network]) -> None:
    edges = [("alfa", "bravo"), ("bravo", "charlie"), ("alfa", "charlie"), ("charlie", "delta"), ("delta", "echo")]
    controller = started(building(edges, [("alfa", "delta"), ("alfa", "bravo")]))
    points = {(point.name, point.is_link): point.sentence() for point in controller.single_points()}
    assert points == {
        ("charlie", False): "losing site charlie leaves alfa - delta without route",
        ("charlie-delta", True): "cutting link charlie-delta leaves alfa - delta without route",
    }
    controller.step(1, alarms=[alarm("charlie-delta", 1)])
    assert route(controller, "alfa", "delta") == (), "and so it was"


def test_single_points_follow_the_links_that_are_left(network: Network) -> None:
    controller = started(network)
    names = {point.name for point in controller.single_points()}
    assert names == {"echo", "echo-foxtrot"}, "foxtrot's other neighbour, golf, may not relay"
    controller.step(1, alarms=[alarm("alfa-golf", 1)])
    assert ("foxtrot-golf", True) in {(point.name, point.is_link) for point in controller.single_points()}


def test_the_longest_relay_is_bounded_by_policy(building: Callable[..., Network]) -> None:
    edges = [("alfa", "bravo"), ("bravo", "charlie"), ("charlie", "delta")]
    for most, expected in ((1, ()), (2, ("alfa-bravo", "bravo-charlie", "charlie-delta"))):
        controller = started(building(edges, [("alfa", "delta")], policy=Policy(max_trusted_nodes=most)))
        assert route(controller, "alfa", "delta") == expected


def test_first_routes_may_use_links_that_are_starting_until_patience_ends(network: Network) -> None:
    controller = Controller(network=network, start_patience_ns=20)
    commands = controller.initial_commands(0)
    assert {c.action for c in commands} == {Action.SET_ROUTE}
    assert len(commands) == 2 * len(network.km_pairs())
    others = [link for link in network.links if link != "alfa-bravo"]
    controller.step(1, reports=[block(link, 0) for link in others])
    assert route(controller, "alfa", "bravo") == ("alfa-bravo",)
    controller.step(21)
    assert "alfa-bravo" not in route(controller, "alfa", "bravo"), "it made no key in time"
    controller.step(22, reports=[block(LinkId("alfa-bravo"), 5)])
    assert route(controller, "alfa", "bravo") == ("alfa-bravo",)


def test_routes_go_around_a_link_that_is_not_heard_of_and_nothing_is_paused(network: Network) -> None:
    controller = started(network)
    first = route(controller, "bravo", "delta")
    commands = controller.avoid(Absent(links=frozenset({LinkId(first[0])})), 5)
    assert {c.action for c in commands} == {Action.SET_ROUTE}
    assert all(c.reason == f"not heard of: link {first[0]}" for c in commands)
    assert first[0] not in route(controller, "bravo", "delta") != ()
    assert controller.link_state(LinkId(first[0])) is LinkState.UP
    assert controller.avoid(Absent(links=frozenset({LinkId(first[0])})), 6) == []
    controller.avoid(Absent(), 7)
    assert route(controller, "bravo", "delta") == first


def test_routes_go_around_a_relay_site_whose_kme_is_away_and_end_there_all_the_same(network: Network) -> None:
    controller = started(network)
    (between,) = controller.routes[SiteId("bravo"), SiteId("delta")].trusted_nodes
    controller.avoid(Absent(sites=frozenset({between, SiteId("charlie"), SiteId("alfa")})), 5)
    assert route(controller, "bravo", "delta") == ("bravo-echo", "delta-echo")
    assert route(controller, "alfa", "charlie"), "its ends are away, and nothing leads around an end"


def test_where_all_is_unheard_of_routes_stay_as_they_are(network: Network) -> None:
    controller = started(network)
    before = controller.routes
    everything = Absent(links=frozenset(network.links), sites=frozenset(network.sites))
    assert controller.avoid(everything, 5) == []
    assert controller.routes == before


def test_an_alarm_does_not_move_a_route_onto_a_backup_whose_relay_is_away(network: Network) -> None:
    controller = started(network)
    pair = (SiteId("bravo"), SiteId("delta"))
    first = route(controller, "bravo", "delta")
    (backup,) = controller._book._backups[pair]
    away = frozenset(backup.between)
    controller.avoid(Absent(sites=away), 5)
    controller._book._backups[pair] = (backup,)
    controller.step(6, alarms=[alarm(first[0], 1)])
    assert not away & set(controller.routes[pair].trusted_nodes)


def test_a_link_that_stops_making_key_is_avoided(network: Network) -> None:
    controller = started(network)
    first = route(controller, "bravo", "delta")
    bad = LinkId(first[0])
    for _ in range(60):
        controller.step(1, reports=[block(bad, 1, aborted="too little left")])
    assert bad not in route(controller, "bravo", "delta")


def test_steady_yields_move_no_route(network: Network) -> None:
    controller = started(network)
    for step in range(50):
        reports = [block(link, step, 90_000 + 7919 * step % 20_000) for link in network.links]
        assert controller.step(step, reports=reports) == []


def test_a_site_that_reconnects_hears_all_that_matters(network: Network) -> None:
    controller = started(network)
    sent = controller.step(5, alarms=[alarm("alfa-bravo", 1), alarm("delta-echo", 2)])
    controller.step(6, alarms=[alarm("delta-echo", 3, raised=False, since_s=20)])
    requalified(controller, "delta-echo", 20)
    latest = controller.next_revision
    commands = controller.resync(SiteId("alfa"), 9)
    told = [(c.action, c.link, c.revision) for c in of(commands, Action.QUARANTINE)]
    assert told == [(c.action, c.link, c.revision) for c in of(sent, Action.QUARANTINE) if c.site == "alfa"]
    assert [(c.link, c.site) for c in of(commands, Action.PAUSE_LINK)] == [("alfa-bravo", "alfa")]
    routes = {(c.source, c.target): c.links for c in of(commands, Action.SET_ROUTE)}
    assert routes == {pair: r.links for pair, r in controller.routes.items() if pair[0] == "alfa"}
    assert all(c.revision >= latest for c in commands if c.action is not Action.QUARANTINE)
    assert [(c.link, c.since_ns) for c in of(controller.resync(SiteId("delta"), 9), Action.RESUME_LINK)] == [
        ("delta-echo", 20 * S)
    ]


def test_a_restart_continues_the_revisions_and_resumes_links_that_make_key(network: Network) -> None:
    controller = Controller(network=network, first_revision=500)
    commands = controller.initial_commands(0) + controller.step(1, reports=[block(LinkId("alfa-bravo"), 3)])
    assert [c.revision for c in commands] == list(range(500, 500 + len(commands)))
    assert {(c.site, c.since_ns) for c in of(commands, Action.RESUME_LINK)} == {(site, 3 * S) for site in network.sites}


@dataclass
class Store:
    site: SiteId
    link_bits: dict[LinkId, int]


def test_stores_are_remembered_by_their_poorer_end(network: Network) -> None:
    controller = started(network)
    link = LinkId("alfa-bravo")
    assert controller.store_bits(link) is None
    controller.step(1, stores=[Store(SiteId("alfa"), {link: 900}), Store(SiteId("bravo"), {link: 700})])
    assert controller.store_bits(link) == 700


def test_an_unknown_link_or_site_is_our_mistake(network: Network) -> None:
    controller = started(network)
    with pytest.raises(LocalProtocolError, match="nowhere"):
        controller.step(1, alarms=[alarm("nowhere", 1)])
    with pytest.raises(LocalProtocolError, match="nowhere"):
        controller.resync(SiteId("nowhere"), 1)


# Properties

events = st.lists(
    st.tuples(st.sampled_from(["raise", "end", "good", "silence", "heard", "abort"]), st.integers(0, 8)), max_size=40
)


def check_routes(network: Network, controller: Controller) -> None:
    for (source, target), found in controller.routes.items():
        site, seen = source, [source]
        for link in found.links:
            assert controller.link_state(link) is LinkState.UP
            site = network.links[link].other_end(site)
            seen.append(site)
        if found.links:
            assert site == target
            assert len(set(seen)) == len(seen), "a simple path"
            assert tuple(seen[1:-1]) == found.trusted_nodes
            assert all(network.sites[node].is_trusted for node in found.trusted_nodes)
            assert len(found.trusted_nodes) <= network.policy.max_trusted_nodes


def check_order(commands: list[Command], paused: set[LinkId]) -> None:
    """Follow the commands one by one, as the sites do."""
    for command in commands:
        if command.link and command.action is Action.PAUSE_LINK:
            paused.add(command.link)
        elif command.link and command.action is Action.RESUME_LINK:
            paused.discard(command.link)
        elif command.action is Action.QUARANTINE:
            assert command.link in paused, "pause comes before quarantine"
        elif command.action is Action.SET_ROUTE:
            assert not paused & set(command.links), "no route is ever told over a paused link"


@given(steps=events)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_routes_rest_on_good_links_and_come_back(
    network: Network, steps: list[tuple[str, int]]
) -> None:
    controller = started(network)
    original = {pair: found.links for pair, found in controller.routes.items()}
    links = sorted(network.links)
    paused: set[LinkId] = set()
    revision, number, clock_s = controller.next_revision, 0, 10.0
    open_kinds: dict[LinkId, set[AlarmKind]] = {link: set() for link in links}

    def follow(commands: list[Command]) -> None:
        nonlocal revision
        assert [c.revision for c in commands] == list(range(revision, revision + len(commands)))
        revision += len(commands)
        check_order(commands, paused)
        check_routes(network, controller)

    def tell(link: LinkId, kind: AlarmKind, *, raised: bool) -> None:
        nonlocal number
        if raised == (kind in open_kinds[link]):
            return
        number += 1
        (open_kinds[link].add if raised else open_kinds[link].remove)(kind)
        follow(controller.step(0, alarms=[alarm(link, number, raised=raised, since_s=clock_s, kind=kind)]))

    for what, index in steps:
        link = links[index]
        clock_s += 20.0
        if what in ("raise", "end"):
            tell(link, AlarmKind.QBER, raised=what == "raise")
        elif what in ("silence", "heard"):
            tell(link, AlarmKind.SILENCE, raised=what == "silence")
        elif what == "abort":
            follow(controller.step(0, reports=[block(link, clock_s, aborted="by the test")]))
        else:
            follow(controller.step(0, reports=[light(link, clock_s, 20.0), block(link, clock_s)]))
    for link in links:
        for kind in list(open_kinds[link]):
            tell(link, kind, raised=False)
    for _ in range(25):  # enough good blocks for every rate to come back to its level
        clock_s += 20.0
        for link in links:
            follow(controller.step(0, reports=[light(link, clock_s, 20.0), block(link, clock_s)]))
    assert paused == set()
    assert all(found.links for found in controller.routes.values())
    if "abort" not in {what for what, _ in steps}:  # a rate that fell may leave its hysteresis elsewhere
        assert {pair: found.links for pair, found in controller.routes.items()} == original


# --- shares: paths that share no node


SHARED = Policy(relay_paths=3, relay_threshold=2, max_trusted_nodes=5)
BRAID = [("west", "a"), ("a", "east"), ("west", "b"), ("b", "east"), ("west", "c"), ("c", "d"), ("d", "east")]


def all_ways(controller: Controller, source: str = "west", target: str = "east") -> set[tuple[str, ...]]:
    found = controller.routes[SiteId(source), SiteId(target)]
    return {found.links, *found.others} - {()}


def test_a_pair_that_wants_shares_gets_paths_that_share_no_node(building: Callable[..., Network]) -> None:
    network = building(BRAID, [("west", "east")], policy=SHARED, untrusted=())
    controller = started(network)
    there = all_ways(controller)
    assert there == {("west-a", "a-east"), ("west-b", "b-east"), ("west-c", "c-d", "d-east")}
    assert all_ways(controller, "east", "west") == {way[::-1] for way in there}
    assert set(controller.routes[SiteId("west"), SiteId("east")].trusted_nodes) == {"a", "b", "c", "d"}


def test_an_alarm_on_one_path_moves_on_with_the_others_in_the_same_step(building: Callable[..., Network]) -> None:
    controller = started(building(BRAID, [("west", "east")], policy=SHARED, untrusted=()))
    commands = controller.step(1, alarms=[alarm("a-east", 1)])
    told = of(commands, Action.SET_ROUTE)
    assert {(command.links, *command.others) for command in told if command.source == "west"} == {
        (("west-b", "b-east"), ("west-c", "c-d", "d-east"))
    }
    assert all_ways(controller) == {("west-b", "b-east"), ("west-c", "c-d", "d-east")}


def test_fewer_paths_than_shares_needed_are_no_route_at_all(building: Callable[..., Network]) -> None:
    controller = started(building(BRAID, [("west", "east")], policy=SHARED, untrusted=()))
    commands = controller.step(1, alarms=[alarm("a-east", 1), alarm("b-east", 2)])
    assert all_ways(controller) == set()
    assert any("no route is left between" in command.reason for command in of(commands, Action.SET_ROUTE))


def test_what_two_paths_stand_on_is_told_before_it_breaks(building: Callable[..., Network]) -> None:
    controller = started(building(BRAID[:4], [("west", "east")], policy=SHARED, untrusted=()))
    points = {point.name for point in controller.single_points()}
    assert points == {"west-a", "a-east", "west-b", "b-east", "a", "b"}


def test_a_link_of_their_own_needs_no_shares(building: Callable[..., Network]) -> None:
    controller = started(building([*BRAID, ("west", "east")], [("west", "east")], policy=SHARED, untrusted=()))
    assert all_ways(controller) == {("west-east",)}


def test_a_demand_that_does_not_accept_a_label_is_led_round_the_node(building: Callable[..., Network]) -> None:
    network = building(BRAID, [("west", "east")], untrusted=())
    sites = {
        name: replace(site, trust=Trust.LEASED if name in "ab" else Trust.OWN) for name, site in network.sites.items()
    }
    picky = replace(network, sites=sites, demands=(replace(network.demands[0], relay_through=(Trust.OWN,)),))
    assert all_ways(started(picky)) == {("west-c", "c-d", "d-east")}
