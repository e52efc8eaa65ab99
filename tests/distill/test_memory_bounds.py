"""What a hostile peer can make an end hold, in every state: no more than is written here."""

import contextlib
import tracemalloc

import msgspec
import pytest
from tests.distill.fuzzing import MOMENTS, PLANS, Wire, assert_nothing_was_lost_to_it, cascade
from tests.distill.pairing import Pair, collect

from qanat.core.errors import RemoteProtocolError
from qanat.core.records import Role
from qanat.distill import gather, messages
from qanat.distill.messages import MESSAGE_BYTES_MAX
from qanat.distill.reliable import HEADER, WINDOW_BYTES

MIB = 2**20
# Early frames, what decoding one message takes for a moment, and what the tests themselves and honest work need.
HELD_BYTES_MAX = WINDOW_BYTES + 4 * MIB
DECODED_BYTES_PER_BYTE = 48  # so 192 MiB for the largest message, for as long as it takes to refuse it
BLOATED_BYTES = MESSAGE_BYTES_MAX // 8  # counting memory makes decoding slow


def flood(frame, wire):
    """Early frames without end, large and small, then everything that may stand in a header; then the honest frame."""
    _, number, heard = HEADER.unpack_from(frame)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    victim = wire.victim
    for ahead in range(1, 200):
        victim.receive(HEADER.pack(1, number + ahead, heard) + bytes(MIB), wire.pair.now_ns)
    for ahead in range(1, 2000):
        victim.receive(HEADER.pack(1, number + 1 + ahead % 800, heard) + b"small", wire.pair.now_ns)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    wire.held_bytes, wire.peak_bytes = held - before, peak - before
    return [frame]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(("role", "moment"), [(role, moment) for role, named in MOMENTS.items() for moment in named])
def test_a_flood_in_any_state_is_held_up_to_the_window_and_no_further(plan, role, moment):
    pair, blocks = PLANS[plan]()
    wire = Wire(pair, role=role, moment=moment, nth=0, strike=flood)
    wire.run(blocks)
    assert wire.is_struck
    assert WINDOW_BYTES // 2 < wire.held_bytes < HELD_BYTES_MAX
    assert wire.peak_bytes < HELD_BYTES_MAX
    assert_nothing_was_lost_to_it(wire, (plan, role, moment))


def test_a_failed_end_holds_nothing_of_a_flood():
    pair, blocks = cascade()
    strike = lambda frame, wire: [*flood(frame, wire), b"nonsense"]  # noqa: E731
    wire = Wire(pair, role=Role.TRANSMITTER, moment="sifting", nth=0, strike=strike)
    wire.run(blocks)
    assert wire.victim.is_failed
    assert not wire.victim._reliable._early
    assert not wire.victim._reliable._in_flight


def detections_with(health):
    """A message whose last part is these bytes of MessagePack."""
    return msgspec.msgpack.encode([1, 0, 0, 1, 0, b"", b"", None])[:-1] + health


def listed(name, item):
    """A list that fills the message."""
    count = (BLOATED_BYTES - 100) // len(item)
    return b"\x81" + msgspec.msgpack.encode(name) + b"\xdd" + count.to_bytes(4) + item * count


BLOATED = {
    "currents": detections_with(listed("bias_current_na", b"\x01")),
    "gaps": detections_with(listed("gap_histogram", b"\xcd\xff\xff")),
    "arrivals": detections_with(listed("arrivals", msgspec.msgpack.encode({"count": 300}))),
    "unknown": detections_with(listed("unknown", b"\x01")),
    "nested": b"\x91" * BLOATED_BYTES,
    "bytes": msgspec.msgpack.encode([3, 0, bytes(BLOATED_BYTES - 100)]),
}


@pytest.mark.parametrize("name", BLOATED)
def test_decoding_a_message_takes_a_bounded_multiple_of_its_size(name):
    body = BLOATED[name]
    assert BLOATED_BYTES // 2 < len(body) <= BLOATED_BYTES
    tracemalloc.start()
    with contextlib.suppress(RemoteProtocolError):
        messages.decoded(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= DECODED_BYTES_PER_BYTE * BLOATED_BYTES


@pytest.mark.parametrize("name", BLOATED)
def test_a_bloated_message_ends_the_session_and_leaves_nothing(name):
    pair = Pair()
    for frame in pair.bob.frames_to_send(0):
        pair.alice.receive(frame, 0)
    tracemalloc.start()
    pair.alice.receive(HEADER.pack(1, 2, 0) + BLOATED[name], 0)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert pair.alice.is_failed
    assert held < MIB


def test_a_transmitter_that_keeps_nothing_is_not_listened_to_for_ever(monkeypatch):
    """Without the bound our own announcements would pile up for 20 000 pulse blocks: gigabytes on a bright link."""
    monkeypatch.setattr(gather, "SAID_BYTES_PER_SIFTED", 1)
    monkeypatch.setattr(gather, "SAID_BYTES_EMPTY", 300_000)

    pair = Pair()
    (greeting,) = pair.alice.frames_to_send(0)
    pair.bob.receive(greeting, 0)
    number, held = 1, []
    while not pair.bob.is_failed:
        pair.shine()
        for frame in pair.bob.frames_to_send(0):
            body = frame[HEADER.size :]
            seen = messages.decoded(body) if body else None
            if isinstance(seen, messages.Detections):
                number += 1
                none = messages.Sifted(seen.number, bytes(len(seen.bases)), b"", b"", b"", None)
                pair.bob.receive(HEADER.pack(1, number, HEADER.unpack_from(frame)[1]) + messages.encoded(none), 0)
        held.append(pair.bob._gathering._said_bytes)
        assert len(held) < 60
    collect(pair)
    assert "bytes of sifting, and still no key block" in pair.failures(pair.bob)[0].reason
    assert len(held) > 3
    assert max(held) <= pair.bob._gathering._said_bytes_max + MESSAGE_BYTES_MAX


def test_an_honest_key_block_says_a_small_part_of_what_sifting_may():
    pair = Pair()
    pair.run(5)
    assert 0 < pair.bob._gathering._said_bytes < pair.bob._gathering._said_bytes_max / 100
