"""One key for many SAEs: a1's slaves at its own site, at two neighbours and behind a relay."""

import random
import uuid
from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from tests.km.pairing import MS, S, World, a_network, ids

from qanat.core.alarms import Action
from qanat.core.ids import LinkId, SaeId
from qanat.core.provenance import Origin
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import MAC_TAG_BYTES
from qanat.km.documents import MANDATORY_UNMET, NOT_FOUND, KeyDeliveryError
from qanat.km.events import PeerMisbehaved
from qanat.km.messages import (
    Copies,
    copies_header_from_bytes,
    encoded,
    frame_from_bytes,
    message_from_bytes,
)
from qanat.km.rests import covers
from qanat.sim.store import StoreCrashed

SLAVES = ("a2", "b1", "b2", "c1", "d1")


def a_world(**changes) -> World:
    """a is joined to b and c; d lies behind b."""
    network = a_network(["a-b", "a-c", "b-d"], [("a1", slave) for slave in (*SLAVES, "c2")], **changes)
    world = World(network)
    world.run(10 * MS)
    for link in network.links:
        world.distil(link, 4)
    world.route("a", "d", "a-b", "b-d")
    world.run(2 * S)
    return world


def group(world: World, number: int = 2, size: int | None = None, first: str = "b1", **fields) -> list:
    others = [slave for slave in SLAVES if slave != first]
    return ids(world.enc("a1", first, number, size, additional_slave_sae_ids=others, **fields))


def refusal(world: World, slave: str, key_ids: list) -> KeyDeliveryError:
    with pytest.raises(KeyDeliveryError) as caught:
        world.dec(slave, "a1", key_ids)
    return caught.value


def dec(world: World, slave: str, key_ids: list) -> list[SecretBits]:
    """As ``World.dec``, which allows one slave a key: here each of several gets it."""
    container = world.call(slave[0], lambda kme: kme.dec_keys(SaeId(slave), SaeId("a1"), key_ids, world.now_ns))
    for key in container.keys:
        assert key.key == world.given[key.key_id], "the two ends differ"
    return container.keys


@pytest.mark.parametrize("first", SLAVES)
@pytest.mark.parametrize("size", [None, 64, 1000])
def test_every_slave_gets_every_key_once_whoever_stands_in_the_path(first, size):
    world = a_world()
    key_ids = group(world, 3, size, first)
    world.run(S)
    for slave in random.Random(first).sample(SLAVES, len(SLAVES)):
        assert len(dec(world, slave, key_ids)) == 3
        assert refusal(world, slave, key_ids).status_code == 400
    world.check_ledgers()
    assert all(not world.kmes[site]._c.books.grants for site in "abcd")


def test_the_ledger_says_to_the_bit_what_was_spent_delivered_and_made():
    world = a_world()
    before = {site: {a.account: a for a in world.report(site).accounts} for site in "abc"}
    key_ids = group(world, 2)
    world.run(S)
    for slave in ("a2", "b1", "b2", "c1"):
        dec(world, slave, key_ids)

    def grown(site: str, account: str, fate: str) -> int:
        old = before[site].get(account)
        return getattr(world.account(site, account), fate) - (getattr(old, fate) if old else 0)

    pad = 2 * 256 + 8 * 32  # two keys and the tag's key
    assert grown("a", "a-b", "delivered_bits") == 2 * 256  # b leads: a's master has the bits themselves
    assert grown("a", "a-c", "spent_bits") == grown("c", "a-c", "spent_bits") == pad
    for site in "abc":
        assert grown(site, "copies/a", "made_bits") == grown(site, "copies/a", "delivered_bits") == 2 * 256
    assert world.account("b", "a-b").delivered_bits == 0
    world.check_ledgers()


def test_two_slaves_at_one_site_each_get_the_key_and_the_bits_leave_with_the_last():
    world = a_world()
    key_ids = ids(world.enc("a1", "b1", additional_slave_sae_ids=["b2"]))
    world.run(S)
    dec(world, "b1", key_ids)
    world.restart("b")
    assert refusal(world, "b1", key_ids).message == NOT_FOUND
    assert world.account("b", "copies/a").held_bits == 256
    dec(world, "b2", key_ids)
    assert world.account("b", "copies/a").held_bits == 0
    world.check_ledgers()


@pytest.mark.parametrize("slaves", [["a2", "a1"], ["a1", "a2"]])
def test_local_slaves_and_the_master_itself_share_local_key(slaves):
    world = a_world()
    container = world.enc("a1", slaves[0], 2, additional_slave_sae_ids=slaves[1:])
    assert container.keys[0].key_extension["qanat_key_origin"] == "local"
    for slave in slaves:
        dec(world, slave, ids(container))
        assert refusal(world, slave, ids(container)).status_code in {400, 401}
    world.check_ledgers()


