"""Key relay over one to four nodes between, with everything that can go wrong on the way."""

import msgspec
import pytest
from tests.km.pairing import MS, S, World, a_chain, a_network, ids

from qanat.core.alarms import Action
from qanat.core.secret import SecretBits
from qanat.core.topology import Policy
from qanat.km.documents import KeyDeliveryError
from qanat.km.events import KeysQuarantined, PeerMisbehaved, RelayCompleted, RelayForwarded, RelayLost
from qanat.km.messages import Hop, encoded, frame_from_bytes, header_from_bytes, message_from_bytes


def a_world(hops: int = 2, blocks: int = 3, **changes) -> World:
    world = World(a_chain(hops, **changes))
    world.run(10 * MS)
    for link in world.network.links:
        world.distil(link, blocks)
    world.route("a", "abcdefgh"[hops], *world.network.links)
    world.run(S)
    return world


@pytest.mark.parametrize("hops", [2, 3, 4, 5])
def test_a_relayed_key_names_every_trusted_node(hops):
    world = a_world(hops)
    end = "abcdefgh"[hops]
    container = world.enc("a1", f"{end}1", 4)
    world.run(100 * MS)
    at_slave = world.dec(f"{end}1", "a1", ids(container))
    for key in [*container.keys, *at_slave.keys]:
        assert key.key_extension["qanat_trusted_nodes"] == list("abcdefgh"[1:hops])
        assert key.key_extension["qanat_links"] == list(world.network.links)
        assert key.key_extension["qanat_route_type"] == "relayed"
        assert key.key_extension["qanat_epsilon_total"] >= hops * 1e-10 * 0.999
        assert key.key_extension["qanat_simulated"] is True
    back = world.enc(f"{end}1", "a1", 4)
    world.run(100 * MS)
    world.dec("a1", f"{end}1", ids(back))
    world.check_ledgers()


def test_the_buffer_is_kept_at_both_ends_and_refilled():
    world = a_world()
    assert (world.stored("a", "c"), world.stored("c", "a")) == (16, 16)
    world.enc("a1", "c1", 16)
    world.run(S)
    assert world.stored("a", "c") == 16


def test_every_hop_spends_the_same_bits_at_both_ends():
    world = a_world(3)
    for link in world.network.links:
        left, right = link.split("-")
        spent = world.account(left, link).spent_bits
        assert spent == world.account(right, link).spent_bits > 0
    sizes = [event.size_bits for site in "ad" for event in world.of_kind(site, RelayCompleted)]
    # Per relay and hop: the keys, the confirmation key and the tag key.
    assert world.account("b", "a-b").spent_bits == sum(sizes) + len(sizes) * (256 + 256)
    world.check_ledgers()


def test_no_relayed_key_bit_appears_in_any_frame_or_at_a_node_between():
    world = a_world()
    container = world.enc("a1", "c1", 8)
    everything = b"".join(frame for _, _, frame in world.sent)
    between = b"".join(
        world.stores["b"].read_bits(record.piece).reveal() for record, _ in world.stores["b"].load().pieces
    )
    for key in container.keys:
        assert key.key.reveal() not in everything
        assert key.key.reveal() not in between
    assert world.of_kind("b", RelayForwarded)


def hops_sent(world: World, source: str) -> list[tuple[str, bytes, int, Hop]]:
    found = []
    for sender, target, data in world.sent:
        if sender == source:
            for index, message in enumerate(frame_from_bytes(data).messages):
                if isinstance(hop := message_from_bytes(message), Hop):
                    found.append((target, data, index, hop))
    return found


def test_no_pad_or_tag_bit_is_used_twice():
    world = a_world(3)
    used: dict[tuple[str, int], tuple] = {}
    for site in "abcd":
        for _, _, _, hop in hops_sent(world, site):
            header = header_from_bytes(hop.header)
            for part in (header.tag_key, *header.pads):
                for offset in range(part.offset, part.offset + part.size_bytes):
                    owner = used.setdefault((part.piece, offset), (header.relay, part))
                    assert owner == (header.relay, part)


def test_a_replayed_hop_has_no_effect():
    world = a_world()
    before = world.account("b", "a-b")
    for target, data, _, _ in hops_sent(world, "a"):
        world.call(target, lambda kme, d=data: kme.receive("a", d, world.now_ns))
    assert world.account("b", "a-b") == before
    world.run(S)
    world.check_ledgers()


def forge(world: World, change) -> None:
    """Send b a changed copy of a hop that a has sent, numbered as the next message."""
    target, data, _index, hop = hops_sent(world, "a")[-1]
    frame = frame_from_bytes(data)
    number = max(
        frame_from_bytes(d).number + len(frame_from_bytes(d).messages)
        for s, t, d in world.sent
        if s == "a" and t == target
    )
    forged = msgspec.structs.replace(frame, number=number, oldest=number, messages=[encoded(change(hop))])
    world.call(target, lambda kme: kme.receive("a", encoded(forged), world.now_ns))


