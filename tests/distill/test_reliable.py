"""The message stream: in order, once, whatever the wire does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.messages import MESSAGE_BYTES_MAX
from qanat.distill.reliable import HEADER, PeerEnded, ReliableLayer


def a_layer(**changes):
    return ReliableLayer(**{"epoch": 1, "window_frames": 8, "resend_ns": 1000, "give_up_ns": 10**9, **changes})


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), p_loss=st.floats(0, 0.5), p_double=st.floats(0, 0.5), count=st.integers(0, 40))
def test_every_message_arrives_once_and_in_order(seed, p_loss, p_double, count):
    stream, now_ns = np.random.default_rng(seed), 0
    ends = [a_layer(), a_layer()]
    sent = [[b"%d/%d" % (which, number) for number in range(count)] for which in range(2)]
    got = [[], []]
    for which, end in enumerate(ends):
        for message in sent[which]:
            end.send(message)
    for _ in range(20_000):
        frames = []
        for which, end in enumerate(ends):
            for frame in end.frames_to_send(now_ns):
                copies = int(stream.random() >= p_loss) + int(stream.random() < p_double)
                frames += [(1 - which, frame)] * copies
        for at in stream.permutation(len(frames)):
            which, frame = frames[at]
            got[which] += ends[which].receive(frame, now_ns)
        deadlines = [end.deadline_ns() for end in ends if end.deadline_ns() is not None]
        if not frames and not deadlines:
            break
        now_ns = max([now_ns, *([min(deadlines)] if deadlines else [])])
        for end in ends:
            end.on_deadline(now_ns)
    assert got == [sent[1], sent[0]]
    assert [end.backlog_count for end in ends] == [0, 0]


def test_no_more_than_the_window_is_in_flight():
    ours = a_layer()
    for number in range(20):
        ours.send(b"%d" % number)
    assert len(ours.frames_to_send(0)) == 8
    assert ours.frames_to_send(0) == []
    ours.receive(HEADER.pack(1, 0, 3), 10)
    assert len(ours.frames_to_send(10)) == 3


def test_in_flight_bytes_are_bounded_too():
    ours = a_layer()
    for _ in range(8):
        ours.send(bytes(MESSAGE_BYTES_MAX))
    assert len(ours.frames_to_send(0)) == 4


def test_acknowledgements_ride_on_messages_and_wait_a_little_otherwise():
    ours, theirs = a_layer(), a_layer()
    theirs.send(b"a question")
    ours.receive(theirs.frames_to_send(0)[0], 0)
    assert ours.frames_to_send(0) == []
    assert ours.deadline_ns() == 250
    (frame,) = ours.frames_to_send(250)
    assert len(frame) == HEADER.size
    assert theirs.receive(frame, 250) == []
    assert theirs.deadline_ns() is None


def test_resending_backs_off_and_gives_up():
    ours = a_layer(give_up_ns=100_000)
    ours.send(b"anybody?")
    ours.frames_to_send(0)
    gaps, now_ns = [], 0
    while (deadline_ns := ours.deadline_ns()) <= 100_000:
        gaps.append(deadline_ns - now_ns)
        now_ns = deadline_ns
        ours.on_deadline(now_ns)
        assert len(ours.frames_to_send(now_ns)) == 1
    with pytest.raises(RemoteProtocolError, match="no answer"):
        ours.on_deadline(deadline_ns)
    assert gaps[:6] == [1000, 2000, 4000, 8000, 16_000, 16_000]


def test_too_large_a_message_is_our_own_mistake():
    with pytest.raises(LocalProtocolError):
        a_layer().send(bytes(MESSAGE_BYTES_MAX + 1))


def test_the_peers_end_is_heard():
    ours = a_layer()
    with pytest.raises(PeerEnded):
        ours.receive(a_layer().end_frame(), 0)
    assert ours.receive(a_layer(epoch=2).end_frame(), 0) == []
