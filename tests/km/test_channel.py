"""The numbered channel between two KMEs, and peers that lie on it."""

import uuid

import msgspec
import pytest
from tests.km.pairing import MS, CountingEntropy, S, World, a_chain, ids

from qanat.km.channel import RESEND_NS, Channel
from qanat.km.events import PeerMisbehaved
from qanat.km.messages import Frame, Gone, Grant, Granted, Have, encoded, frame_from_bytes, message_from_bytes
from qanat.sim.store import CrashingStore


class End:
    """A channel with its store; every call is one transaction."""

    def __init__(self, name: str) -> None:
        self.name, self.store = name, CrashingStore()
        self.restart()

    def restart(self) -> None:
        self.channel = Channel(self.store, CountingEntropy(self.name), self.store.load())

    def post(self, text: str) -> None:
        with self.store.transaction():
            self.channel.post("peer", Gone(text, "x"))

    def frames(self, now_ns: int = 0) -> list[bytes]:
        return [frame for _, frame in self.channel.frames_to_send(now_ns)]

    def receive(self, *frames: bytes) -> list[str]:
        with self.store.transaction():
            return [message_from_bytes(m).parent for frame in frames for m in self.channel.receive("peer", frame)]


def test_messages_arrive_once_and_in_order_after_loss_and_doubling():
    a, b = End("a"), End("b")
    frames = []
    for text in "123":
        a.post(text)
        frames += a.frames()
    assert b.receive(frames[1]) == []  # the first is missing
    assert b.receive(frames[0], frames[0], frames[2]) == ["1"]
    assert a.frames(RESEND_NS - 1) == []
    again = a.frames(RESEND_NS)
    assert b.receive(*again, *again) == ["2", "3"]
    a.receive(*b.frames())
    assert a.channel.waiting_count("peer") == 0
    assert a.channel.deadline_ns() is None
    assert a.frames(10**12) == []


def test_on_a_new_line_what_was_not_acknowledged_goes_out_at_once_and_only_then():
    a, b = End("a"), End("b")
    a.post("1")
    a.frames()
    late_ns = 0
    for _ in range(6):  # the peer is away: the pauses grow
        late_ns += 10 * RESEND_NS
        a.frames(late_ns)
    assert a.frames(late_ns + 1) == []
    a.channel.line_is_new("peer", late_ns + 1)
    assert b.receive(*a.frames(late_ns + 1)) == ["1"]
    a.receive(*b.frames())
    a.channel.line_is_new("peer", late_ns + 2)
    assert a.frames(late_ns + 2) == []  # nothing waits


def test_a_frame_replayed_after_a_restart_is_not_processed_again():
    a, b = End("a"), End("b")
    a.post("1")
    frames = a.frames()
    b.receive(*frames)
    b.restart()
    assert b.receive(*frames) == []


def test_numbers_go_on_after_a_restart_with_an_empty_outbox():
    a, b = End("a"), End("b")
    a.post("1")
    b.receive(*a.frames())
    a.receive(*b.frames())
    a.restart()
    a.post("2")
    assert b.receive(*a.frames()) == ["2"]


def test_a_peer_that_lost_its_store_is_heard_again():
    a, b = End("a"), End("b")
    a.post("1")
    b.receive(*a.frames())
    a = End("a, a new machine")
    a.post("1 again")
    assert b.receive(*a.frames()) == ["1 again"]
    b = End("b, a new machine")  # and the other way: what a has forgotten b need not see
    a.post("2")
    a.frames()
    assert b.receive(*a.frames(RESEND_NS)) == ["1 again", "2"]


def test_an_acknowledgement_of_what_was_never_sent_is_ignored():
    a = End("a")
    a.post("1")
    frame = frame_from_bytes(a.frames()[0])
    for stream, number in [(frame.stream, 2), (frame.stream, 2**53), (b"other", 1)]:
        a.receive(encoded(Frame(1, b"b", 1, 1, [], stream, number)))
        assert a.channel.waiting_count("peer") == 1


def test_a_frame_of_another_version_is_an_error():
    a = End("a")
    with pytest.raises(msgspec.DecodeError):
        a.receive(encoded(Frame(2, b"b", 1, 1, [], b"", 0)))


def test_many_messages_leave_in_frames_of_bounded_size():
    a, b = End("a"), End("b")
    for _ in range(1500):
        a.post("x" * 200)
    frames = a.frames()
    assert all(len(frame) < 60_000 for frame in frames)
    assert len(b.receive(*frames)) == 1500


def a_world() -> World:
    world = World(a_chain(2))
    for link in world.network.links:
        world.distil(link, 2)
    world.run(S)
    return world


def say(world: World, source: str, target: str, *messages) -> None:
    """The KME at ``source`` has turned hostile and says this."""
    kme = world.kmes[source]
    with world.stores[source].transaction():
        for message in messages:
            kme._c.channel.post(target, message)
    world.call(source, lambda kme: None)
    world.run(20 * MS)


FINE = {"piece": "a-b/1/0#0", "offset": 0, "size_bytes": 32, "master": "a1", "slave": "b1"}
LIES = {
    "a piece of ours": {"piece": "a-b/1/0#1"},
    "a piece of another pair": {"piece": "b-c/1/0#1"},
    "a block that never came": {"piece": "a-b/1/77#0"},
    "beyond the end": {"offset": 1000},
    "too small": {"size_bytes": 4},
    "too large": {"size_bytes": 1024},
    "a slave elsewhere": {"slave": "c1"},
    "a master that is not its own": {"master": "b1"},
    "a pair that policy does not know": {"slave": "b2"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_peer_that_grants_what_it_may_not_gets_nothing(lie):
    world = a_world()
    before = world.account("b", "a-b")
    say(world, "a", "b", Granted([Grant(key_id=uuid.uuid4(), **FINE | LIES[lie])]))
    assert world.of_kind("b", PeerMisbehaved)
    assert world.account("b", "a-b") == before
    assert all(pair.granted_keys == 0 for pair in world.report("b").pairs)


def test_a_peer_cannot_grant_the_same_bytes_or_name_twice():
    world = a_world()
    key_id = uuid.uuid4()
    say(world, "a", "b", Granted([Grant(key_id=key_id, **FINE)]))
    assert not world.of_kind("b", PeerMisbehaved)
    say(world, "a", "b", Granted([Grant(key_id=uuid.uuid4(), **FINE)]))
    say(world, "a", "b", Granted([Grant(key_id=key_id, **FINE | {"offset": 32})]))
    assert len(world.of_kind("b", PeerMisbehaved)) == 2
    world.dec("b1", "a1", [key_id])
    world.check_ledgers()


def test_a_peer_cannot_take_back_or_announce_blocks_of_others():
    world = a_world()
    before = [world.account("b", name) for name in ("a-b", "b-c")]
    say(world, "a", "b", Gone("b-c/1/0", "mine"), Have("b-c/1/9", 64), Have("nowhere/1/0", 64), Gone("local/x", "mine"))
    assert len(world.of_kind("b", PeerMisbehaved)) == 4
    assert [world.account("b", name) for name in ("a-b", "b-c")] == before
    container = world.enc("b1", "a1")
    world.run(S)
    world.dec("a1", "b1", ids(container))