def with_header(hop: Hop, **changes) -> Hop:
    return Hop(encoded(msgspec.structs.replace(header_from_bytes(hop.header), **changes)), hop.sealed)


def moved(header, by: int):
    """The same ranges, further on in their pieces: unspent bytes."""
    return {
        "tag_key": msgspec.structs.replace(header.tag_key, offset=header.tag_key.offset + by),
        "pads": tuple(msgspec.structs.replace(part, offset=part.offset + by) for part in header.pads),
    }


FORGED = {
    "the same again": lambda hop: hop,
    "a changed tag": lambda hop: Hop(hop.header, hop.sealed[:-1] + bytes([hop.sealed[-1] ^ 1])),
    "fresh pads, wrong tag": lambda hop: with_header(hop, **moved(header_from_bytes(hop.header), 400)),
    "another target": lambda hop: with_header(hop, target="b"),
    "a target nowhere": lambda hop: with_header(hop, target="zz"),
    "an origin nowhere": lambda hop: with_header(hop, origin="zz"),
    "no trail": lambda hop: with_header(hop, trail=()),
    "an unknown link": lambda hop: with_header(hop, route=("a-b", "zz")),
    "a loop": lambda hop: with_header(hop, route=("a-b", "a-b", "a-b", "b-c")),
    "an endless route": lambda hop: with_header(hop, route=("a-b", "b-c") * 50),
    "no pads": lambda hop: with_header(hop, pads=()),
    "a huge size": lambda hop: with_header(hop, size_bytes=2**50),
    "a name of no relay": lambda hop: with_header(hop, relay="a-b/1/0"),
    "nonsense": lambda hop: Hop(b"\x93\x01", hop.sealed),
    "an empty hop": lambda hop: Hop(b"", b""),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_hop_is_refused_and_told(what):
    world = a_world()
    before = [world.account(site, link) for site in "bc" for link in ("b-c",)]
    world.events["b"].clear()
    forge(world, FORGED[what])
    assert world.of_kind("b", PeerMisbehaved)
    assert [world.account(site, link) for site in "bc" for link in ("b-c",)] == before
    world.check_ledgers()


def test_a_node_that_is_not_trusted_relays_nothing():
    world = a_world(2, distrusted=("b",))
    assert world.stored("a", "c") == 0
    assert not world.of_kind("b", RelayForwarded)


def test_a_node_without_key_for_the_next_hop_says_so_and_is_tried_again():
    world = World(a_chain(2))
    world.distil("a-b", 20)
    world.route("a", "c", "a-b", "b-c")
    world.run(2 * S)
    assert "too little key on link b-c" in world.of_kind("a", RelayLost)[0].reason
    assert 2 <= len(world.of_kind("a", RelayLost)) <= 40  # pauses grow: key of the first link is not burned for nothing
    world.distil("b-c", 3)
    world.run(5 * S)
    assert world.stored("a", "c") == 16
    world.check_ledgers()


def test_a_relay_without_confirmation_is_given_up_at_both_ends():
    world = a_world(2, blocks=5)
    world.wire.cut.add(frozenset("ac"))  # the way back
    world.enc("a1", "c1", 16)
    world.run(7 * S)
    assert world.of_kind("a", RelayLost)
    assert world.stored("a", "c") == 0
    world.wire.cut.clear()
    world.run(20 * S)
    assert world.stored("a", "c") == 16
    held = [pair.incoming_keys for pair in world.report("c").pairs if pair.peer == "a"]
    assert held == [16]
    world.check_ledgers()


def a_diamond() -> World:
    world = World(a_network(["a-b", "b-d", "a-c", "c-d"], [("a1", "d1")]))
    for link in world.network.links:
        world.distil(link, 3)
    world.route("a", "d", "a-b", "b-d")
    world.run(S)
    return world


def test_a_new_route_serves_at_once_while_the_old_one_is_stuck():
    world = a_diamond()
    world.wire.cut.add(frozenset("bd"))
    world.enc("a1", "d1", 16)
    world.run(S)
    assert world.stored("a", "d") == 0
    world.route("a", "d", "a-c", "c-d")
    world.run(500 * MS)
    container = world.enc("a1", "d1", 4)
    assert container.keys[0].key_extension["qanat_trusted_nodes"] == ["c"]


def test_a_link_of_its_own_can_be_given_a_route_around():
    world = World(a_network(["a-b", "a-c", "c-b"], [("a1", "b1")]))
    for link in ("a-c", "c-b"):
        world.distil(link, 3)
    world.command(Action.PAUSE_LINK, link="a-b")
    world.route("a", "b", "a-c", "c-b")
    world.run(S)
    container = world.enc("a1", "b1", 2)
    world.run(100 * MS)
    world.dec("b1", "a1", ids(container))
    assert container.keys[0].key_extension["qanat_route_type"] == "relayed"
    with pytest.raises(KeyDeliveryError) as caught:
        world.enc("a1", "b1", extension_mandatory=[{"qanat_route_type": "direct"}])
    assert caught.value.status_code == 503  # the link may come back


def test_a_quarantine_takes_direct_and_relayed_keys_that_rest_on_the_link():
    world = a_diamond()
    key_ids = ids(world.enc("a1", "d1", 4))
    world.run(100 * MS)
    held = world.account("d", "relay/a").held_bits
    world.command(Action.QUARANTINE, link="b-d", since_ns=0)
    assert world.stored("a", "d") == 0
    assert world.of_kind("a", KeysQuarantined)[-1].count == 32  # 16 to give out, 16 for masters at d
    assert world.account("d", "relay/a").compromised_bits == held > 0
    with pytest.raises(KeyDeliveryError):
        world.dec("d1", "a1", key_ids)  # given to the master, but not to the slave any more
    assert world.account("b", "b-d").held_bits == world.account("d", "b-d").held_bits == 0
    assert world.account("a", "a-b").held_bits > 0
    world.run(10 * S)
    assert world.stored("a", "d") == 0
    world.check_ledgers()


def test_a_quarantine_spares_blocks_that_ended_before():
    world = World(a_chain(1))
    world.distil("a-b", 4)  # link seconds 0 to 3
    world.run(S)
    world.command(Action.QUARANTINE, link="a-b", since_ns=2 * S)
    assert world.stored("a", "b") == 64
    assert world.of_kind("a", KeysQuarantined)[0].piece_count == 4
    world.distil("a-b", start_ns=1 * S)  # late, but from before
    world.distil("a-b", start_ns=5 * S)  # still under the alarm
    world.run(S)
    assert world.stored("a", "b") == 96
    world.command(Action.RESUME_LINK, link="a-b", since_ns=7 * S)
    world.distil("a-b", start_ns=6 * S)
    world.distil("a-b", start_ns=7 * S)
    world.run(S)
    assert world.stored("a", "b") == 128
    world.check_ledgers()


def test_a_quarantine_at_one_end_reaches_the_other_without_a_command():
    world = a_diamond()
    world.command(Action.QUARANTINE, "b", link="b-d", since_ns=0)
    world.run(S)
    assert world.account("d", "b-d").held_bits == 0
    assert world.account("d", "b-d").compromised_bits > 0
    world.check_ledgers()


def test_a_relay_on_its_way_when_the_alarm_comes_is_not_used():
    world = World(a_chain(2))
    for link in world.network.links:
        world.distil(link, 3)
    world.run(S)
    world.wire.cut.add(frozenset("ac"))
    world.route("a", "c", "a-b", "b-c")
    world.run(100 * MS)
    assert world.account("c", "relay/a").held_bits > 0
    world.command(Action.QUARANTINE, "a", link="b-c", since_ns=0)  # a does not end this link, but rests on it
    world.wire.cut.clear()
    world.run(10 * S)
    assert world.stored("a", "c") == 0
    assert not world.of_kind("a", RelayCompleted)
    assert world.account("c", "relay/a").compromised_bits > 0
    world.check_ledgers()


def test_an_old_command_is_ignored_even_after_a_restart():
    world = a_diamond()
    world.command(Action.PAUSE_LINK, link="a-b")
    world.restart("a")
    world._revision = 0
    world.command(Action.RESUME_LINK, "a", link="a-b", since_ns=0)
    assert world.report("a").links[0].is_paused


def test_a_restart_remembers_routes_and_finishes_relays():
    world = World(a_chain(2))
    for link in world.network.links:
        world.distil(link, 3)
    world.run(S)
    world.route("a", "c", "a-b", "b-c")
    world.call("a", lambda kme: kme.on_deadline(world.now_ns))
    for site in "abc":
        world.restart(site)
    world.run(10 * S)
    assert world.stored("a", "c") >= 16
    world.check_ledgers()


def test_keys_in_store_are_limited_by_policy():
    world = a_world(2, blocks=20, policy=Policy(buffer_keys=256, store_bits_max=400_000))
    assert world.stored("a", "c") == 256
    assert isinstance(world.enc("a1", "c1").keys[0].key, SecretBits)


@pytest.mark.parametrize(("told", "stored"), [("abcd", 16), ("bd", 0)])
def test_a_link_returns_to_relays_at_the_sites_that_were_told_of_it(told, stored):
    """A quarantine goes to every site, so its end must: sites in the middle of nowhere judge trails too."""
    world = a_diamond()
    world.command(Action.QUARANTINE, link="b-d", since_ns=0)
    world.command(Action.RESUME_LINK, *told, link="b-d", since_ns=100 * S)
    world.distil("b-d", 2, start_ns=100 * S)
    world.run(20 * S)
    assert world.stored("a", "d") == stored
    assert world.report("b").link_bits["b-d"] > 0
    world.check_ledgers()