def test_the_provenance_names_everything_the_key_rests_on_at_every_site():
    world = a_world()
    world.signed_links.add("a-c")
    container = world.enc("a1", "b1", additional_slave_sae_ids=["c1", "d1", "a2"])
    extension = container.keys[0].key_extension
    assert set(extension["qanat_links"]) == {"a-b", "a-c", "b-d"}
    assert extension["qanat_trusted_nodes"] == ["b"]
    assert extension["qanat_route_type"] == "relayed"
    assert extension["qanat_epsilon_total"] >= 3e-10
    world.run(S)
    for slave in ("b1", "c1", "d1", "a2"):
        assert dec(world, slave, ids(container))[0].key_extension == extension


def test_nobody_who_was_not_named_gets_it():
    world = a_world()
    key_ids = group(world)
    world.run(S)
    assert refusal(world, "c2", key_ids).status_code == 401
    assert refusal(world, "c2", [uuid.uuid4()]).status_code == 400


@pytest.mark.parametrize("link", ["a-b", "a-c", "b-d"])
def test_an_alarm_on_any_part_takes_the_waiting_copies_back_everywhere(link):
    world = a_world()
    key_ids = group(world)
    world.run(S)
    dec(world, "b1", key_ids)
    world.command(Action.QUARANTINE, "a", link=link, since_ns=0)  # only the master's site hears of it
    world.run(S)
    for slave in SLAVES:
        assert refusal(world, slave, key_ids).status_code == 400
    for site in "abcd":
        assert world.account(site, "copies/a").held_bits == 0
    assert world.account("b", "copies/a").delivered_bits == 2 * 256  # b1 has them, though b2 does not
    assert world.account("c", "copies/a").compromised_bits == 2 * 256
    world.check_ledgers()


@pytest.mark.parametrize(("link", "site"), [("a-c", "c"), ("a-b", "b"), ("b-d", "d")])
def test_a_slave_site_that_hears_the_alarm_tells_all_others_through_the_master(link, site):
    world = a_world()
    key_ids = group(world)
    world.run(S)
    world.command(Action.QUARANTINE, site, link=link, since_ns=0)
    world.run(S)
    for slave in SLAVES:
        assert refusal(world, slave, key_ids).status_code == 400
    world.check_ledgers()


def test_a_copy_that_arrives_after_its_alarm_is_not_kept_and_nobody_else_keeps_one():
    world = a_world()
    world.command(Action.QUARANTINE, "d", link="b-d", since_ns=0)  # d alone knows; a still gives
    with suppress(KeyDeliveryError):
        key_ids = group(world)
        world.run(S)
        for slave in SLAVES:
            assert refusal(world, slave, key_ids).status_code == 400
    world.check_ledgers()


def test_all_sites_or_none():
    world = a_world()
    world.enc("a1", "c1", 100)
    with suppress(KeyDeliveryError):
        while True:
            world.enc("a1", "c1", 1)
    before = [world.report(site).accounts for site in "abcd"]
    with pytest.raises(KeyDeliveryError) as caught:
        group(world, 1)
    assert caught.value.status_code == 503
    assert caught.value.details == [{"available": 0, "requested": 1, "retry_after_ms": 1000}]
    assert [world.report(site).accounts for site in "abcd"] == before


def test_wishes_hold_for_every_part():
    world = a_world()
    with pytest.raises(KeyDeliveryError, match=MANDATORY_UNMET):
        group(world, extension_mandatory=[{"qanat_route_type": "local"}])
    container = world.enc(
        "a1", "b1", additional_slave_sae_ids=["c1"], extension_mandatory=[{"qanat_route_type": "direct"}]
    )
    assert container.keys[0].key_extension["qanat_trusted_nodes"] == []


def sent_copies(world: World, target: str) -> Copies:
    for _, to, frame in reversed(world.sent):
        for data in frame_from_bytes(frame).messages:
            message = message_from_bytes(data)
            if to == target and isinstance(message, Copies):
                return message
    raise AssertionError("no multicast was sent there")


