"""Several key blocks at once: equal keys and equal pools under any interleaving, and no rate lost to round trips."""

from dataclasses import replace

import pytest
from tests.distill.pairing import MS, BadWire, Pair, a_plan, digest

from qanat.distill.in_flight import BLOCKS_MAX, BYTES_PER_BIT, blocks_wanted
from qanat.distill.messages import Checked, Reconcile, Tag, decoded, encoded
from qanat.distill.reliable import HEADER
from qanat.distill.states import State

SMALL = 10_000  # sifted bits: one pulse block of ``a_small_plan`` fills such a key block
ONE = BYTES_PER_BIT * SMALL
BRIGHT = {"transmittance": 1.0}


def a_small_plan(**changes):
    values = {"block_sifted_bits": SMALL, "p_x": 0.65, "pulses_per_block": 200_000, "epsilon_sec": 1e-4}
    return a_plan(**{**values, "reconciliation": "cascade", **changes})


def wired(*, delay_ns, in_flight, seed=1, p_loss=0.0, p_double=0.0, blocks=12, secret=None):
    """A pair that ran over a wire; with ``delay_ns`` 0 the delays are random up to 20 ms and frames overtake."""
    plan = a_small_plan(in_flight_bytes_max=in_flight * ONE)
    pair = Pair(plan=plan, seed=seed, secret=secret, **BRIGHT)
    wire = BadWire(pair, seed=seed, p_loss=p_loss, p_double=p_double, delay_ns_max=20 * MS, delay_ns=delay_ns)
    wire.run(blocks)
    return pair


def assert_both_ends_agree(pair):
    assert not pair.failures(pair.alice) + pair.failures(pair.bob)
    ours, theirs = ([replace(report, made_at_ns=0) for report in pair.reports(end)] for end in (pair.alice, pair.bob))
    assert ours == theirs
    assert [digest(key) for key in pair.keys(pair.alice)] == [digest(key) for key in pair.keys(pair.bob)]
    assert pair.pools[0].spent_bits == pair.pools[1].spent_bits == 512 * len(pair.keys(pair.bob))
    assert pair.pools[0].take(64) == pair.pools[1].take(64)


class Watched:
    """The greatest number of key blocks that the transmitter had in distillation at once."""

    def __init__(self, monkeypatch):
        from qanat.distill.open_blocks import OpenBlocks

        self.most, begin = 0, OpenBlocks._begin

        def counted(blocks, now_ns):
            begin(blocks, now_ns)
            self.most = max(self.most, sum(block.state is not State.ENDED for block in blocks.active.values()))

        monkeypatch.setattr(OpenBlocks, "_begin", counted)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_ends_agree_whatever_the_wire_loses_doubles_and_reorders(monkeypatch, seed):
    watched = Watched(monkeypatch)
    pair = wired(delay_ns=0, in_flight=8, seed=seed, p_loss=0.1, p_double=0.2)
    assert_both_ends_agree(pair)
    assert len(pair.keys(pair.bob)) >= 8
    assert watched.most > 2


def test_throughput_in_virtual_time_grows_with_the_key_blocks_in_flight(monkeypatch):
    watched = Watched(monkeypatch)
    spent_ns = {}
    for in_flight in (1, 4, 16):
        pair = wired(delay_ns=10 * MS, in_flight=in_flight, blocks=32)
        assert_both_ends_agree(pair)
        assert len(pair.keys(pair.bob)) >= 24
        spent_ns[in_flight] = max(report.made_at_ns for report in pair.reports(pair.bob))
    assert watched.most == 16
    # Ideal would be 4 and 16; the last batch runs half empty, and the block with the most rounds decides.
    assert spent_ns[1] > 2.5 * spent_ns[4]
    assert spent_ns[4] > 1.6 * spent_ns[16]


def test_the_round_trip_time_is_measured():
    pair = wired(delay_ns=10 * MS, in_flight=2, blocks=3)
    assert pair.alice.round_trip_ns == pair.bob.round_trip_ns == 20 * MS
    known = Pair(plan=a_plan(round_trip_ns=7 * MS))
    assert known.alice.round_trip_ns == 7 * MS


