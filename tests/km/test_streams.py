"""Key streams (ETSI 004) between two KMEs in virtual time: same index, same key, once per application."""

from __future__ import annotations

import random
import uuid

import pytest
from tests.km.pairing import MS, S, World, a_chain, a_network, ids, survived

from qanat.core.alarms import Action
from qanat.core.ids import KeyId, LinkId, SaeId
from qanat.km.documents import KeyDeliveryError
from qanat.km.kme import SWEEP_NS
from qanat.km.stream_chunks import AHEAD_MAX, chunk_name
from qanat.km.stream_types import Chunk, StreamOpened, StreamQos, StreamRefused, StreamStatus
from qanat.km.streams import ALONE_NS, STREAMS_PER_SAE_MAX

QOS = StreamQos(chunk_bytes=32, bps_max=10_000_000, bps_min=0, mimetype="application/json")
A, B = "a1", "b1"


def a_pair(**changes) -> World:
    world = World(a_network(["a-b"], [("a1", "b1"), ("a1", "a2"), ("a2", "b2")], **changes))
    world.distil("a-b", 4)
    world.run(S)
    return world


def opened(world: World, sae: str, other: str, stream: KeyId | None = None, qos: StreamQos = QOS) -> StreamOpened:
    return world.call(sae[0], lambda kme: kme.open_stream(SaeId(sae), SaeId(other), qos, stream, world.now_ns))


def get(world: World, sae: str, stream: KeyId, index: int | None = None, patience: int = 20) -> Chunk:
    """As a host does: ask again while the chunk may come."""
    for _ in range(patience):
        found = world.call(sae[0], lambda kme: kme.get_chunk(SaeId(sae), stream, index, 1024, world.now_ns))
        if isinstance(found, Chunk):
            return found
        if not found.is_pending:
            break
        world.run(20 * MS)
    raise found


def both(world: World, qos: StreamQos = QOS) -> KeyId:
    first = opened(world, A, B, qos=qos)
    world.run(10 * MS)
    assert opened(world, B, A, first.stream, qos).status is StreamStatus.OK
    world.run(10 * MS)
    return first.stream


def refused(world: World, sae: str, stream: KeyId, index: int | None = None) -> StreamStatus:
    with pytest.raises(StreamRefused) as caught:
        get(world, sae, stream, index, patience=10)
    return caught.value.status


@pytest.mark.parametrize("first", [A, B])
def test_both_ends_get_the_same_key_for_the_same_index(first: str) -> None:
    world = a_pair()
    other = B if first == A else A
    answer = opened(world, first, other)
    assert answer.status is StreamStatus.PEER_NOT_CONNECTED
    assert refused(world, first, answer.stream) is StreamStatus.PEER_NOT_CONNECTED_GET_KEY
    world.run(10 * MS)
    assert opened(world, other, first, answer.stream).status is StreamStatus.OK
    world.run(10 * MS)
    ones = [get(world, first, answer.stream) for _ in range(5)]
    twos = [get(world, other, answer.stream) for _ in range(5)]
    assert [chunk.index for chunk in ones] == [chunk.index for chunk in twos] == [0, 1, 2, 3, 4]
    assert all(one.bits == two.bits and one.bits.size_bits == 256 for one, two in zip(ones, twos, strict=True))
    assert len({chunk.bits.reveal() for chunk in ones}) == 5
    assert ones[0].provenance.links == (LinkId("a-b"),)
    world.check_ledgers()


@pytest.mark.parametrize("sae", [A, B])
def test_an_index_is_given_once_and_may_come_out_of_order(sae: str) -> None:
    world = a_pair()
    stream = both(world)
    chunk = get(world, sae, stream, 7)
    assert refused(world, sae, stream, 7) is StreamStatus.INSUFFICIENT_KEY
    other = B if sae == A else A
    assert [get(world, other, stream, index).index for index in (3, 0, 7, 1)] == [3, 0, 7, 1]
    assert get(world, sae, stream, None).index == 0
    assert chunk.index == 7


def test_two_that_open_one_name_at_the_same_moment_share_one_stream() -> None:
    world, name = a_pair(), uuid.uuid4()
    small, large = QOS, StreamQos(chunk_bytes=64, bps_max=10_000_000, bps_min=0)
    opened(world, A, B, name, large)
    opened(world, B, A, name, small)
    world.run(50 * MS)
    ones, twos = [[get(world, sae, name, index) for index in range(3)] for sae in (B, A)]
    assert all(one.bits == two.bits and one.bits.size_bytes == 32 for one, two in zip(ones, twos, strict=True))