LIES = {
    "another site's SAE": {"slaves": (SaeId("c1"), SaeId("b1"))},
    "an SAE twice": {"slaves": (SaeId("c1"), SaeId("c1"))},
    "an SAE that may not": {"master": SaeId("a2")},
    "no slave": {"slaves": ()},
    "a wrong name": {"batch": "relay/x"},
    "a wrong size": {"size_bytes": 4},
    "no key": {"key_ids": ()},
    "fewer sources": {"sources": ()},
    "a changed ID": {"key_ids": (uuid.uuid4(), uuid.uuid4())},
    "a pad as a key": {"tag_key": None},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_copy_that_lies_gives_no_key(lie):
    world = a_world()
    world.wire.cut.add(frozenset("ac"))
    key_ids = group(world)
    message = sent_copies(world, "c")
    header = copies_header_from_bytes(message.header)
    fields = {name: getattr(header, name) for name in header.__struct_fields__} | LIES[lie]
    forged = Copies(encoded(type(header)(**fields)), message.sealed)
    kme = world.kmes["c"]
    world.call("c", lambda _: kme._handle_or_report("a", encoded(forged), world.now_ns))
    assert world.of_kind("c", PeerMisbehaved)
    assert not kme._c.books.grants
    world.wire.cut.clear()
    world.run(10 * S)
    if lie != "a changed ID":  # a tag that does not fit takes the batch back; after any other lie the honest copy comes
        dec(world, "c1", key_ids)
    world.check_ledgers()


def test_a_better_provenance_than_a_part_has_is_seen():
    world = a_world()
    piece = next(p for p in world.kmes["c"]._c.books.pieces.values() if p.record.account == "a-c")
    part = piece.record.provenance
    assert covers(part, part)
    assert not covers(replace(part, links=(LinkId("a-b"),)), part)
    assert not covers(replace(part, epsilon_total=part.epsilon_total / 2), part)
    assert not covers(replace(part, simulated=False), part)
    assert not covers(part, replace(part, origin=Origin.HYBRID))


def test_what_travels_does_not_contain_the_key():
    world = a_world()
    container = world.enc("a1", "b1", 4, additional_slave_sae_ids=["c1", "d1", "a2"])
    world.run(S)
    wire = b"".join(frame for _, _, frame in world.sent)
    for key in container.keys:
        assert key.key.reveal() not in wire
    assert len(sent_copies(world, "c").sealed) == 4 * 32 + MAC_TAG_BYTES


@pytest.mark.parametrize("seed", range(12))
def test_loss_doubling_and_crashes_neither_double_nor_lose_a_copy(seed):
    luck = random.Random(seed)
    world = a_world()
    world.wire.fate = lambda: [luck.randrange(1, 400) * MS for _ in range(luck.choice([0, 1, 1, 2]))]
    given: list = []
    fetched: set = set()
    for _ in range(30):
        world.stores[luck.choice("abcd")].crash_at_commit(luck.randrange(6))
        with suppress(KeyDeliveryError, StoreCrashed):
            if luck.random() < 0.3:
                given.append(group(world, luck.randrange(1, 4), luck.choice([64, 256, 1000]))[0])
            elif given:
                slave, key_id = luck.choice(SLAVES), luck.choice(given)
                dec(world, slave, [key_id])
                assert (slave, key_id) not in fetched, f"seed {seed}: {slave} got {key_id} twice"
                fetched.add((slave, key_id))
        world.run(200 * MS)
        world.check_ledgers()
    for store in world.stores.values():
        store.crash_at_commit(10**9)
    world.wire.fate = lambda: [1 * MS]
    world.run(30 * S)
    for key_id in given:
        for slave in SLAVES:
            if (slave, key_id) not in fetched:
                # A crash after the commit loses an answer: then the slave's copy is gone, and only then.
                with suppress(KeyDeliveryError):
                    dec(world, slave, [key_id])
            assert refusal(world, slave, [key_id]).status_code == 400
    world.check_ledgers()


def test_copies_nobody_fetches_expire_at_every_site():
    world = a_world()
    group(world)
    world.run(S)
    world.now_ns += 24 * 3600 * S + S
    world.run(20 * S)
    assert [world.account(site, "copies/a").held_bits for site in "abcd"] == [0] * 4
    world.check_ledgers()


def test_a_site_refuses_a_copy_whose_other_parts_it_knows_to_be_condemned():
    world = a_world()
    world.command(Action.QUARANTINE, "c", link="a-b", since_ns=0)  # c's own key is good; a has not heard of it yet
    key_ids = group(world)
    world.run(S)
    for slave in SLAVES:
        assert refusal(world, slave, key_ids).status_code == 400
    world.check_ledgers()


def test_the_lead_refuses_a_batch_that_claims_better_than_its_own_part():
    world = a_world()
    world.wire.cut.add(frozenset("ab"))
    group(world)
    message = sent_copies(world, "b")
    header = copies_header_from_bytes(message.header)
    better = msgspec.structs.replace(header, provenance=replace(header.provenance, epsilon_total=0.0))
    forged = encoded(Copies(encoded(better), message.sealed))
    world.call("b", lambda kme: kme._handle_or_report("a", forged, world.now_ns))
    assert "better provenance" in world.of_kind("b", PeerMisbehaved)[-1].reason
    assert not world.kmes["b"]._c.books.grants