def test_more_round_trip_time_means_more_key_blocks_up_to_what_memory_allows():
    plan = a_plan(block_sifted_bits=400_000)
    wanted = [blocks_wanted(plan, round_trip_ns) for round_trip_ns in (0, MS // 10, MS, 10 * MS, 1000 * MS)]
    assert wanted == sorted(wanted)
    assert wanted[0] == 1
    assert wanted[-1] == plan.in_flight_bytes_max // (BYTES_PER_BIT * 400_000)
    assert blocks_wanted(a_plan(in_flight_bytes_max=0), 1000 * MS) == 1
    assert blocks_wanted(a_plan(block_sifted_bits=100), 10**12) == BLOCKS_MAX


def test_one_pair_of_secret_is_enough_for_many_blocks_in_flight():
    """The tag of the next block waits until the release of the last one has put a pair back."""
    pair = wired(delay_ns=10 * MS, in_flight=8, secret=bytes(range(64)))
    assert_both_ends_agree(pair)
    assert len(pair.keys(pair.bob)) >= 8


def test_a_block_given_up_between_others_takes_no_pair_and_outcomes_keep_their_order():
    pair = Pair(plan=a_small_plan(round_trip_ns=100 * MS), **BRIGHT)
    before = pair.pools[0].available_bits
    noisy = {1, 4}
    for number in range(6):
        block = pair.light.block(number)
        if number in noisy:
            block = replace(block, bit=block.bit ^ (block.index % 2).astype("uint8"))
        pair.bob.add_detections(block, 0)
    pair.until_quiet()
    assert_both_ends_agree(pair)
    reports = pair.reports(pair.bob)
    assert [report.first_number for report in reports] == sorted(report.first_number for report in reports)
    assert {report.first_number for report in reports if report.aborted} >= noisy
    assert pair.pools[0].available_bits == before - 512  # the one that ``assert_both_ends_agree`` took


def test_a_tag_out_of_turn_ends_the_session():
    pair = Pair(plan=a_small_plan(round_trip_ns=100 * MS), **BRIGHT)

    def out_of_turn():
        for block in reversed(pair.alice._open.active.values()):
            if block.state is State.READY:
                block.show_tag()

    pair.alice._open._show_tags = lambda: None
    pair.shine(6)
    pair.until_quiet()
    assert not pair.keys(pair.bob)
    out_of_turn()
    pair.until_quiet()
    assert "before that of" in pair.failures(pair.bob)[0].reason
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)


@pytest.mark.parametrize("kind", [Reconcile, Checked, Tag])
def test_a_word_about_another_key_block_than_is_open_ends_the_session(kind):
    pair = Pair(plan=a_small_plan(round_trip_ns=100 * MS), **BRIGHT)
    is_done = []

    def other_block(frame):
        message = decoded(frame[HEADER.size :]) if len(frame) > HEADER.size else None
        if is_done or not isinstance(message, kind):
            return frame
        is_done.append(1)
        fields = {name: getattr(message, name) for name in message.__struct_fields__}
        return frame[: HEADER.size] + encoded(kind(**{**fields, "block": 77}))

    pair.shine(4)
    for _ in range(3000):
        for sender, receiver in ((pair.bob, pair.alice), (pair.alice, pair.bob)):
            for frame in sender.frames_to_send(0):
                receiver.receive(other_block(frame), 0)
    assert is_done
    assert pair.alice.is_failed
    assert pair.bob.is_failed


def test_a_transmitter_that_never_begins_cannot_make_the_receiver_hold_more_than_its_bound():
    plan = a_small_plan(in_flight_bytes_max=20 * ONE, round_trip_ns=10_000 * MS)
    pair = Pair(plan=plan, **BRIGHT)
    pair.alice._open.advance = lambda *_: []
    taken = 0
    while pair.bob.can_accept_block() and taken < 200:
        pair.shine()
        taken += 1
        pair.until_quiet()
    held = pair.bob._open.held_bytes
    block = held / len(pair.bob._open.waiting)
    assert plan.in_flight_bytes_max - block < held < plan.in_flight_bytes_max + 2 * block


def test_a_receiver_that_ignores_flow_control_is_stopped_by_the_transmitter():
    plan = a_small_plan(in_flight_bytes_max=0)
    pair = Pair(plan=plan, **BRIGHT)
    pair.alice._open.advance = lambda *_: []  # a transmitter too slow to begin
    pair.bob._open.has_room = lambda *_: True
    pair.bob._open.add = lambda *_: None
    for _ in range(2000):
        pair.shine()
        pair.until_quiet()
        pair.number %= 40  # the same light again and again
        pair.bob._receiving._last_number = pair.alice._transmitting._last_number = -1
        if pair.failures(pair.alice):
            break
    assert "ignores flow control" in pair.failures(pair.alice)[0].reason