def test_a_name_in_use_is_refused_to_everybody_else() -> None:
    world = a_pair()
    stream = both(world)
    for sae, other in ((A, B), (B, A), ("a2", "b2"), ("b2", "a2")):
        with pytest.raises(StreamRefused) as caught:
            opened(world, sae, other, stream)
        assert caught.value.status is StreamStatus.KSID_IN_USE
    assert refused(world, "a2", stream) is StreamStatus.NO_QKD_CONNECTION
    with pytest.raises(StreamRefused):
        world.call("b", lambda kme: kme.close_stream(SaeId("b2"), stream))


@pytest.mark.parametrize(("sae", "other"), [("a1", "a2"), ("a1", "a1"), ("a1", "b2"), ("a1", "z9"), ("b1", "b1")])
def test_no_stream_without_a_qkd_connection_or_permission(sae: str, other: str) -> None:
    with pytest.raises(StreamRefused) as caught:
        opened(a_pair(), sae, other)
    assert caught.value.status is StreamStatus.NO_QKD_CONNECTION


@pytest.mark.parametrize(
    ("wish", "chunk_bytes", "bps_min"),
    [
        ({"chunk_bytes": 4096}, 512, 0),
        ({"chunk_bytes": 1}, 8, 0),
        ({"chunk_bytes": 32, "bps_min": 1_000_000}, 32, 256),
    ],
)
def test_a_quality_that_cannot_be_met_brings_a_counter_proposal_that_can(
    wish: dict[str, int], chunk_bytes: int, bps_min: int
) -> None:
    world = a_pair()
    with pytest.raises(StreamRefused) as caught:
        opened(world, A, B, qos=StreamQos(**({"bps_max": 10_000, "bps_min": 0} | wish)))
    assert caught.value.status is StreamStatus.QOS_NOT_MET
    proposal = caught.value.qos
    assert proposal is not None
    assert (proposal.chunk_bytes, proposal.bps_min) == (chunk_bytes, bps_min)
    assert opened(world, A, B, qos=proposal).status is StreamStatus.PEER_NOT_CONNECTED


def test_nobody_gets_more_bits_per_second_than_was_agreed() -> None:
    world = a_pair()
    stream = both(world, StreamQos(chunk_bytes=32, bps_max=512, bps_min=0))
    start_ns, got = world.now_ns, 0
    while world.now_ns - start_ns < 5 * S:
        found = world.call("a", lambda kme: kme.get_chunk(SaeId(A), stream, None, 1024, world.now_ns))
        got += isinstance(found, Chunk)
        world.run(50 * MS)
    assert 9 <= got <= 13  # two a second, and a second in hand


def test_a_jump_beyond_the_window_takes_nothing() -> None:
    world = a_pair()
    stream = both(world)
    stored = world.stored("a", "b")
    assert refused(world, A, stream, AHEAD_MAX + 1) is StreamStatus.INSUFFICIENT_KEY
    assert world.stored("a", "b") == stored
    assert get(world, A, stream, AHEAD_MAX - 1).index == AHEAD_MAX - 1


def test_an_application_that_takes_nothing_holds_back_a_bounded_amount() -> None:
    world = a_pair()
    stream = both(world)
    for index in range(3 * AHEAD_MAX):
        try:
            get(world, B, stream, index, patience=4)
        except StreamRefused:
            break
    assert index == AHEAD_MAX
    assert get(world, A, stream).index == 0
    assert get(world, B, stream, index, patience=40).index == index


def test_closing_destroys_what_was_not_taken_at_both_ends() -> None:
    world = a_pair()
    stream = both(world)
    get(world, A, stream, 9)
    world.run(50 * MS)
    assert world.report("b").pairs[0].granted_keys >= 10
    world.call("b", lambda kme: kme.close_stream(SaeId(B), stream))
    world.run(50 * MS)
    for site, sae in (("a", A), ("b", B)):
        assert next(pair for pair in world.report(site).pairs if pair.peer != site).granted_keys == 0
        assert refused(world, sae, stream) is StreamStatus.NO_QKD_CONNECTION
    world.check_ledgers()


def test_chunks_left_longer_than_the_time_to_live_are_destroyed() -> None:
    world = a_pair()
    stream = both(world, StreamQos(chunk_bytes=32, bps_max=10_000_000, bps_min=0, ttl_s=60))
    get(world, A, stream, 3)
    world.run(80 * S)
    for sae in (A, B):
        assert refused(world, sae, stream, 2) is StreamStatus.INSUFFICIENT_KEY
    assert get(world, A, stream, 4).bits == get(world, B, stream, 4).bits


