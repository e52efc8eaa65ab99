"""Recorded time-bin light, three states, replayed to equal keys; and what a recording may not pass for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.sim.test_time_bin_link import FIBRE, LINK, KeyBlock, ends_of, exchange, of

from qanat.core.errors import LightEnded
from qanat.node.drivers import replay, timetags
from qanat.node.drivers.ports import LightContext, WrongLight
from qanat.node.drivers.uri import LightUri
from qanat.node.module.run import check_law
from qanat.node.recordings.header import Kind
from qanat.node.recordings.make import Run, record

SLOW = replace(LINK, clock_hz=1e7, pulse_block_ns=100_000_000, epsilon_sec=1e-6)


@pytest.fixture(scope="module")
def light(tmp_path_factory) -> dict[Kind, Path]:
    return record(Run(link=SLOW, fibre=FIBRE, blocks=30, seed=3), tmp_path_factory.mktemp("light"))


CONTEXT = LightContext(link=SLOW, fibre=FIBRE)


def test_recorded_three_state_light_makes_equal_keys(light) -> None:
    assert set(light) == {Kind.SETTINGS, Kind.DETECTIONS}
    source = replay.transmitter(LightUri.parse(f"replay://{light[Kind.SETTINGS]}"), CONTEXT)
    check_law(source, SLOW, "the recording")
    seen = replay.receiver(LightUri.parse(f"replay://{light[Kind.DETECTIONS]}"), CONTEXT)
    alice, bob = ends_of(SLOW, source)
    told, now_ns = ([], []), 0
    while True:
        try:
            bob.add_detections(seen.next_block(), now_ns)
        except LightEnded:
            break
        now_ns = exchange(alice, bob, told, now_ns)
    keys = [of(KeyBlock, events) for events in told]
    assert len(keys[0]) == len(keys[1]) >= 1
    assert all(one.bits == other.bits for one, other in zip(*keys, strict=True))


def test_light_with_other_test_states_than_the_plans_is_refused(light) -> None:
    """Three-state light under the four-state proof would hide half of the phase errors."""
    source = replay.transmitter(LightUri.parse(f"replay://{light[Kind.SETTINGS]}"), CONTEXT)
    assert source.p_zero == (0.5, 1.0)
    source.p_zero = (0.5, 0.5)
    with pytest.raises(WrongLight, match="p_zero"):
        check_law(source, SLOW, "the recording")


def test_time_tags_of_a_time_bin_receiver_are_refused_in_words(light) -> None:
    with pytest.raises(WrongLight, match="slot within a gate"):
        timetags.receiver(LightUri.parse(f"timetags://{light[Kind.DETECTIONS]}"), CONTEXT)
