"""ETSI 014 rules between two KMEs."""

import uuid
from contextlib import suppress

import msgspec
import pytest
from tests.km.pairing import MS, S, World, a_block, a_chain, a_network, ids

from qanat.core.alarms import Action
from qanat.core.ids import SaeId
from qanat.core.topology import Policy
from qanat.km.documents import (
    MANDATORY_UNKNOWN,
    MANDATORY_UNMET,
    NOT_FOUND,
    SIZE_NOT_MULTIPLE,
    KeyDeliveryError,
    KeyRequest,
    encode,
)
from qanat.km.events import BlockRefused, PeerMisbehaved
from qanat.km.supply import SimulatedKeyRefused


def a_world(blocks: int = 2, **changes) -> World:
    world = World(a_chain(1, **changes))
    world.run(10 * MS)
    if blocks:
        world.distil("a-b", blocks)
    world.run(100 * MS)
    return world


def test_two_applications_get_the_same_keys_once():
    world = a_world()
    container = world.enc("a1", "b1", 5)
    world.run(50 * MS)
    world.dec("b1", "a1", ids(container))
    assert [world.taken[key.key_id] == key.key for key in container.keys] == [True] * 5
    with pytest.raises(KeyDeliveryError, match=NOT_FOUND):
        world.dec("b1", "a1", ids(container))
    world.check_ledgers()


def test_both_directions_grow_from_the_first_block():
    world = a_world(1)
    assert world.stored("a", "b") == world.stored("b", "a") == 32
    world.run(50 * MS)
    assert world.enc("b1", "a1").keys[0].key != world.enc("a1", "b1").keys[0].key


