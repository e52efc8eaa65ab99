"""Verification frame by frame, and the choice between the ways to reconcile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.distill.pairing import Pair, SystemEntropy, a_plan, digest

from qanat.core.errors import RemoteProtocolError
from qanat.crypto.verification import collision_bound
from qanat.distill.cascade.reconciler import Reconciler
from qanat.distill.methods import Method, chosen, rounds
from qanat.distill.verify import check, checked, kept, tag_size_bytes, verdict, verdict_from
from qanat.keyrate.discard import kept_secrecy
from qanat.keyrate.sampling import binary_entropy

LARGE = {"block_sifted_bits": 80_000, "epsilon_sec": 1e-6}
BLOCKS = 17  # pulse blocks that fill such a key block


def reports_of(pair):
    ours, theirs = ([replace(report, made_at_ns=0) for report in pair.reports(end)] for end in (pair.alice, pair.bob))
    assert ours == theirs
    return ours


def test_a_frame_that_differs_is_thrown_away_and_the_rest_becomes_a_shorter_key(monkeypatch):
    honest, broken = Reconciler.corrected, []

    def corrected(self):
        bits = honest(self)
        if not self._is_reference and not broken:
            broken.append(1)
            bits[5] ^= 1  # a bit of frame 5 mod 2 = 1
        return bits

    monkeypatch.setattr(Reconciler, "corrected", corrected)
    pair = Pair(plan=a_plan(**LARGE), p_flip=0.005)
    pair.run(2 * BLOCKS)
    first, second = reports_of(pair)[:2]
    assert (first.frames, first.frames_failed) == (2, 1)
    assert (second.frames, second.frames_failed) == (2, 0)
    assert first.aborted is None or "proof gives nothing" in first.aborted
    # Half of the bits are gone, and all phase errors may be in the other half: less than half of the key is left.
    assert first.secret_bits < second.secret_bits / 2
    for ours, theirs in zip(pair.keys(pair.alice), pair.keys(pair.bob), strict=True):
        assert digest(ours) == digest(theirs)


@settings(max_examples=200, deadline=None)
@given(
    singles=st.integers(1, 14), errors=st.integers(0, 6), discarded=st.integers(0, 14), seed=st.integers(0, 2**32 - 1)
)
def test_no_choice_of_frames_leaves_more_phase_errors_than_are_charged(singles, errors, discarded, seed):
    """Brute force: wherever the errors lie and whatever is discarded, the kept ones' rate is within the bound."""
    errors = min(errors, singles)
    stream = np.random.default_rng(seed)
    is_error = np.zeros(singles + 4, dtype=bool)  # 4 bits are no single photons
    is_error[stream.permutation(singles)[:errors]] = True
    is_single = np.arange(singles + 4) < singles
    gone = stream.permutation(singles + 4)[: min(discarded, singles + 3)]
    stays = np.ones(singles + 4, dtype=bool)
    stays[gone] = False
    kept_singles = int((is_single & stays).sum())
    kept_errors = int((is_error & stays).sum())
    charged = kept_secrecy(float(singles), errors / singles, len(gone))
    true = kept_singles * (1 - binary_entropy(min(0.5, kept_errors / kept_singles))) if kept_singles else 0.0
    assert charged <= true + 1e-9
    assert kept_secrecy(float(singles), errors / singles, 0) >= charged


def test_the_tag_is_as_long_as_the_budget_needs_and_no_longer():
    for count, size in ((1, 30_000), (4, 65_536), (122, 65_536)):
        frames = [size] * count
        for epsilon_cor in (1e-9, 1e-15, 1e-20):
            size_bytes = tag_size_bytes(frames, epsilon_cor)
            assert count * collision_bound(size, 8 * size_bytes) <= epsilon_cor
            assert count * collision_bound(size, 8 * (size_bytes - 1)) > epsilon_cor


def test_every_single_flipped_bit_is_noticed_in_its_own_frame():
    bits = np.random.default_rng(1).integers(0, 2, 999, dtype=np.uint8)
    frames = [np.arange(which, 999, 3) for which in range(3)]
    message = check(7, bits, frames, 1e-12, SystemEntropy())
    for bit in range(0, 999, 37):
        other = bits.copy()
        other[bit] ^= 1
        is_equal = verdict(message, other, frames, 1e-12)
        assert is_equal == [which != bit % 3 for which in range(3)]
        assert verdict_from(checked(7, is_equal), frames) == is_equal
        assert np.array_equal(kept(bits, frames, is_equal), bits[np.arange(999) % 3 != bit % 3])


@pytest.mark.parametrize("change", [{"hash_key": b""}, {"tags": b""}, {"tags": bytes(99)}])
def test_hashes_of_a_wrong_size_are_refused(change):
    import msgspec

    bits, frames = np.zeros(300, dtype=np.uint8), [np.arange(300)]
    message = msgspec.structs.replace(check(1, bits, frames, 1e-12, SystemEntropy()), **change)
    with pytest.raises(RemoteProtocolError):
        verdict(message, bits, frames, 1e-12)


def test_ldpc_makes_the_same_key_at_both_ends_and_says_so():
    pair = Pair(plan=a_plan(reconciliation="ldpc", **LARGE), p_flip=0.02)
    pair.run(BLOCKS)
    (report,) = reports_of(pair)
    assert report.method == "ldpc"
    assert report.aborted is None
    assert report.round_trips < 25  # Cascade takes hundreds
    (ours,), (theirs,) = pair.keys(pair.alice), pair.keys(pair.bob)
    assert digest(ours) == digest(theirs)


def test_the_choice_rests_on_rate_and_round_trip_time():
    pair = Pair(plan=a_plan(**LARGE), p_flip=0.01)
    taken = []
    wait = type(pair.alice._open)._begin

    def begin(self, now_ns):
        taken.append(self.waiting[0])
        wait(self, now_ns)

    pair.alice._open._begin = begin.__get__(pair.alice._open)
    pair.run(BLOCKS)
    (block,) = taken
    near, far = pair.plan, replace(pair.plan, in_flight_bytes_max=2**24)
    assert chosen(block, near, 0)[0] is Method.CASCADE
    assert chosen(block, far, 500_000_000)[0] is Method.LDPC  # a geostationary satellite and back
    assert chosen(block, replace(far, reconciliation="cascade"), 500_000_000)[0] is Method.CASCADE
    assert chosen(block, replace(near, reconciliation="ldpc"), 0)[0] is Method.LDPC
    paces = [chosen(block, replace(near, reconciliation=name), 0)[1] for name in ("cascade", "cascade-low-leak")]
    assert paces[0] < paces[1]  # larger first blocks


@pytest.mark.parametrize("method", [0, 3, -1, 10**9])
def test_a_method_that_does_not_exist_is_refused(method):
    with pytest.raises(RemoteProtocolError):
        rounds(method, b"\x05", bytes(16), bits=np.zeros(1000, dtype=np.uint8), is_reference=False, plan=a_plan())


def test_a_peer_may_not_choose_what_the_plan_forbids():
    bits = np.zeros(100_000, dtype=np.uint8)
    from qanat.distill.ldpc.parameters import ldpc_parameters

    parameters = ldpc_parameters(len(bits), 0.02)
    for name in ("cascade", "cascade-low-leak"):
        plan = a_plan(reconciliation=name)
        with pytest.raises(RemoteProtocolError):
            rounds(2, parameters, bytes(16), bits=bits, is_reference=False, plan=plan)
