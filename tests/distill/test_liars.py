"""A peer that lies about its counts: the honest end's key is never longer than its own proof gives on its own data."""

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.distill.pairing import Pair

from qanat.distill import messages, sifting
from qanat.distill.amplify import amplified
from qanat.distill.authenticate import RETURNED_BYTES
from qanat.distill.messages import Detections, Sifted
from qanat.distill.obtain import ReceivedKeyBlock
from qanat.distill.release import TOKEN_BYTES, divided
from qanat.distill.states import State
from qanat.distill.transmit import TransmittedKeyBlock
from qanat.keyrate.counts import DecoyCounts
from qanat.keyrate.lim2014 import secret_length

FULL = 6


def proven_bits(pair, end, report):
    """What the proof gives on what this end itself counted: from its link reports, by the formula."""
    blocks = [each for each in pair.link_reports(end) if report.first_number <= each.number <= report.last_number]
    columns = np.array([each.sifted_counts for each in blocks]).sum(axis=0)
    errors = np.array([each.error_counts_z for each in blocks]).sum(axis=0)
    plan = pair.plan
    proof = secret_length(
        DecoyCounts(n_x=tuple(columns[:, 0].tolist()), n_z=tuple(columns[:, 1].tolist()), m_z=tuple(errors.tolist())),
        intensities=plan.intensities,
        p_intensities=plan.p_intensities,
        leak_bits=report.leak_bits,
        tag_bits=report.tag_bits,
        epsilon_sec=plan.epsilon_sec,
        epsilon_cor=plan.epsilon_cor,
    )
    return math.floor(proof.signed_bits - proof.vacuum_bound) // 8 * 8 - 8 * (RETURNED_BYTES + TOKEN_BYTES)


def assert_no_longer_than_proven(pair, honest):
    made = [report for report in pair.reports(honest) if report.aborted is None]
    for report, key in zip(made, pair.keys(honest), strict=True):
        assert key.bits.size_bits == report.secret_bits <= proven_bits(pair, honest, report)


def test_honest_ends_make_exactly_what_is_proven():
    """The measure that the liars are held against."""
    pair = Pair()
    pair.run(2 * FULL)
    for end in (pair.alice, pair.bob):
        assert len(pair.keys(end)) == 2
        for report, key in zip(pair.reports(end), pair.keys(end), strict=True):
            assert key.bits.size_bits == proven_bits(pair, end, report)


@pytest.mark.parametrize("liar", [TransmittedKeyBlock, ReceivedKeyBlock])
@pytest.mark.parametrize("more_bits", [8, 8_000, -8])
def test_a_peer_whose_proof_gives_another_length_gets_no_key(monkeypatch, liar, more_bits):
    honest_length = liar._length

    def lied(self):
        found = honest_length(self)
        return replace(found, length_bits=found.length_bits + more_bits if found.length_bits else 0)

    monkeypatch.setattr(liar, "_length", lied)
    pair = Pair()
    pair.run(FULL)
    assert "our proof gives" in pair.failures(pair.bob)[0].reason
    assert not pair.keys(pair.alice) + pair.keys(pair.bob)


