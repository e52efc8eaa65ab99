"""The lifetime of a key: one instant for both ends, whatever their clocks say."""

from __future__ import annotations

import pytest
from tests.km.pairing import S, World, a_chain, ids

from qanat.core.topology import Policy
from qanat.km.documents import NOT_FOUND, KeyDeliveryError
from qanat.km.events import KeysExpired, PeerMisbehaved
from qanat.km.supply import CLOCK_DIFFERENCE_NS_MAX

TTL_S = 1000
TTL = TTL_S * S
MARGIN = TTL // 10


def a_world(hops: int = 1, skew_ns: dict[str, int] | None = None) -> World:
    world = World(a_chain(hops, policy=Policy(buffer_keys=16, key_ttl_s=float(TTL_S))))
    world.skew_ns = skew_ns or {}
    for link in world.network.links:
        world.distil(link, 2)
    if hops > 1:
        end = "abcd"[hops]
        world.route("a", end, *world.network.links)
    world.run(5 * S)
    return world


def ends(world: World, site: str) -> dict[str, int]:
    books = world.kmes[site]._c.books
    return {name: books.expires_ns(piece) for name, piece in books.pieces.items() if not name.startswith("local/")}


@pytest.mark.parametrize("skew_ns", [0, 40 * S, -40 * S, 7 * 24 * 3600 * S])
@pytest.mark.parametrize("hops", [1, 2])
def test_both_ends_hold_the_same_instant_however_their_clocks_differ(hops, skew_ns):
    skewed = "b" if hops == 1 else "c"
    world = a_world(hops, {skewed: skew_ns})
    for left, right in [("a", "b"), ("a", "abc"[hops])]:
        here, there = ends(world, left), ends(world, right)
        shared = here.keys() & there.keys()
        assert shared or skew_ns > TTL  # a clock a week ahead: what it made known is over at once, everywhere
        assert {name: here[name] for name in shared} == {name: there[name] for name in shared}


def test_a_clock_ahead_shortens_a_life_and_never_lengthens_it():
    world = a_world(1, {"b": 200 * S})
    true_end_ns = 1_000 * S + TTL
    assert all(end_ns <= true_end_ns for end_ns in ends(world, "b").values())


def test_at_its_end_a_key_is_gone_at_both_sites_and_counted_as_expired():
    world = a_world()
    world.run(TTL)
    for site in "ab":
        account = world.account(site, "a-b")
        assert (account.held_bits, account.expired_bits, account.destroyed_bits) == (0, 2 * 8 * 2048, 0)
        assert sum(event.size_bits for event in world.of_kind(site, KeysExpired) if event.account == "a-b") == 32768
    world.check_ledgers()


def test_a_slave_that_comes_too_late_reads_that_the_key_expired():
    world = a_world()
    key_ids = ids(world.enc("a1", "b1", 2))
    world.run(S)
    world.now_ns += TTL  # nobody woke the KME meanwhile: the first call looks at the time
    with pytest.raises(KeyDeliveryError) as caught:
        world.dec("b1", "a1", key_ids)
    assert (caught.value.status_code, caught.value.message) == (400, NOT_FOUND)
    assert caught.value.details == [{"reason": "expired"}]
    with pytest.raises(KeyDeliveryError) as other:
        world.dec("b2", "a1", key_ids)
    assert other.value.details != [{"reason": "expired"}]  # whose key it was is nobody else's business


def test_near_its_end_a_key_goes_to_no_master_but_its_slave_still_has_time():
    world = a_world()
    key_ids = ids(world.enc("a1", "b1", 2))
    world.run(TTL - MARGIN - 5 * S + S)
    with pytest.raises(KeyDeliveryError) as caught:
        world.enc("a1", "b1")
    assert caught.value.status_code == 503
    assert len(world.dec("b1", "a1", key_ids).keys) == 2


def test_what_one_end_calls_expired_the_other_delivers_no_more_though_its_clock_lies():
    """Site b's clock stops; a's goes on to the end of the key and says so."""
    world = a_world()
    key_ids = ids(world.enc("a1", "b1", 2))
    world.run(S)
    clock_of_b = world.clock("b")
    for _ in range(20):
        world.skew_ns["b"] = clock_of_b - world.now_ns - TTL // 20
        world.run(TTL // 20)
    assert world.clock("b") <= clock_of_b
    assert world.account("a", "a-b").held_bits == 0
    with pytest.raises(KeyDeliveryError) as caught:
        world.dec("b1", "a1", key_ids)
    assert caught.value.details == [{"reason": "expired"}]
    assert world.account("b", "a-b").held_bits == 0
    world.check_ledgers()


def test_a_clock_set_back_brings_nothing_back_even_over_a_restart():
    world = a_world()
    key_ids = ids(world.enc("a1", "b1", 2))
    world.run(TTL)
    world.skew_ns = {"a": -2 * TTL, "b": -2 * TTL}
    world.restart("a")
    world.restart("b")
    with pytest.raises(KeyDeliveryError):
        world.dec("b1", "a1", key_ids)
    with pytest.raises(KeyDeliveryError):
        world.enc("a1", "b1")


def test_a_difference_that_no_sound_clock_has_is_told():
    assert not a_world(1, {"b": CLOCK_DIFFERENCE_NS_MAX // 2}).of_kind("a", PeerMisbehaved)
    told = a_world(1, {"b": 2 * CLOCK_DIFFERENCE_NS_MAX}).of_kind("a", PeerMisbehaved)
    assert told
    assert "look at both clocks" in told[0].reason


def test_a_relayed_key_expires_at_its_target_too():
    world = a_world(2)
    assert world.stored("a", "c")
    world.run(TTL + 10 * S)
    account = world.account("c", "relay/a")
    assert account.held_bits == 0
    assert account.expired_bits > 0


def test_an_end_that_was_agreed_survives_a_crash_between():
    world = a_world(1, {"b": 40 * S})
    before = ends(world, "a"), ends(world, "b")
    world.restart("a")
    world.restart("b")
    assert (ends(world, "a"), ends(world, "b")) == before