def test_a_chunk_is_one_key_for_all_interfaces() -> None:
    world = a_pair()
    stream = both(world)
    chunk = get(world, A, stream, 0)
    world.run(50 * MS)
    key = world.call("b", lambda kme: kme.dec_keys(SaeId(B), SaeId(A), [chunk_name(stream, 0)], world.now_ns)).keys[0]
    assert key.key == chunk.bits
    assert refused(world, B, stream, 0) is StreamStatus.INSUFFICIENT_KEY
    with pytest.raises(KeyDeliveryError):
        world.call("b", lambda kme: kme.dec_keys(SaeId("b2"), SaeId("a2"), [chunk_name(stream, 0)], world.now_ns))
    (sent,) = ids(world.enc("a1", "b1"))
    world.run(50 * MS)
    assert world.dec("b1", "a1", [sent]).keys[0].key != chunk.bits


def test_quarantine_takes_chunks_back_before_they_are_given() -> None:
    world = a_pair()
    stream = both(world)
    get(world, A, stream, 5)
    world.run(50 * MS)
    world.command(Action.QUARANTINE, link=LinkId("a-b"), since_ns=0)
    world.run(S)
    for sae in (A, B):
        for index in range(5):
            assert refused(world, sae, stream, index) is StreamStatus.INSUFFICIENT_KEY


def test_too_little_room_for_metadata_costs_no_chunk() -> None:
    world = a_pair()
    stream = both(world)
    found = world.call("a", lambda kme: kme.get_chunk(SaeId(A), stream, 0, 100, world.now_ns))
    assert isinstance(found, StreamRefused)
    assert (found.status, found.metadata_bytes) == (StreamStatus.METADATA_SIZE_INSUFFICIENT, 1024)
    assert get(world, A, stream, 0).has_metadata


def test_a_stream_over_trusted_nodes_names_them() -> None:
    world = World(a_chain(2))
    for link in ("a-b", "b-c"):
        world.distil(link, 6)
    world.route("a", "c", "a-b", "b-c")
    world.run(3 * S)
    first = opened(world, "a1", "c1")
    world.run(20 * MS)
    opened(world, "c1", "a1", first.stream)
    world.run(20 * MS)
    one, two = get(world, "a1", first.stream), get(world, "c1", first.stream)
    assert one.bits == two.bits
    assert one.provenance.trusted_nodes == ("b",)


