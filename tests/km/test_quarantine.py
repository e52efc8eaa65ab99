"""Quarantine: from the command to non-delivery at every site where keys rest on the link, by whatever way it hears."""

from __future__ import annotations

import pytest
from tests.km.pairing import MS, S, World, a_chain, ids

from qanat.core.alarms import Action
from qanat.core.ids import LinkId
from qanat.km.documents import KeyDeliveryError
from qanat.km.events import KeysQuarantined, PeerMisbehaved
from qanat.km.messages import Condemned
from qanat.sim.store import StoreCrashed


def a_world(hops: int = 1) -> World:
    world = World(a_chain(hops))
    for link in world.network.links:
        world.distil(link, 2)
    if hops > 1:
        world.route("a", "abcdefgh"[hops], *world.network.links)
    world.run(5 * S)
    return world


def all_keys(world: World, master: str, slave: str) -> list:
    """The master takes everything: at its own site nothing is left that a quarantine could find."""
    key_ids = []
    while count := world.stored(master[0], slave[0]):
        key_ids += ids(world.enc(master, slave, min(count, 100)))
    return key_ids


def is_refused(world: World, slave: str, master: str, key_ids: list) -> bool:
    for key_id in key_ids:
        with pytest.raises(KeyDeliveryError):
            world.dec(slave, master, [key_id])
    return True


@pytest.mark.parametrize("told", ["a", "b"])
def test_a_command_at_one_end_stops_both_within_a_second_though_frames_are_lost(told):
    world = a_world()
    key_ids = all_keys(world, "a1", "b1")
    world.run(S)
    fates = iter([[], [40 * MS, 90 * MS]] * 500)
    world.wire.fate = lambda: next(fates)  # every other frame is lost
    world.command(Action.QUARANTINE, told, link=LinkId("a-b"), since_ns=0)
    world.run(1 * S)
    assert is_refused(world, "b1", "a1", key_ids)
    assert world.account("b", "a-b").compromised_bits > 0
    assert world.account("b", "a-b").held_bits == 0
    world.check_ledgers()


def test_a_grant_that_is_still_in_flight_is_never_delivered():
    world = a_world()
    world.wire.cut.add(frozenset("ab"))
    key_ids = ids(world.enc("a1", "b1", 4))  # the grant waits in a's outbox
    world.command(Action.QUARANTINE, "b", link=LinkId("a-b"), since_ns=0)
    world.wire.cut.clear()
    world.run(10 * S)
    assert is_refused(world, "b1", "a1", key_ids)


def test_a_relay_target_hears_from_the_link_that_no_command_told_it_about():
    """Keys of a and d rest on b-c. Neither a nor d gets the command, and a has given all of them to its masters."""
    world = a_world(3)
    key_ids = all_keys(world, "a1", "d1")
    assert key_ids
    world.run(100 * MS)
    world.command(Action.QUARANTINE, "b", link=LinkId("b-c"), since_ns=0)
    world.run(1 * S)
    assert is_refused(world, "d1", "a1", key_ids)
    assert world.of_kind("d", KeysQuarantined)[-1].told_by == "b"
    assert world.stored("a", "d") == 0
    world.check_ledgers()


def test_pieces_that_come_later_of_condemned_light_are_refused_where_only_the_peer_heard_of_it():
    world = a_world(0 + 1)
    world.command(Action.QUARANTINE, "a", link=LinkId("a-b"), since_ns=0)
    world.run(1 * S)
    world.distil("a-b", 2)
    world.run(1 * S)
    assert world.account("b", "a-b").held_bits == 0
    assert world.stored("a", "b") == world.stored("b", "a") == 0


def test_a_crash_right_after_the_command_loses_no_word_of_it():
    world = a_world(3)
    key_ids = all_keys(world, "a1", "d1")
    world.run(100 * MS)
    world.wire.fate = lambda: []  # nothing that b sends arrives before it dies
    world.command(Action.QUARANTINE, "b", link=LinkId("b-c"), since_ns=0)
    world.restart("b")
    world.restart("d")
    world.wire.fate = lambda: [1 * MS]
    world.run(1 * S)
    assert is_refused(world, "d1", "a1", key_ids)


def test_a_commit_that_failed_leaves_the_command_undone_and_unsaid():
    world = a_world()
    world.stores["a"].crash_at_commit(0)
    with pytest.raises(StoreCrashed):
        world.command(Action.QUARANTINE, "a", link=LinkId("a-b"), since_ns=0)
    world.run(1 * S)
    assert world.stored("a", "b")
    world.command(Action.QUARANTINE, "a", link=LinkId("a-b"), since_ns=0)
    assert world.stored("a", "b") == 0


def test_the_same_quarantine_from_both_ends_and_the_controller_happens_once_at_each_end():
    world = a_world(3)
    link = LinkId("b-c")
    for site in "abcd":  # one command, one revision, as passed on by the other end as well
        world._revision = 10
        world.command(Action.QUARANTINE, site, link=link, since_ns=0)
    world.run(1 * S)
    assert {site: len(world.of_kind(site, KeysQuarantined)) for site in "abcd"} == dict.fromkeys("abcd", 1)


def test_a_quarantine_that_comes_after_its_resumption_condemns_no_light_since():
    world = a_world(3)
    world.wire.cut |= {frozenset("bd"), frozenset("cd")}
    world.command(Action.QUARANTINE, "b", link=LinkId("b-c"), since_ns=0)
    world.command(Action.RESUME_LINK, "a", "b", "c", "d", link=LinkId("b-c"), since_ns=10 * S)
    world.run(1 * S)
    world.wire.cut.clear()
    world.run(10 * S)  # only now d hears of the quarantine
    state = world.kmes["d"]._c.links.state(LinkId("b-c"))
    assert state.condemns(5 * S, 6 * S)
    assert not state.condemns(11 * S, 12 * S)


def test_a_kme_condemns_only_links_that_end_there():
    world = a_world(3)
    held = world.stored("a", "b")
    world.call("d", lambda kme: kme._c.channel.post("a", Condemned(LinkId("a-b"), 0, 99)))
    world.run(1 * S)
    assert world.stored("a", "b") == held
    assert "does not end there" in world.of_kind("a", PeerMisbehaved)[-1].reason