def lies(stream):
    """One lie of one kind of message; the liar's own count stays what it was."""

    def flipped(data, share):
        changes = stream.integers(0, 256, len(data)) * (stream.random(len(data)) < share)
        return (np.frombuffer(data, np.uint8) ^ changes).astype(np.uint8).tobytes()

    def fewer(message):
        return msgspec.structs.replace(message, slots=message.slots[:-200], bases=message.bases[: -100 // 8])

    return {
        Detections: [
            lambda m: msgspec.structs.replace(m, bases=flipped(m.bases, 0.1)),
            lambda m: msgspec.structs.replace(m, double_click_count=m.n_pulses),
            lambda m: msgspec.structs.replace(m, start_ns=m.start_ns + 10**9),
            fewer,
        ],
        Sifted: [
            lambda m: msgspec.structs.replace(m, intensity_low=flipped(m.intensity_low, 0.3)),
            lambda m: msgspec.structs.replace(m, intensity_high=bytes(len(m.intensity_high))),
            lambda m: msgspec.structs.replace(
                m, intensity_low=bytes(len(m.intensity_low)), intensity_high=bytes(len(m.intensity_high))
            ),
            lambda m: msgspec.structs.replace(m, z_bits=flipped(m.z_bits, 0.05)),
        ],
        messages.TestBits: [
            lambda m: msgspec.structs.replace(m, z_bits=flipped(m.z_bits, 0.02)),
            lambda m: msgspec.structs.replace(m, z_bits=bytes(len(m.z_bits))),
        ],
    }


class Liar:
    """Sits in a dishonest end: what it says of sifting is not what it counted, and it takes any length it is told."""

    def __init__(self, monkeypatch, kind, lie):
        self.told = 0
        self._kind, self._lie, self._honest = kind, lie, sifting.encoded
        monkeypatch.setattr(sifting, "encoded", self._encoded)
        if kind is not Sifted:
            monkeypatch.setattr(ReceivedKeyBlock, "_take_seed", _takes_any_seed)

    def _encoded(self, message):
        if isinstance(message, self._kind):
            message = self._lie(message)
            self.told += 1
        return self._honest(message)


def _takes_any_seed(self, message):
    self._new_key = divided(amplified(self._own_bits(), message))
    self.state = State.TAGGING


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from([Detections, Sifted, messages.TestBits]),
    which=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_whatever_is_said_in_sifting_the_honest_ends_own_proof_decides(kind, which, seed):
    with pytest.MonkeyPatch.context() as patch:
        offered = lies(np.random.default_rng(seed))[kind]
        liar = Liar(patch, kind, offered[which % len(offered)])
        pair = Pair()
        for _ in range(2 * FULL):
            pair.until_quiet()
            if not pair.bob.can_accept_block():
                break
            pair.shine()
        pair.until_quiet()
        assert liar.told
        assert_no_longer_than_proven(pair, pair.bob if kind is Sifted else pair.alice)


def test_a_receiver_that_repeats_our_own_test_bits_gets_what_they_prove_and_no_more(monkeypatch):
    """It hides all errors in Z, and so do we then believe there are none: but it is an end of the link, and has the
    key anyway. What it cannot do is to make our key longer than our proof of what it said."""
    heard = []
    finish = sifting.ReceiverSifting.finish

    def noting(self, message, raw):
        heard.append(message.z_bits)
        return finish(self, message, raw)

    monkeypatch.setattr(sifting.ReceiverSifting, "finish", noting)
    liar = Liar(monkeypatch, messages.TestBits, lambda m: msgspec.structs.replace(m, z_bits=heard[-1]))
    pair = Pair()
    pair.run(FULL)
    assert liar.told == FULL
    assert sum(report.error_count for report in pair.link_reports(pair.alice)) == 0
    (report,) = pair.reports(pair.alice)
    assert report.aborted is None
    assert pair.keys(pair.alice)[0].bits.size_bits == proven_bits(pair, pair.alice, report)


def test_a_transmitter_that_calls_every_pulse_bright_or_dim_makes_our_key_no_longer(monkeypatch):
    for low, high in ((0, 0), (1, 0), (0, 1)):
        with monkeypatch.context() as patch:
            Liar(
                patch,
                Sifted,
                lambda m, low=low, high=high: msgspec.structs.replace(
                    m, intensity_low=bytes([255 * low]) * len(m.intensity_low),
                    intensity_high=bytes([255 * high]) * len(m.intensity_high),
                ),
            )  # fmt: skip
            pair = Pair()
            for _ in range(FULL):
                pair.until_quiet()
                if pair.bob.can_accept_block():
                    pair.shine()
            pair.until_quiet()
            assert not pair.keys(pair.bob)
