"""A restored store whose fence was restored too: the peers remember, and recovery makes the pair whole again."""

import pytest
from tests.km.pairing import MS, S, World, a_block, a_chain

from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.km.documents import KeyDeliveryError
from qanat.km.events import KeysDiscarded, PeerMisbehaved, StoreRestored
from qanat.km.recovery import discard_keys
from qanat.sim.store import CrashingStore


def a_pair() -> World:
    world = World(a_chain(1))
    for number in range(4):
        for site in "ab":
            world.call(site, lambda kme, n=number: kme.add_block(a_block("a-b", n), world.now_ns))
    world.run(1 * S)
    return world


def put_back(world: World, site: str, old) -> None:
    """The machine stops and comes back with an old store."""
    world.flying.clear()
    world.stores[site] = old
    world.kmes[site] = world._engine(site)


def backup(store: CrashingStore) -> CrashingStore:
    copy = CrashingStore()
    for name, value in vars(store).items():
        if isinstance(value, dict):
            value = {key: _copied(item) for key, item in value.items()}
        setattr(copy, name, value)
    return copy


def _copied(item):
    if isinstance(item, SecretBits):
        return item.take(0, item.size_bytes)
    return dict(item) if isinstance(item, dict) else item


def enc(world: World, count: int = 1, master: str = "a1", slave: str = "b1"):
    return world.enc(master, slave, count)


def test_a_peer_that_acknowledged_more_than_was_ever_sent_stops_all_delivery():
    world = a_pair()
    old = backup(world.stores["a"])
    enc(world, 4)
    world.run(1 * S)
    put_back(world, "a", old)
    enc(world, 1, "b1", "a1")  # b speaks, and acknowledges what a sent before
    world.run(1 * S)
    assert [event.peer for event in world.of_kind("a", StoreRestored)] == ["b"]
    with pytest.raises(KeyDeliveryError, match="old copy") as refusal:
        enc(world)
    assert refusal.value.status_code == 503
    world.restart("a")  # a restart does not forget it
    with pytest.raises(KeyDeliveryError, match="old copy"):
        enc(world)
    assert len(world.of_kind("a", StoreRestored)) == 1


def test_a_peer_that_forgot_what_we_acknowledged_stops_all_delivery():
    world = a_pair()
    old = backup(world.stores["a"])
    for _ in range(3):
        enc(world, 1, "b1", "a1")
        world.run(1 * S)
    put_back(world, "a", old)
    enc(world, 1, "b1", "a1")
    world.run(1 * S)
    assert world.of_kind("a", StoreRestored)
    with pytest.raises(KeyDeliveryError, match="old copy"):
        world.call("a", lambda kme: kme.dec_keys("a1", "b1", [next(iter(world.given), None)], world.now_ns))


def test_a_stopped_kme_neither_sends_nor_relays():
    world = a_pair()
    old = backup(world.stores["a"])
    enc(world, 4)
    world.run(1 * S)
    put_back(world, "a", old)
    enc(world, 1, "b1", "a1")
    world.run(1 * S)
    before = len([1 for source, _, _ in world.sent if source == "a"])
    world.run(60 * S)
    assert len([1 for source, _, _ in world.sent if source == "a"]) == before
    assert world.kmes["a"].deadline_ns() is None


def test_crashes_of_either_end_never_look_like_an_old_copy():
    world = a_pair()
    for turn in range(30):
        enc(world, 1, *(("a1", "b1") if turn % 2 else ("b1", "a1")))
        world.run(turn % 7 * MS)
        world.restart("ab"[turn % 3 % 2])
        world.run(50 * MS)
    assert not world.of_kind("a", StoreRestored)
    assert not world.of_kind("b", StoreRestored)


def test_after_recovery_both_ends_dropped_the_old_keys_and_new_ones_flow():
    world = a_pair()
    old = backup(world.stores["a"])
    enc(world, 4)
    world.run(1 * S)
    old_bits = world.stored("b", "a")
    assert old_bits
    destroyed = discard_keys(SiteId("a"), old)
    assert destroyed
    put_back(world, "a", old)
    world.run(10 * S)
    assert [(event.peer, event.size_bits) for event in world.of_kind("a", KeysDiscarded)] == [("a", destroyed)]
    assert [event.peer for event in world.of_kind("b", KeysDiscarded)] == ["a"]
    assert world.stored("b", "a") == 0
    for site in "ab":
        world.call(site, lambda kme: kme.add_block(a_block("a-b", 77), world.now_ns))
    world.run(10 * S)
    assert len(enc(world, 3).keys) == 3
    assert len(enc(world, 3, "b1", "a1").keys) == 3
    world.run(1 * S)
    assert not world.of_kind("a", StoreRestored)
    assert not world.of_kind("a", PeerMisbehaved)
    assert not world.of_kind("b", PeerMisbehaved)
    world.check_ledgers()