def test_nothing_is_given_out_before_the_other_end_holds_the_block():
    world = a_world(0)
    world.call("a", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    world.run(1 * S)
    assert world.stored("a", "b") == 0
    world.call("b", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    world.run(1 * S)
    assert world.stored("a", "b") == 32


def test_a_block_that_never_comes_to_the_other_end_is_given_up():
    world = a_world(0)
    world.call("a", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    world.run(200 * S)
    assert world.account("a", "a-b").held_bits == 0
    world.call("b", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    assert world.account("a", "a-b").destroyed_bits == 8 * 2048
    world.run(1 * S)
    assert world.stored("b", "a") == 0
    world.check_ledgers()


def test_blocks_of_different_size_are_used_by_neither_end():
    world = a_world(0)
    world.call("a", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    world.run(1 * S)
    world.call("b", lambda kme: kme.add_block(a_block("a-b", 0, size_bytes=1024), world.now_ns))
    world.run(1 * S)
    assert world.stored("a", "b") == world.stored("b", "a") == 0
    assert world.account("a", "a-b").held_bits == world.account("b", "a-b").held_bits == 0
    world.check_ledgers()


@pytest.mark.parametrize("size", [64, 72, 128, 200, 256, 1000, 4096])
def test_keys_of_any_size_are_equal_at_both_ends(size):
    world = a_world()
    container = world.enc("a1", "b1", 3, size)
    world.run(50 * MS)
    world.dec("b1", "a1", ids(container))
    assert {key.key.size_bits for key in container.keys} == {size}
    world.check_ledgers()


def test_mixed_sizes_use_up_a_block_and_the_ledger_still_fits():
    world = a_world(1)
    given = []
    for size in [4096, 72, 4096, 264, 64, 1000, 2048, 4096] * 6:
        with suppress(KeyDeliveryError):
            given += ids(world.enc("a1", "b1", 1, size))
        world.run(20 * MS)
    world.dec("b1", "a1", given)
    world.check_ledgers()
    with suppress(KeyDeliveryError):
        while True:
            given = ids(world.enc("a1", "b1", 1, 64))
            world.run(20 * MS)
            world.dec("b1", "a1", given)
    # What is left is what b owns: the piece of a was used to its last usable byte, and erased.
    pieces = world.stores["a"].load().pieces
    assert [record.owner for record, _ in pieces if record.account == "a-b"] == ["b"]


def test_keys_shorter_than_a_left_over_use_up_a_piece_and_every_one_reaches_its_slave():
    """The last bytes of a piece, too few for a key of the default size, are destroyed with the key before them."""
    world = a_world()
    for number in (31, 100, 60):
        container = world.enc("a1", "b1", number, 72)
        world.run(50 * MS)
        world.dec("b1", "a1", ids(container))
    world.check_ledgers()


REFUSED = [
    # caller, slave, fields, status, message
    ("a1", "nobody", {}, 400, "not known"),
    ("nobody", "b1", {}, 401, "not registered"),
    ("b1", "a1", {}, 401, "not registered"),  # b1 belongs to another KME
    ("a2", "b1", {}, 401, "not permitted"),
    ("a1", "b1", {"number": 0}, 400, "number shall be"),
    ("a1", "b1", {"number": -1}, 400, "number shall be"),
    ("a1", "b1", {"number": 1_000_000_000}, 400, "number shall be"),
    ("a1", "b1", {"size": 257}, 400, SIZE_NOT_MULTIPLE),
    ("a1", "b1", {"size": 0}, 400, "size shall be between"),
    ("a1", "b1", {"size": -8}, 400, "size shall be between"),
    ("a1", "b1", {"size": 56}, 400, "size shall be between"),
    ("a1", "b1", {"size": 4104}, 400, "size shall be between"),
    ("a1", "b1", {"additional_slave_sae_ids": ["nobody"]}, 400, "not known"),
    ("a1", "b1", {"additional_slave_sae_ids": ["b1"]}, 400, "named twice"),
    ("a1", "b1", {"additional_slave_sae_ids": ["a2", "a2"]}, 400, "named twice"),
    ("a1", "b1", {"additional_slave_sae_ids": ["b2"]}, 401, "not permitted"),
    ("a1", "b1", {"additional_slave_sae_ids": [f"x{n}" for n in range(16)]}, 400, "at most 15"),
    ("a1", "b1", {"extension_mandatory": [{"vendor_x": 1}]}, 400, MANDATORY_UNKNOWN),
    ("a1", "b1", {"extension_mandatory": [{"qanat_route_type": "teleported"}]}, 400, MANDATORY_UNMET),
    ("a1", "b1", {"extension_mandatory": [{"qanat_route_type": 7}]}, 400, MANDATORY_UNMET),
    ("a1", "b1", {"extension_mandatory": [{"qanat_route_type": [["direct"]]}]}, 400, MANDATORY_UNMET),
    ("a1", "b1", {"extension_mandatory": [{"qanat_key_origin": "pqc"}]}, 400, MANDATORY_UNMET),
    ("a1", "b1", {"extension_mandatory": [{"qanat_route_type": "relayed"}]}, 400, MANDATORY_UNMET),
    ("a1", "a2", {"extension_mandatory": [{"qanat_key_origin": "qkd"}]}, 400, MANDATORY_UNMET),
]


@pytest.mark.parametrize(("caller", "slave", "fields", "status", "message"), REFUSED)
def test_a_wrong_request_is_refused_and_uses_no_key(caller, slave, fields, status, message):
    world = a_world()
    before = world.report("a")
    request = KeyRequest(**fields)
    with pytest.raises(KeyDeliveryError) as caught:
        world.call("a", lambda kme: kme.enc_keys(SaeId(caller), SaeId(slave), request, world.now_ns))
    assert caught.value.status_code == status
    assert message in caught.value.message
    assert world.report("a") == before


def test_an_empty_pool_answers_503_with_numbers_and_takes_nothing():
    world = a_world(1)
    with pytest.raises(KeyDeliveryError) as caught:
        world.enc("a1", "b1", 33)
    assert caught.value.status_code == 503
    assert caught.value.details == [{"available": 32, "requested": 33, "retry_after_ms": 1000}]
    assert caught.value.retry_after_ms == 1000
    assert world.stored("a", "b") == 32


def test_optional_extensions_are_ignored_and_direct_is_met():
    world = a_world()
    container = world.enc(
        "a1",
        "b1",
        extension_optional=[{"vendor_x": 1}],
        extension_mandatory=[{"qanat_route_type": "direct", "qanat_key_origin": "qkd"}],
    )
    assert container.keys[0].key_extension["qanat_links"] == ["a-b"]
    assert container.keys[0].key_extension["qanat_simulated"] is True


def test_optional_wishes_that_are_not_met_are_named_and_the_key_comes_all_the_same():
    world = a_world()
    container = world.enc(
        "a1",
        "b1",
        extension_optional=[
            {"vendor_x": 1, "qanat_route_type": "relayed"},
            {"qanat_key_origin": "qkd", "qanat_max_age": "soon"},
        ],
    )
    ignored = container.key_container_extension["qanat_ignored_optional"]
    assert ignored == ["vendor_x", "qanat_route_type", "qanat_max_age"]
    world.run(50 * MS)
    world.dec("b1", "a1", ids(container))


def test_an_optional_wish_that_can_be_met_is_met_and_not_mentioned():
    world = a_world(1)
    world.run(100 * S)
    world.distil("a-b")
    world.run(S)
    young = world.enc("a1", "b1", 30, extension_optional=[{"qanat_max_age": 50}])
    assert young.key_container_extension is msgspec.UNSET
    with pytest.raises(KeyDeliveryError) as caught:  # two left of the young block, and those of the old do not count
        world.enc("a1", "b1", 3, extension_mandatory=[{"qanat_max_age": 50}])
    assert (caught.value.status_code, caught.value.details[0]["available"]) == (503, 2)
    assert len(world.enc("a1", "b1", 34, extension_mandatory=[{"qanat_max_age": 200}]).keys) == 34


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "60", None, [60], 10**30])
def test_an_age_that_is_no_number_of_seconds_cannot_be_met(value):
    with pytest.raises(KeyDeliveryError, match=MANDATORY_UNMET):
        a_world().enc("a1", "b1", extension_mandatory=[{"qanat_max_age": value}])


def test_an_unknown_name_is_told_before_a_known_one_that_cannot_be_met():
    with pytest.raises(KeyDeliveryError, match=MANDATORY_UNKNOWN):
        a_world().enc("a1", "b1", extension_mandatory=[{"qanat_max_age": 0}, {"vendor_x": 1}])


def test_status_tells_what_is_there():
    world = a_world()
    status = world.call("a", lambda kme: kme.status(SaeId("a1"), SaeId("b1"), world.now_ns))
    told = msgspec.json.decode(encode(status))
    assert told == {
        "source_KME_ID": "a",
        "target_KME_ID": "b",
        "master_SAE_ID": "a1",
        "slave_SAE_ID": "b1",
        "key_size": 256,
        "stored_key_count": 64,
        "max_key_count": 62500,
        "max_key_per_request": 128,
        "max_key_size": 4096,
        "min_key_size": 64,
        "max_SAE_ID_count": 15,
    }
    world.enc("a1", "b1", 10)
    assert world.call("a", lambda kme: kme.status(SaeId("a1"), SaeId("b1"), 0)).stored_key_count == 54


def test_one_bad_id_in_a_list_takes_no_key():
    world = a_world()
    good = ids(world.enc("a1", "b1", 2))
    world.run(50 * MS)
    for bad in ([*good, uuid.uuid4()], [*good, good[0]], []):
        with pytest.raises(KeyDeliveryError) as caught:
            world.dec("b1", "a1", bad)
        assert caught.value.status_code == 400
    world.dec("b1", "a1", good)


def test_another_sae_is_told_401_and_an_unknown_id_400_with_the_same_hint():
    network = a_network(["a-b"], [("a1", "b1"), ("a1", "b2")])
    world = World(network)
    world.distil("a-b", 2)
    world.run(100 * MS)
    key_ids = ids(world.enc("a1", "b1"))
    world.run(50 * MS)
    with pytest.raises(KeyDeliveryError) as thief:
        world.dec("b2", "a1", key_ids)
    with pytest.raises(KeyDeliveryError) as guess:
        world.dec("b2", "a1", [uuid.uuid4()])
    assert (thief.value.status_code, guess.value.status_code) == (401, 400)
    assert thief.value.grant_pending is guess.value.grant_pending is True
    world.dec("b1", "a1", key_ids)


def test_a_key_asked_for_before_its_grant_came_is_pending():
    world = a_world()
    key_ids = ids(world.enc("a1", "b1"))
    with pytest.raises(KeyDeliveryError) as caught:
        world.dec("b1", "a1", key_ids)
    assert caught.value.grant_pending
    world.run(50 * MS)
    world.dec("b1", "a1", key_ids)
    with pytest.raises(KeyDeliveryError) as caught:
        world.dec("b1", "a1", key_ids)
    assert not caught.value.grant_pending


def test_the_master_cannot_fetch_its_own_key_again():
    world = a_world()
    key_ids = ids(world.enc("a1", "b1"))
    world.run(50 * MS)
    with pytest.raises(KeyDeliveryError):
        world.dec("a1", "b1", key_ids)
    with pytest.raises(KeyDeliveryError):
        world.dec("a1", "a1", key_ids)


@pytest.mark.parametrize(("master", "slave"), [("a1", "a1"), ("a1", "a2")])
def test_two_saes_of_one_site_share_keys_that_say_so(master, slave):
    world = a_world(0)
    container = world.enc(master, slave, 3, 512)
    world.dec(slave, master, ids(container))
    assert container.keys[0].key_extension["qanat_key_origin"] == "local"
    assert container.keys[0].key_extension["qanat_route_type"] == "local"
    with pytest.raises(KeyDeliveryError):
        world.dec(slave, master, ids(container))
    world.check_ledgers()


def test_a_key_nobody_fetches_expires():
    world = a_world()
    early, late = (ids(world.enc("a1", "b1")) for _ in range(2))
    world.run(S)
    world.now_ns += 24 * 3600 * S + S
    with pytest.raises(KeyDeliveryError) as caught:
        world.dec("b1", "a1", early)
    assert caught.value.details == [{"reason": "expired"}]
    world.run(20 * S)
    with pytest.raises(KeyDeliveryError, match=NOT_FOUND):
        world.dec("b1", "a1", late)
    world.check_ledgers()
    assert world.account("b", "a-b").expired_bits >= 2 * 256


def test_simulated_key_is_refused_where_the_network_is_no_simulation():
    world = a_world(0, is_simulation=False)
    with pytest.raises(SimulatedKeyRefused):
        world.call("a", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    assert world.report("a").links[0].held_bits == 0
    assert world.call("a", lambda kme: kme.add_block(a_block("a-b", 0, simulated=False), world.now_ns))


def test_a_block_is_taken_once_even_after_a_restart():
    world = a_world(1)
    world.restart("a")
    assert not world.call("a", lambda kme: kme.add_block(a_block("a-b", 0), world.now_ns))
    assert world.account("a", "a-b").made_bits == 8 * 2048


def test_a_full_store_refuses_and_counts():
    world = a_world(0, policy=Policy(store_bits_max=20_000))
    world.distil("a-b", 2)
    assert [event.reason for event in world.of_kind("a", BlockRefused)] == [
        "the store holds up to 20000 bits of one link and is full"
    ]
    assert world.account("a", "a-b").destroyed_bits == 8 * 2048
    world.check_ledgers()


def test_an_unreachable_peer_does_not_stop_delivery():
    world = a_world()
    world.wire.cut.add(frozenset("ab"))
    container = world.enc("a1", "b1", 4)
    world.run(30 * S)
    world.wire.cut.clear()
    world.run(10 * S)
    world.dec("b1", "a1", ids(container))


def test_a_pause_refuses_new_blocks_at_both_ends_and_keeps_old_ones():
    world = a_world(1)
    world.command(Action.PAUSE_LINK, link="a-b")
    world.distil("a-b")
    world.run(S)
    assert world.stored("a", "b") == 32
    world.command(Action.RESUME_LINK, link="a-b", since_ns=3 * S)
    world.distil("a-b")  # link second 2: before the link was good again
    world.distil("a-b")  # link second 3
    world.run(S)
    assert world.stored("a", "b") == 64
    reasons = [event.reason for event in world.of_kind("a", BlockRefused)]
    assert reasons == ["the link is paused", "it began before the link was re-qualified"]


def test_nonsense_from_a_peer_becomes_an_event():
    world = a_world()
    frames = [b"", b"\xff" * 100, b"\x00", msgspec.msgpack.encode([1, b"x", 0, 0, [b"junk"], b"", 0])]
    for frame in frames:
        world.call("a", lambda kme, f=frame: kme.receive("b", f, world.now_ns))
        world.call("a", lambda kme, f=frame: kme.receive("nobody", f, world.now_ns))
    assert len(world.of_kind("a", PeerMisbehaved)) >= 7
    assert world.enc("a1", "b1").keys


def test_left_overs_shorter_than_a_key_do_not_fill_the_store():
    """Keys of 4096 bits leave an end of each piece unused; it is destroyed and counted, not kept for ever."""
    world = a_world(0, policy=Policy(key_size_bits=4096))
    world.distil("a-b", 4, size_bytes=2100)
    world.run(100 * MS)
    taken = 0
    with suppress(KeyDeliveryError):
        while True:
            container = world.enc("a1", "b1", 1)
            world.run(50 * MS)
            world.dec("b1", "a1", ids(container))
            taken += 1
    world.run(100 * MS)
    own = [piece for piece in world.kmes["a"]._c.books.pieces.values() if piece.record.owner == "a"]
    assert taken > 0
    assert [piece.remaining_bytes for piece in own if piece.remaining_bytes < 512] == []
    world.check_ledgers()
