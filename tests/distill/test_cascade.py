"""Cascade: both ends agree, kernels and plain twin say the same, and nothing is disclosed uncounted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.distill.linear import gf2_rank

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.cascade.mixing import permutation, permutation_plain, random_words, random_words_plain
from qanat.distill.cascade.packing import (
    pack_first_pass,
    pack_later_passes,
    packed_frames_plain,
    unpacked_frames,
)
from qanat.distill.cascade.plain import PlainReconciler
from qanat.distill.cascade.reconciler import ROUNDS_MAX, Reconciler
from qanat.distill.cascade.schedule import Pace, schedule_from_qber, schedule_from_sizes
from qanat.distill.cascade.workspace import Workspace

SEED = b"a public seed..."


def two_keys(size_bits, qber, seed):
    stream = np.random.default_rng(seed)
    alice = stream.integers(0, 2, size_bits, dtype=np.uint8)
    return alice, alice ^ (stream.random(size_bits) < qber).astype(np.uint8)


def reconcile(alice, bob, overhear=lambda *_: None):
    """Rounds until nothing is to be asked; both messages of a round cross."""
    while (own := alice.next_query()) is not None:
        theirs = bob.next_query()
        overhear(own, theirs)
        alice.feed(theirs)
        bob.feed(own)
    assert bob.next_query() is None


def ends(size_bits, qber, seed, kinds=(Reconciler, Reconciler), guess=None):
    bits = two_keys(size_bits, qber, seed)
    schedule = schedule_from_qber(size_bits, qber if guess is None else guess)
    return bits, [
        kind(each, is_reference=which == 0, schedule=schedule, seed=SEED)
        for which, (kind, each) in enumerate(zip(kinds, bits, strict=True))
    ]


@pytest.mark.parametrize("size_bits", [2, 3, 17, 64, 65, 1000, 65_536, 65_537, 200_001])
@pytest.mark.parametrize("qber", [0.0, 0.02, 0.11])
def test_the_receiver_ends_with_the_transmitters_key(size_bits, qber):
    (alice_bits, bob_bits), (alice, bob) = ends(size_bits, qber, seed=size_bits)
    reconcile(alice, bob)
    assert np.array_equal(bob.corrected(), alice_bits)
    assert np.array_equal(alice.corrected(), alice_bits)
    assert alice.error_count == bob.error_count == int((alice_bits != bob_bits).sum())
    assert (alice.leak_bits, alice.round_count) == (bob.leak_bits, bob.round_count)


@pytest.mark.parametrize("kinds", [(PlainReconciler, Reconciler), (Reconciler, PlainReconciler)])
@settings(max_examples=25, deadline=None)
@given(size_bits=st.integers(2, 1500), qber=st.floats(0, 0.15), guess=st.floats(0.001, 0.15), seed=st.integers(0, 99))
def test_kernels_and_plain_twin_understand_each_other(kinds, size_bits, qber, guess, seed):
    (alice_bits, _), (alice, bob) = ends(size_bits, qber, seed, kinds, guess)
    reconcile(alice, bob)
    assert alice.leak_bits == bob.leak_bits
    assert alice.error_count == bob.error_count
    residual = int((bob.corrected() != alice_bits).sum())
    assert residual == 0 or size_bits < 40  # 2**-16 per frame, but tiny frames have empty subsets


def test_kernels_and_plain_twin_disclose_the_same_bits_in_the_same_order():
    for seed in range(4):
        heard = []
        for kinds in ((Reconciler, Reconciler), (PlainReconciler, PlainReconciler)):
            _, (alice, bob) = ends(70_000 if seed == 0 else 3000, 0.03, seed, kinds)
            said = []
            reconcile(alice, bob, lambda *both, said=said: said.append(both))
            heard.append(said)
        assert heard[0] == heard[1]


class Overheard(PlainReconciler):
    """Every read of a parity is written down as a row over GF(2)."""

    def __init__(self, *args, **kwargs):
        self.rows = []
        super().__init__(*args, **kwargs)

    def parity(self, positions):
        positions = list(positions)
        self.rows.append(sum(1 << position for position in positions if position < self.schedule.size_bits))
        return super().parity(positions)


@pytest.mark.parametrize("qber", [0.01, 0.03, 0.08])
def test_leak_audit_every_disclosed_bit_is_claimed_and_the_rank_never_exceeds_the_claim(qber):
    for seed in range(3):
        _, (alice, bob) = ends(1024, qber, seed, (Overheard, Reconciler))
        sent = []
        reconcile(alice, bob, lambda own, theirs, sent=sent: sent.append((own, theirs)))
        assert len(alice.rows) == alice.leak_bits == bob.leak_bits
        # Each message holds exactly the bits read, and at most 7 bits of padding, which are zero.
        assert sum(len(own) for own, _ in sent) <= alice.leak_bits / 8 + len(sent)
        rank = gf2_rank(alice.rows)
        assert rank <= alice.leak_bits
        # The claim is not idle either: the errors could not be found with less than their entropy, roughly.
        assert rank > 0.5 * 1024 * -(qber * math.log2(qber) + (1 - qber) * math.log2(1 - qber))


def test_leak_audit_the_receiver_tells_of_the_error_pattern_and_of_nothing_else():
    """Another key with the same errors: the differences of both messages are the same, bit for bit."""
    alice_bits, bob_bits = two_keys(5000, 0.03, 5)
    differences = []
    for mask in (0, two_keys(5000, 0, 6)[0]):
        schedule = schedule_from_qber(5000, 0.03)
        alice = Reconciler(alice_bits ^ mask, is_reference=True, schedule=schedule, seed=SEED)
        bob = Reconciler(bob_bits ^ mask, is_reference=False, schedule=schedule, seed=SEED)
        said = []
        reconcile(alice, bob, lambda own, theirs, said=said: said.append((own, theirs)))
        differences.append(
            [np.bitwise_xor(*(np.frombuffer(each, np.uint8) for each in both)).tolist() for both in said]
        )
    assert said
    assert differences[0] == differences[1]


@pytest.mark.parametrize("size_bits", [500, 100_000])
def test_a_lying_peer_cannot_keep_a_round_going_for_ever(size_bits):
    stream = np.random.default_rng(3)
    bits, _ = two_keys(size_bits, 0, 1)
    ours = Reconciler(bits, is_reference=False, schedule=schedule_from_qber(size_bits, 0.02), seed=SEED)
    while not ours.is_hopeless and (own := ours.next_query()) is not None:
        ours.feed(stream.bytes(len(own)))
    assert ours.leak_bits < 2 * size_bits + 1000
    assert ours.round_count <= ROUNDS_MAX


def test_misuse_and_answers_of_another_size_are_refused():
    bits, _ = two_keys(100, 0, 1)
    ours = Reconciler(bits, is_reference=True, schedule=schedule_from_qber(100, 0.02), seed=SEED)
    with pytest.raises(LocalProtocolError):
        ours.feed(b"")
    own = ours.next_query()
    with pytest.raises(LocalProtocolError):
        ours.next_query()
    with pytest.raises(RemoteProtocolError):
        ours.feed(own + b"\0")
    with pytest.raises(LocalProtocolError):
        Reconciler(bits[:-1], is_reference=True, schedule=schedule_from_qber(100, 0.02), seed=SEED)


@given(st.integers(2, 10**6), st.floats(0, 0.5))
def test_every_schedule_passes_the_peers_check(size_bits, qber):
    schedule = schedule_from_qber(size_bits, qber)
    assert schedule_from_sizes(size_bits, bytes(schedule.log2_sizes)) == schedule
    assert schedule.frame_count * schedule.frame_bits >= size_bits


@pytest.mark.parametrize("sizes", [b"", b"\0", b"\5\5", b"\6\3", b"\x20", b"\5\xff"])
def test_schedules_that_make_no_sense_are_refused(sizes):
    assert schedule_from_sizes(10_000, sizes) is None


def test_mixing_equals_its_plain_twin_and_the_published_stream():
    assert permutation(1000, SEED, "x").tolist() == permutation_plain(1000, SEED, "x")
    assert random_words(100, SEED, "x").tolist() == random_words_plain(100, SEED, "x")


def test_permutations_are_not_visibly_biased():
    """Mean distance of neighbours is (n + 1) / 3; its standard error here is 0.2 %: false alarm below 1e-6."""
    n = 65_536
    order = permutation(n, SEED, "bias").astype(np.int64)
    assert abs(np.abs(np.diff(order)).mean() / ((n + 1) / 3) - 1) < 0.01


def test_efficiency_and_frame_errors_on_a_modest_sample():
    """f on 40 frames of 65536 bits; its mean scatters by 0.002, so 1.08 is missed by chance below 1e-9."""
    size_bits, qber, leak, failed, errors = 20 * 65_536, 0.02, 0, 0, 0
    for seed in range(2):
        (alice_bits, bob_bits), (alice, bob) = ends(size_bits, qber, seed)
        reconcile(alice, bob)
        leak += alice.leak_bits
        errors += int((alice_bits != bob_bits).sum())
        failed += not np.array_equal(bob.corrected(), alice_bits)
    q = errors / (2 * size_bits)
    f = leak / (2 * size_bits * -(q * math.log2(q) + (1 - q) * math.log2(1 - q)))
    assert failed == 0
    assert 1.0 < f < 1.08


@pytest.mark.parametrize("pace", list(Pace))
@pytest.mark.parametrize("qber", [0.01, 0.02, 0.03, 0.05, 0.08])
def test_efficiency_is_what_the_schedule_promises(qber, pace):
    """Mean f against the true error rate, 16 frames of 65 536 bits: its deviation is below 0.003 (bench/cascade.py)."""
    alice_bits, bob_bits = two_keys(1 << 20, qber, 77)
    schedule = schedule_from_qber(1 << 20, qber, pace=pace)
    alice, bob = (
        Reconciler(bits, is_reference=which == 0, schedule=schedule, seed=SEED)
        for which, bits in enumerate((alice_bits, bob_bits))
    )
    reconcile(alice, bob)
    q = float((alice_bits != bob_bits).mean())
    f = alice.leak_bits / (len(alice_bits) * -(q * math.log2(q) + (1 - q) * math.log2(1 - q)))
    targets = {0.01: 1.035, 0.02: 1.035, 0.03: 1.035, 0.05: 1.042, 0.08: 1.055}
    assert np.array_equal(bob.corrected(), alice_bits)
    assert 1.0 < f < (targets[qber] + 0.003 if pace is Pace.LOW_LEAK else 1.08)
    assert qber != 0.02 or 0.6 < alice.round_count / pace.rounds_typical < 1.7


@settings(max_examples=40, deadline=None)
@given(size_bits=st.integers(2, 20_000), frames=st.integers(1, 130), seed=st.integers(0, 99))
def test_frames_are_packed_as_the_plain_twin_packs_them(size_bits, frames, seed):
    stream = np.random.default_rng(seed)
    frame_bits = -(-size_bits // frames)
    width = -(-frame_bits // 64)
    bits = stream.integers(0, 2, size_bits, dtype=np.uint8)
    order = np.array([stream.permutation(frame_bits) for _ in range(2)], dtype=np.uint16)
    words = np.zeros(frames * 3 * width, dtype=np.uint64)
    pack_first_pass(bits, frames, frame_bits, (3, width), words)
    pack_later_passes(order, frames, frame_bits, (3, width), words)
    assert np.array_equal(words, packed_frames_plain(bits, order, frames, frame_bits, width))
    assert np.array_equal(unpacked_frames(words, size_bits, frames, frame_bits, (3, width)), bits)


def test_lent_memory_comes_back_without_the_key():
    (alice_bits, _), (alice, bob) = ends(3000, 0.02, 3)
    assert alice_bits.any()
    reconcile(alice, bob)
    kept = [*alice._state[:1], alice._own, alice._said]
    alice.wipe()
    alice.wipe()  # twice is once
    assert not any(array.any() for array in kept)
    space = Workspace(idle_bytes_max=100)
    first = space.take(10, "|u1")
    first[:] = 7
    space.give(first)
    assert not space.take(10, "|u1", is_zeroed=True).any()
    space.give(np.ones(200, dtype=np.uint8))
    assert space.take(200, "|u1", is_zeroed=True).sum() == 0  # beyond the bound it was not kept
