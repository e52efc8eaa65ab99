"""Sifting: what an honest receiver announces is understood, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.distill.pairing import a_plan, light_of

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.distill.messages import Sifted, decoded, encoded
from qanat.distill.plan import SessionPlan
from qanat.distill.sift import (
    announcement,
    answer,
    checked_slots,
    count_errors,
    gaps_from_slots,
    packed,
    slots_from_gaps,
    take_answer,
    take_test_bits,
)
from qanat.distill.sifting import TransmitterSifting

PLAN = a_plan()


@given(st.lists(st.integers(0, 2**33), unique=True, max_size=60).map(sorted))
def test_slots_survive_as_gaps(slots):
    index = np.array(slots, dtype=np.int64)
    assert slots_from_gaps(gaps_from_slots(index)).tolist() == slots


@pytest.mark.parametrize(
    "slots", [[0, 65_534, 65_535, 65_536, 131_070, 131_071], [65_534], [65_535], [196_604, 196_605]]
)
def test_slots_at_the_edges_of_a_long_gap(slots):
    assert slots_from_gaps(gaps_from_slots(np.array(slots))).tolist() == slots


def an_announcement(index, **changes):
    block = replace(
        light_of(PLAN, 1).block(0),
        index=np.array(index, dtype=np.int64),
        basis=np.zeros(len(index), np.uint8),
        bit=np.zeros(len(index), np.uint8),
    )
    return type(said := announcement(block))(**{name: getattr(said, name) for name in said.__struct_fields__} | changes)


@pytest.mark.parametrize(
    "bad",
    [
        an_announcement([1, 2, PLAN.pulses_per_block]),  # beyond the block
        an_announcement([], slots=b"\x00\x00"),  # a gap of 0: before the first slot
        an_announcement([], slots=b"\x00\x05\x00\x00"),  # the same slot twice
        an_announcement([], slots=b"\x00"),  # half a gap
        an_announcement([1], n_pulses=PLAN.pulses_per_block - 1),
        an_announcement([1], number=-1),
        an_announcement([1], number=2**62 // PLAN.pulses_per_block),
        an_announcement([1], number=2**63),
        an_announcement([1], start_ns=2**63),
        an_announcement([1], double_click_count=-1),
    ],
)
def test_lists_that_no_honest_receiver_sends_are_refused(bad):
    with pytest.raises(RemoteProtocolError):
        checked_slots(bad, PLAN)


def test_bases_of_another_number_than_slots_are_refused():
    with pytest.raises(RemoteProtocolError, match="bases"):
        answer(an_announcement([1, 2], bases=b"\0\0"), PLAN, light_of(PLAN, 1))


def test_both_ends_keep_the_same_positions_and_the_bits_differ_by_the_light_only():
    light = light_of(PLAN, 1, p_flip=0.0, p_dark=0.0)
    seen = light.block(0)
    said, ours = answer(announcement(seen), PLAN, light)
    theirs, z_bits = take_answer(seen, decoded(encoded(said)))
    assert np.array_equal(ours.x_bits, theirs.x_bits)
    assert np.array_equal(ours.z_bits, theirs.z_bits)
    assert np.array_equal(ours.z_bits, z_bits)
    assert (ours.n_x, ours.n_z) == (theirs.n_x, theirs.n_z)
    assert sum(ours.n_x) == len(ours.x_bits) > 1000
    x_share = len(ours.x_bits) / (len(ours.x_bits) + len(ours.z_bits))
    assert x_share == pytest.approx(0.36 / 0.52, abs=0.04)  # 7000 bits: seven standard deviations


def test_the_announcement_does_not_depend_on_any_bit_and_the_answer_on_no_key_bit():
    light = light_of(PLAN, 1)
    seen = light.block(0)
    assert announcement(replace(seen, bit=1 - seen.bit)) == announcement(seen)

    class Flipped:
        intensities, p_intensities, p_x, is_simulated = light.intensities, light.p_intensities, light.p_x, True

        def settings_at(self, number, index):
            settings = light.settings_at(number, index)
            return replace(settings, bit=settings.bit ^ (settings.basis == 0).astype(np.uint8))

        def health_of(self, number):
            return light.health_of(number)

    assert answer(announcement(seen), PLAN, light)[0] == answer(announcement(seen), PLAN, Flipped())[0]


def test_an_intensity_that_does_not_exist_is_refused():
    light = light_of(PLAN, 1)
    seen = light.block(0)
    said, _ = answer(announcement(seen), PLAN, light)
    ones = b"\xff" * len(said.intensity_low)
    spoilt = Sifted(number=0, kept=said.kept, intensity_low=ones, intensity_high=ones, z_bits=said.z_bits, health=None)
    with pytest.raises(RemoteProtocolError, match="intensity"):
        take_answer(seen, spoilt)


def test_a_pulse_block_is_answered_once():
    light = light_of(PLAN, 1)
    sifting = TransmitterSifting(PLAN, light)
    said = announcement(light.block(3))
    sifting.answer(said, encoded(said))
    with pytest.raises(RemoteProtocolError):
        sifting.answer(said, encoded(said))


def test_the_plan_must_name_what_the_transmitter_prepares():
    with pytest.raises(LocalProtocolError):
        TransmitterSifting(replace(PLAN, p_x=0.5), light_of(PLAN, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"intensities": (0.5, 0.1)},
        {"epoch": -1},
        {"block_sifted_bits": 10**9},
        {"epsilon_sec": 0.0},
        {"epsilon_cor": 1e-30},
        {"pulses_per_block": 0},
    ],
)
def test_plans_outside_the_proof_are_refused(change):
    with pytest.raises(ValueError, match="link north-south"):
        a_plan(**change)


def test_any_change_of_the_plan_changes_its_digest():
    others = [a_plan(epoch=2), a_plan(epsilon_sec=1e-7), a_plan(p_x=0.61), a_plan(is_simulated=False)]
    assert len({plan.digest() for plan in [PLAN, *others]}) == 5
    assert isinstance(PLAN, SessionPlan)


THREE = a_plan(is_three_state=True)


class ThreeStates:
    """The same light with one test state: what carried a 1 in Z never left."""

    is_simulated = True
    p_zero = (0.5, 1.0)

    def __init__(self):
        self.light = light_of(THREE, 1, p_flip=0.0, p_dark=0.0)
        self.intensities, self.p_intensities, self.p_x = THREE.intensities, THREE.p_intensities, THREE.p_x
        self.health_of = self.light.health_of

    def settings_at(self, number, index):
        settings = self.light.settings_at(number, index)
        return replace(settings, bit=settings.bit & (settings.basis == 0).astype(np.uint8))

    def seen(self):
        block = self.light.block(0)
        sent = self.light.settings_at(0, block.index)
        odd = (sent.basis == 1) & (sent.bit == 1)
        return replace(block, **{name: getattr(block, name)[~odd] for name in ("index", "basis", "bit")})


def test_three_states_tell_of_crossed_detections_alike_at_both_ends():
    module = ThreeStates()
    seen = module.seen()
    said, ours = answer(announcement(seen), THREE, module)
    theirs, z_bits = take_answer(seen, decoded(encoded(said)), is_three_state=True)
    count_errors(theirs, z_bits)
    take_test_bits(ours, packed(theirs.test_bits))
    for name in ("n_x", "n_z", "m_z", "n_c", "zero_c"):
        assert getattr(ours, name) == getattr(theirs, name), name
    sent = module.settings_at(0, seen.index)
    crossed = (sent.basis == 0) & (seen.basis == 1)
    assert sum(ours.n_c) == crossed.sum() > 500
    assert sum(ours.zero_c) == (seen.bit[crossed] == 0).sum()
    assert ours.m_z == (0, 0, 0)


def test_the_transmitter_never_tells_its_bit_in_crossed_slots():
    """The proof imagines another measurement there: not a bit of what it says may depend on them."""
    module = ThreeStates()
    seen = module.seen()

    class Flipped(ThreeStates):
        def settings_at(self, number, index):
            settings = super().settings_at(number, index)
            crossed = settings.basis == 0
            return replace(settings, bit=settings.bit ^ crossed.astype(np.uint8))

    assert answer(announcement(seen), THREE, module)[0] == answer(announcement(seen), THREE, Flipped())[0]


def test_four_state_plans_say_what_they_said():
    light = light_of(PLAN, 1)
    seen = light.block(0)
    said, ours = answer(announcement(seen), PLAN, light)
    kept = int(np.unpackbits(np.frombuffer(said.kept, dtype=np.uint8)).sum())
    assert len(said.intensity_low) == (kept + 7) // 8
    assert ours.test_bits.size == ours.z_bits.size
    assert ours.n_c == (0, 0, 0)


def test_a_test_state_that_three_state_light_does_not_have_is_refused():
    module = ThreeStates()
    seen = module.seen()
    said, ours = answer(announcement(seen), THREE, module)
    with pytest.raises(RemoteProtocolError, match="test state"):
        take_answer(
            seen, replace_said(said, z_bits=packed(np.ones(len(ours.z_bits), dtype=np.uint8))), is_three_state=True
        )
    with pytest.raises(RemoteProtocolError, match="intensity"):
        take_answer(seen, said, is_three_state=False)
    with pytest.raises(RemoteProtocolError, match="test bits"):
        take_test_bits(ours, b"\0")


def replace_said(said, **changes):
    return Sifted(**{name: getattr(said, name) for name in Sifted.__struct_fields__} | changes)


def test_plan_and_transmitter_must_mean_the_same_test_states():
    """Three-state light under the four-state proof would hide half of the phase errors."""
    for plan, module in ((PLAN, ThreeStates()), (THREE, light_of(THREE, 1))):
        with pytest.raises(LocalProtocolError, match="other test states"):
            TransmitterSifting(plan, module)
    TransmitterSifting(THREE, ThreeStates())
    with pytest.raises(ValueError, match="a pair has them all"):
        a_plan(is_three_state=True, is_entangled=True, intensities=(0.1,), p_intensities=(1.0,))