@pytest.mark.parametrize("seed", range(12))
def test_no_schedule_of_losses_and_crashes_gives_an_index_twice_or_differently(seed: int) -> None:
    rng = random.Random(seed)
    world = a_pair()
    world.distil("a-b", 12)
    world.wire.fate = lambda: [rng.choice((1, 5, 40)) * MS for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    stream = uuid.UUID(int=rng.getrandbits(128), version=4)
    for sae, other in ((A, B), (B, A)):
        opened(world, sae, other, stream)
        world.run(rng.choice((0, 5, 60)) * MS)
    given: dict[str, dict[int, bytes]] = {A: {}, B: {}}
    for _ in range(250):
        sae = rng.choice((A, B))
        index = rng.choice((None, None, rng.randrange(60)))
        if rng.random() < 0.1:
            world.stores[rng.choice("ab")].crash_at_commit(rng.randrange(4))
        with survived():
            found = world.call(
                sae[0], lambda kme, s=sae, i=index: kme.get_chunk(SaeId(s), stream, i, 1024, world.now_ns)
            )
            if isinstance(found, Chunk):
                assert found.index not in given[sae], f"seed {seed}: index {found.index} came twice"
                given[sae][found.index] = found.bits.reveal()
        world.run(rng.choice((0, 5, 60)) * MS)
    world.wire.fate = lambda: [1 * MS]
    world.run(10 * S)
    common = set(given[A]) & set(given[B])
    assert common, f"seed {seed}: nothing was compared"
    assert all(given[A][index] == given[B][index] for index in common), f"seed {seed}"
    for sae, other in ((A, B), (B, A)):  # what one end was given, the other still can take
        for index in set(given[other]) - set(given[sae]):
            assert get(world, sae, stream, index).bits.reveal() == given[other][index]
    world.check_ledgers()


# --- push mode


def push(world: World, sae: str, stream: KeyId, index: int = 0) -> StreamRefused | None:
    return world.call(sae[0], lambda kme: kme.start_push(SaeId(sae), stream, index))


def next_pushed(world: World, site: str, stream: KeyId) -> Chunk:
    for _ in range(20):
        found = world.call(site, lambda kme: kme.next_pushed(stream, world.now_ns))
        if isinstance(found, Chunk):
            return found
        if not found.is_pending:
            break
        world.run(20 * MS)
    raise found


@pytest.mark.parametrize("sae", [A, B])
@pytest.mark.parametrize("start", [0, 5, AHEAD_MAX - 1])
def test_chunks_are_pushed_from_the_index_that_was_asked_for(sae: str, start: int) -> None:
    world = a_pair()
    stream, other = both(world), B if sae == A else A
    assert push(world, sae, stream, start) is None
    for index in range(start, start + 10):
        chunk = next_pushed(world, sae[0], stream)
        assert chunk.index == index
        assert get(world, other, stream, index).bits == chunk.bits
    if start:
        assert get(world, sae, stream, 0).index == 0  # what stands before it stays to be taken
    assert refused(world, sae, stream, start) is StreamStatus.INSUFFICIENT_KEY
    world.check_ledgers()


def test_one_application_cannot_take_all_streams_of_its_kme() -> None:
    world = a_pair()
    for _ in range(STREAMS_PER_SAE_MAX):
        stream = opened(world, A, B).stream
    with pytest.raises(StreamRefused, match="of one SAE") as caught:
        opened(world, A, B)
    assert caught.value.is_ours
    opened(world, "a2", "b2")
    world.run(S)
    opened(world, B, A, stream)  # what the other side opened counts there
    opened(world, B, A)
    world.call("a", lambda kme: kme.close_stream(SaeId(A), stream))
    opened(world, A, B)


def test_nothing_is_pushed_that_nobody_asked_for() -> None:
    world = a_pair()
    stream = opened(world, A, B).stream
    early = push(world, A, stream)
    assert early is not None
    assert (early.status, early.is_pending) == (StreamStatus.PEER_NOT_CONNECTED_GET_KEY, True)
    world.run(10 * MS)
    opened(world, B, A, stream)
    world.run(10 * MS)
    for sae, index, status in (
        ("a2", 0, StreamStatus.NO_QKD_CONNECTION),
        (A, AHEAD_MAX, StreamStatus.INSUFFICIENT_KEY),
    ):
        told = push(world, sae, stream, index)
        assert told is not None
        assert (told.status, told.is_pending) == (status, False)
    for site in "ab":
        assert world.call(site, lambda kme: kme.pushed_streams()) == []
        with pytest.raises(StreamRefused):
            next_pushed(world, site, stream)


def test_what_is_pushed_is_known_after_a_restart_and_ends_with_the_stream() -> None:
    world = a_pair()
    stream = both(world)
    push(world, A, stream)
    first = next_pushed(world, "a", stream)
    world.restart("a")
    world.run(S)
    assert world.call("a", lambda kme: kme.pushed_streams()) == [(SaeId(A), stream)]
    assert next_pushed(world, "a", stream).index == first.index + 1
    world.call("b", lambda kme: kme.close_stream(SaeId(B), stream))
    world.run(10 * MS)
    assert world.call("a", lambda kme: kme.pushed_streams()) == []
    assert world.call("a", lambda kme: kme.pushed_since(stream)) is None


def test_a_join_without_a_chunk_size_takes_the_one_there_is() -> None:
    world = a_pair()
    stream = opened(world, A, B).stream
    world.run(10 * MS)
    joined = opened(world, B, A, stream, StreamQos(chunk_bytes=0, bps_max=0, bps_min=0))
    assert (joined.status, joined.qos.chunk_bytes) == (StreamStatus.OK, 32)


def test_a_stream_that_nobody_joins_for_a_day_is_closed_at_both_ends_and_one_that_has_both_ends_is_not() -> None:
    world = a_pair()
    joined, alone = both(world), opened(world, B, A).stream
    world.run(10 * MS)
    world.run(ALONE_NS - S)
    assert refused(world, B, alone) is StreamStatus.PEER_NOT_CONNECTED_GET_KEY
    world.run(3 * SWEEP_NS)
    assert refused(world, B, alone) is StreamStatus.NO_QKD_CONNECTION
    assert opened(world, A, B, alone).status is StreamStatus.PEER_NOT_CONNECTED, "a new stream of that name"
    assert {"a", "b"} == {site for site in "ab" if world.call(site, lambda kme: kme.has_both_ends(joined))}
