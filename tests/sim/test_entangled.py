"""BBM92 end to end: pairs, two receivers, the session that weak-pulse links use, equal keys."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from qanat.core.errors import MisuseError
from qanat.core.ids import LinkId
from qanat.core.provenance import Authentication
from qanat.core.records import KeyBlock, Role
from qanat.core.report import BlockReport
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AuthenticationPool
from qanat.distill.plan import SessionPlan
from qanat.distill.session import Session
from qanat.physics.layout import POLARISATION
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import STATE_ANGLES_RAD
from qanat.physics.pairs import PairEnd, PairLink, PairSource
from qanat.sim.entangled import PairTransmitter, SimulatedPairGlass

LINK = LinkId("north-south")
MS = 1_000_000
SHARES = (0.7, 0.7, 0.3, 0.3)


class SystemEntropy:
    def random_bytes(self, size_bytes):
        return os.urandom(size_bytes)


def pairs(**changes):
    end = PairEnd(
        layout=POLARISATION,
        angles_rad=STATE_ANGLES_RAD,
        shares=SHARES,
        efficiency=(0.5,) * 4,
        p_dark=(1e-6,) * 4,
        transmittance=0.5,
        visibility=0.985,
    )
    return replace(PairLink(source=PairSource(mean_pairs=0.03), alice=end, bob=end), **changes)


def glass_of(link, *, pulses_per_block=4_000_000):
    memory = DetectorMemory(dead_gates=50, p_trap=(0.02,), p_release=(1 / 100,))
    return SimulatedPairGlass(
        link=LINK,
        pairs=link,
        alice_memory=memory,
        bob_memory=memory,
        pulses_per_block=pulses_per_block,
        pulse_block_ns=MS,
        stream_seed=b"a glass of pairs",
    )


def run(link, blocks):
    """Both ends in one process; what each told."""
    plan = SessionPlan(
        link=LINK,
        epoch=1,
        intensities=(link.source.mean_pairs,),
        p_intensities=(1.0,),
        p_x=0.7,
        pulses_per_block=4_000_000,
        pulse_block_ns=MS,
        block_sifted_bits=20_000,
        epsilon_sec=1e-6,
        epsilon_cor=1e-12,
        is_entangled=True,
        is_simulated=True,
    )
    glass, transmitter = glass_of(link), PairTransmitter(link=LINK, mean_pairs=link.source.mean_pairs, p_x=0.7)
    secret = hashlib.sha256(b"pairs").digest() * 32
    common = {"plan": plan, "entropy": SystemEntropy()}
    alice = Session(
        role=Role.TRANSMITTER,
        pool=AuthenticationPool(SecretBits(secret), authentication=Authentication.PRE_SHARED),
        transmitter=transmitter,
        **common,
    )
    bob = Session(
        role=Role.RECEIVER,
        pool=AuthenticationPool(SecretBits(secret), authentication=Authentication.PRE_SHARED),
        **common,
    )
    told = {alice: [], bob: []}
    for now_ns in range(blocks):
        at_alice, at_bob = glass.next_blocks()
        transmitter.add_detections(at_alice)
        bob.add_detections(at_bob, now_ns)
        while True:
            frames = [(bob, frame) for frame in alice.frames_to_send(now_ns)]
            frames += [(alice, frame) for frame in bob.frames_to_send(now_ns)]
            for end, frame in frames:
                end.receive(frame, now_ns)
            for end, events in told.items():
                events += end.events()
            if not frames:
                break
    return told[alice], told[bob]


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def test_two_receivers_of_one_pair_source_come_to_equal_keys() -> None:
    at_alice, at_bob = run(pairs(), blocks=12)
    keys = [of(events, KeyBlock) for events in (at_alice, at_bob)]
    assert len(keys[0]) >= 1
    assert [key.bits.reveal() for key in keys[0]] == [key.bits.reveal() for key in keys[1]]
    assert all(len(key.bits.reveal()) > 100 for key in keys[0])
    assert all(key.provenance.simulated for key in keys[0])


def test_interception_of_all_pairs_yields_no_key_at_either_end() -> None:
    at_alice, at_bob = run(pairs(intercepted=1.0), blocks=12)
    assert of(at_bob, BlockReport)
    assert not of(at_alice, KeyBlock)
    assert not of(at_bob, KeyBlock)


def test_a_slot_that_alice_did_not_see_is_not_known_and_no_block_is_told_twice() -> None:
    at_alice, at_bob = glass_of(pairs(), pulses_per_block=200_000).next_blocks()
    common = np.isin(at_bob.index, at_alice.index)
    bit = at_alice.bit.copy()
    transmitter = PairTransmitter(link=LINK, mean_pairs=0.03, p_x=0.7)
    transmitter.add_detections(at_alice)
    told = transmitter.settings_at(0, at_bob.index)
    assert np.array_equal(told.is_known, common)
    assert 100 < common.sum() < len(common)
    assert np.array_equal(told.bit[common], bit[np.isin(at_alice.index, at_bob.index)])
    assert not transmitter.settings_at(0, at_bob.index).is_known.any()


def test_a_plan_of_one_intensity_must_say_that_it_is_entangled() -> None:
    """The proof of pairs knows no photon numbers: for laser pulses it would be wrong."""
    values = {
        "link": LINK,
        "epoch": 1,
        "p_x": 0.7,
        "pulses_per_block": 100,
        "pulse_block_ns": MS,
        "block_sifted_bits": 8_000,
        "epsilon_sec": 1e-6,
        "epsilon_cor": 1e-12,
        "is_simulated": True,
    }
    with pytest.raises(ValueError, match="3 intensities"):
        SessionPlan(intensities=(0.5,), p_intensities=(1.0,), **values)
    with pytest.raises(ValueError, match="1 intensities"):
        SessionPlan(intensities=(0.5, 0.1, 0.01), p_intensities=(0.5, 0.3, 0.2), is_entangled=True, **values)


def test_a_glass_without_slots_is_refused() -> None:
    with pytest.raises(MisuseError):
        glass_of(pairs(), pulses_per_block=0)
