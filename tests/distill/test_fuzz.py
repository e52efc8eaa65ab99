"""Every state of a session at either end, every kind of hostile frame: a clean end or no effect, and nothing else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.distill import fuzzing
from tests.distill.fuzzing import HARMLESS, HOSTILE, MOMENTS, PLANS, assert_nothing_was_lost_to_it, struck

from qanat.core.records import Role
from qanat.distill.states import HEARABLE, State

EVERYWHERE = [(role, moment) for role, named in MOMENTS.items() for moment in named]


def test_every_state_in_which_a_peer_may_speak_is_fuzzed():
    assert {(role, moment) for role, moment in EVERYWHERE if isinstance(moment, State)} == set(HEARABLE)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(("role", "moment"), EVERYWHERE)
def test_a_hostile_frame_in_any_state_ends_in_good_order(plan, role, moment):
    for seed, attack in enumerate(HOSTILE):
        what = f"struck({plan!r}, {role!r}, {moment!r}, {attack.__name__}, {seed})"
        wire = struck(plan, role, moment, attack, seed)
        assert wire.is_struck, what
        assert_nothing_was_lost_to_it(wire, what)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(("role", "moment"), EVERYWHERE)
def test_what_a_bad_network_does_costs_nothing_in_any_state(plan, role, moment):
    for seed, attack in enumerate(HARMLESS):
        what = f"struck({plan!r}, {role!r}, {moment!r}, {attack.__name__}, {seed})"
        wire = struck(plan, role, moment, attack, seed)
        pair = wire.pair
        assert wire.is_struck, what
        assert_nothing_was_lost_to_it(wire, what)
        assert not pair.failures(pair.alice) + pair.failures(pair.bob), what
        assert len(pair.keys(pair.bob)) == len(pair.keys(pair.alice)) >= 1, what


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    plan=st.sampled_from(list(PLANS)),
    place=st.sampled_from(EVERYWHERE),
    attack=st.sampled_from(HOSTILE),
    seed=st.integers(0, 2**32 - 1),
)
def test_hostile_frames_at_random(plan, place, attack, seed):
    wire = struck(plan, *place, attack, seed)
    assert_nothing_was_lost_to_it(wire, (plan, place, attack.__name__, seed))


def test_the_fuzz_reaches_a_key_block_that_waits_with_its_tag():
    """``READY`` hears nothing; the frames of others come meanwhile."""
    seen = set()

    def strike(frame, wire):
        seen.update(fuzzing.moments(wire.victim))
        return [frame]

    pair, blocks = fuzzing.pipelined()
    wire = fuzzing.Wire(pair, role=Role.TRANSMITTER, moment=State.READY, nth=0, strike=strike)
    wire.run(blocks)
    assert wire.is_struck
    assert State.READY in seen
    assert len(pair.keys(pair.bob)) >= 2
