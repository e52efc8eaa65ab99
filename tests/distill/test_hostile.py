"""A peer or a wire that lies: the session ends, nothing is released, nothing escapes, nothing grows."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.distill.pairing import Pair, collect, digest

from qanat.core.health import ReceiverHealth, TransmitterHealth
from qanat.crypto.toeplitz_seed import SeedReused
from qanat.distill import messages
from qanat.distill.reliable import HEADER

FULL = 6


class Tamperer:
    """Changes one message of one kind on its way."""

    def __init__(self, kind, nth, change):
        self.kind, self.left, self.change, self.is_done = kind, nth, change, False

    def __call__(self, frame):
        body = frame[HEADER.size :]
        if self.is_done or not body or not isinstance(messages.decoded(body), self.kind):
            return frame
        if self.left:
            self.left -= 1
            return frame
        self.is_done = True
        return frame[: HEADER.size] + self.change(body)


def run_through(pair, tamperer):
    """Two key blocks, with somebody on the wire."""
    for _ in range(2 * FULL + 1):
        for _ in range(400):
            pair.now_ns += 100_000
            moved = 0
            for sender, receiver in ((pair.bob, pair.alice), (pair.alice, pair.bob)):
                for frame in sender.frames_to_send(pair.now_ns):
                    receiver.receive(tamperer(frame), pair.now_ns)
                    moved += 1
            collect(pair)
            if not moved:
                break
        if pair.bob.can_accept_block():
            pair.shine()
    return pair


def flip_last_bit(body):
    return body[:-1] + bytes([body[-1] ^ 1])


KINDS = [
    messages.Hello,
    messages.Detections,
    messages.Sifted,
    messages.TestBits,
    messages.Reconcile,
    messages.Parities,
    messages.Check,
    messages.Checked,
    messages.Amplify,
    messages.Tag,
    messages.Released,
]


OF_A_KEY_BLOCK = [
    messages.Reconcile,
    messages.Check,
    messages.Checked,
    messages.Amplify,
    messages.Released,
]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not messages.Check])
def test_one_flipped_bit_in_any_message_ends_the_session_and_nothing_of_that_block_is_released(kind):
    pair, tamperer = Pair(), Tamperer(kind, 0, flip_last_bit)
    run_through(pair, tamperer)
    assert tamperer.is_done
    assert pair.failures(pair.alice)
    assert pair.failures(pair.bob)
    assert not pair.keys(pair.bob)
    # The two generals' end (release.py): the transmitter's last word was changed after it released.
    assert len(pair.keys(pair.alice)) == (1 if kind is messages.Released else 0)


def test_a_flipped_bit_in_the_hash_of_verification_aborts_the_block():
    pair, tamperer = Pair(), Tamperer(messages.Check, 0, flip_last_bit)
    run_through(pair, tamperer)
    assert tamperer.is_done
    for end in (pair.alice, pair.bob):
        assert "verification" in pair.reports(end)[0].aborted
        assert all(key.block.endswith("/1") for key in pair.keys(end))


@pytest.mark.parametrize("kind", OF_A_KEY_BLOCK)
def test_what_was_released_before_stays_equal_when_the_next_key_block_is_attacked(kind):
    pair, tamperer = Pair(), Tamperer(kind, 1, flip_last_bit)
    run_through(pair, tamperer)
    assert tamperer.is_done
    alice, bob = ([digest(key) for key in pair.keys(end)] for end in (pair.alice, pair.bob))
    assert len(bob) == 1
    assert alice[:1] == bob
    assert len(alice) == (2 if kind is messages.Released else 1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_changed_no_two_ends_ever_hold_different_keys(data):
    kind = data.draw(st.sampled_from(KINDS))
    place, value = data.draw(st.integers(0, 2**20)), data.draw(st.integers(1, 255))

    def change(body):
        at = place % len(body)
        return body[:at] + bytes([body[at] ^ value]) + body[at + 1 :]

    pair = run_through(Pair(), Tamperer(kind, data.draw(st.integers(0, 3)), change))
    alice, bob = ({key.block: digest(key) for key in pair.keys(end)} for end in (pair.alice, pair.bob))
    assert bob.items() <= alice.items()  # the receiver never holds what the transmitter does not


def random_message(draw):
    kind = draw(st.sampled_from([*list(KINDS), messages.GiveUp]))
    small = st.integers(-2, 70) | st.integers(-(2**63), 2**64 - 1)
    number = st.integers(-2, 2**63) | st.floats(allow_nan=True)
    health = st.none() | st.dictionaries(
        st.sampled_from(["arrivals", "gap_histogram", "bias_current_na", "temperature_c", "control_effort"]),
        number | st.lists(number, max_size=40),
    )
    by_type = {int: small, bool: st.booleans(), bytes: st.binary(max_size=300)}
    by_type |= {ReceiverHealth | None: health, TransmitterHealth | None: health}
    fields = [draw(by_type[field.type]) for field in msgspec.structs.fields(kind)]
    return msgspec.msgpack.encode([kind.__struct_config__.tag, *fields])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_random_messages_never_raise_and_never_yield_key(data):
    pair = Pair()
    for frame in pair.bob.frames_to_send(0):
        pair.alice.receive(frame, 0)
    for frame in pair.alice.frames_to_send(0):
        pair.bob.receive(frame, 0)
    end = data.draw(st.sampled_from([pair.alice, pair.bob]))
    number = 1
    for _ in range(data.draw(st.integers(1, 8))):
        number += 1
        body = data.draw(st.binary(max_size=80)) if data.draw(st.booleans()) else random_message(data.draw)
        end.receive(HEADER.pack(1, number, data.draw(st.integers(0, 3))) + body, 0)
    collect(pair)
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(st.binary(max_size=64), max_size=5))
def test_random_bytes_never_raise(frames):
    pair = Pair()
    for frame in frames:
        pair.alice.receive(frame, 0)
        pair.bob.receive(frame, 0)


def test_a_flood_of_early_messages_is_bounded():
    pair = Pair()
    size_bytes = 2**20
    for number in range(2, 60):
        pair.alice.receive(HEADER.pack(1, number, 0) + bytes(size_bytes), 0)
    assert pair.alice._reliable._early_bytes <= 16 * 2**20
    pair.alice.receive(HEADER.pack(1, 5000, 0) + b"x", 0)
    assert pair.alice.is_failed


def test_a_frame_above_the_bound_ends_the_session():
    pair = Pair()
    pair.alice.receive(bytes(4 * 2**20 + 100), 0)
    (failure,) = pair.alice.events()
    assert "a frame of" in failure.reason


def test_acknowledging_what_was_never_sent_ends_the_session():
    pair = Pair()
    pair.alice.receive(HEADER.pack(1, 0, 7), 0)
    assert pair.alice.is_failed


def test_a_peer_that_sends_a_seed_again_gets_no_key():
    """The receiver keeps its own book: a dishonest transmitter's second use of a seed ends the session."""
    pair = Pair()
    pair.run(6)
    book = pair.bob._seeds
    book.admit(bytes(range(200)))
    with pytest.raises(SeedReused):
        book.admit(bytes(range(200)))
    assert book.used_count == 2  # the honest block's, and the first of these
    assert len(pair.keys(pair.bob)) == 1
