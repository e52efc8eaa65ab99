"""Rules for relays: which numbers keep what they promise, how a network file says them, whose word wins."""

from pathlib import Path

import pytest

from qanat.core.errors import NetworkFileError
from qanat.core.ids import SiteId
from qanat.core.netfile import network_from_toml, problems_of
from qanat.core.provenance import Authentication, Origin, Provenance, in_shares
from qanat.core.trust import RelayRule, Trust, rule_problem

TEXT = (Path(__file__).parents[2] / "networks" / "three-paths.toml").read_text(encoding="utf-8")
WEST, EAST, BRIDGE = SiteId("west"), SiteId("east"), SiteId("bridge")


@pytest.mark.parametrize(("paths", "threshold"), [(1, 1), (2, 2), (3, 2), (3, 3), (5, 3), (7, 4), (7, 7)])
def test_numbers_that_keep_their_promise(paths: int, threshold: int) -> None:
    assert RelayRule(paths=paths, threshold=threshold).is_shared is (threshold > 1)


@pytest.mark.parametrize(
    ("paths", "threshold", "why"),
    [
        (2, 1, "could know the key between them; need 2 shares"),
        (4, 2, "need 3 shares, or use fewer paths"),
        (2, 3, "3 shares are needed, but only 2 paths"),
        (8, 5, "at most 7 paths"),
        (0, 0, "at least 1 share"),
    ],
)
def test_numbers_that_promise_less_than_they_say_are_refused(paths: int, threshold: int, why: str) -> None:
    assert why in str(rule_problem(paths, threshold))
    with pytest.raises(ValueError, match=r"path|share"):
        RelayRule(paths=paths, threshold=threshold)


def test_a_demand_says_more_than_the_policy_for_its_pair_only() -> None:
    network = network_from_toml(TEXT)
    rule = network.relay_rule(WEST, EAST)
    assert (rule.paths, rule.threshold) == (3, 2)
    assert network.relay_rule(EAST, WEST) == rule
    assert network.relay_rule(WEST, BRIDGE) == RelayRule()
    assert network.sites[BRIDGE].label is Trust.PARTNER


def test_the_strictest_demand_of_a_pair_of_sites_wins() -> None:
    more = '[[saes]]\nid = "west-bank"\nsite = "west"\n\n[[demands]]\nbetween = ["west-bank", "east-app"]\n'
    text = TEXT.replace("[policy]", more + 'rate_bits_per_s = 1\nrelay_through = ["own"]\n\n[policy]')
    network = network_from_toml(text)
    rule = network.relay_rule(WEST, EAST)
    assert (rule.paths, rule.threshold, rule.through) == (3, 2, frozenset({Trust.OWN}))
    assert network.may_relay(SiteId("lakeside"), rule)
    assert not network.may_relay(BRIDGE, rule)


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("relay_threshold = 2", "relay_threshold = 1", "demands[0].relay_paths"),
        ("relay_threshold = 2", "relay_threshold = 4", "demands[0].relay_paths"),
        ("buffer_keys = 32", "relay_paths = 2", "policy.relay_paths"),
        ('trust = "partner"', 'trust = "patner"', "sites[3].trust"),
        ('trust = "partner"', 'trusted = false\ntrust = "partner"', "sites[3].trust"),
        ("relay_paths = 3", 'relay_paths = 3\nrelay_through = ["untrusted"]', "demands[0].relay_through[0]"),
    ],
)
def test_a_network_file_that_asks_for_less_than_it_seems_is_told_where(old: str, new: str, place: str) -> None:
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(TEXT.replace(old, new, 1))
    assert place in {problem.place for problem in problems_of(caught.value)}


@pytest.mark.parametrize("line", ["trusted = false", 'trust = "untrusted"'])
def test_nothing_is_relayed_through_a_site_that_is_not_trusted_however_it_is_said(line: str) -> None:
    network = network_from_toml(TEXT.replace('trust = "partner"', line, 1))
    assert not network.sites[BRIDGE].is_trusted
    assert network.sites[BRIDGE].label is Trust.UNTRUSTED
    assert not network.may_relay(BRIDGE, RelayRule())


def test_a_key_in_shares_says_who_together_could_know_it() -> None:
    hop = Provenance(
        origin=Origin.QKD, links=("x",), authentication=Authentication.PRE_SHARED, epsilon_total=1e-9, simulated=False
    )
    labels = {SiteId("b"): Trust.OWN, SiteId("d"): Trust.LEASED}
    key = in_shares((hop, hop), ("a-b", "b-z", "a-d", "d-z"), ((SiteId("b"),), (SiteId("d"),)), labels, 2)
    assert key.route_type == "relayed"
    assert key.epsilon_total == 2e-9
    assert (
        "2 paths that share no node (b (own); d (leased)); no node saw it, nodes of 2 paths together" in key.sentence()
    )


@pytest.mark.parametrize(
    "wrong", [{"threshold": 2}, {"share_paths": (("b",),), "threshold": 2}, {"trust": (Trust.OWN,)}]
)
def test_a_label_that_contradicts_itself_is_no_provenance(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"threshold|labels"):
        Provenance(
            origin=Origin.QKD,
            links=("x",),
            authentication=Authentication.PRE_SHARED,
            epsilon_total=1e-9,
            simulated=False,
            **wrong,  # type: ignore[arg-type]
        )
