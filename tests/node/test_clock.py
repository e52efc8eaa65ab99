"""Clock recovery, gating and squashing of raw time tags, against clicks whose slots are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qanat.core.errors import LightEnded, QanatError
from qanat.core.ids import LinkId
from qanat.core.records import DetectionBlock
from qanat.node.drivers.clock import ClockLost, SlotClock
from qanat.node.drivers.gate import TaggedClicks, health_of, marked_slots, squashed
from qanat.node.drivers.timetags import TaggedReceiver
from qanat.node.entropy import SystemEntropy
from qanat.node.recordings.header import Header, Kind, Tags
from qanat.node.recordings.reader import RecordingReader
from qanat.node.recordings.writer import RecordingWriter

TAGS = Tags(
    channels={"X0": 1, "X1": 2, "Z0": 3, "Z1": 4},
    period_ps=1000.0,
    offset_ps=7_000,
    offset_window_ps=250.0,
    drift_ppm_max=20.0,
    gate_width_ps=600.0,
    p_x=0.75,
    temperature_c=-40.0,
    control_effort=0.1,
)
PULSES = 1_000_000


def clicks(count: int, *, seed: int = 1, mean_gap: int = 1000) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).geometric(1 / mean_gap, count))


def tags_of(slots: np.ndarray, *, drift_ppm: float = 0.0, error_ps: float = 0.0, jitter_ps: float = 60.0) -> np.ndarray:
    chance = np.random.default_rng(2).normal(0, jitter_ps, slots.size) if jitter_ps else 0.0
    return np.rint(7_000 + error_ps + slots * 1000.0 * (1 + drift_ppm * 1e-6) + chance).astype(np.int64)


def found(tag_ps: np.ndarray, tags: Tags = TAGS) -> np.ndarray:
    clock = SlotClock(tags)
    clock.acquire(tag_ps)
    return clock.phases(tag_ps)[0]


@pytest.mark.parametrize("drift_ppm", [-19.0, -0.3, 0.0, 4.0, 19.5])
@pytest.mark.parametrize("error_ps", [-200.0, 0.0, 200.0])
def test_every_click_finds_its_slot_whatever_rate_and_offset_are_allowed(drift_ppm: float, error_ps: float) -> None:
    slots = clicks(20_000)
    assert np.array_equal(found(tags_of(slots, drift_ppm=drift_ppm, error_ps=error_ps)), slots)


def test_a_clock_that_warms_up_is_followed() -> None:
    slots = clicks(60_000)
    warming_ps = 1e-6 * 1000.0 * slots * (slots / slots[-1]) / 2  # from 0 to 1 ppm within 60 ms: far more than a lab's
    tag_ps = np.rint(tags_of(slots) + warming_ps).astype(np.int64)
    assert np.array_equal(found(tag_ps), slots)


def test_noise_between_the_clicks_does_not_move_them() -> None:
    slots = clicks(20_000)
    noise = np.random.default_rng(5).integers(7_000, 7_000 + int(slots[-1]) * 1000, 4_000)
    tag_ps = np.concatenate([tags_of(slots, drift_ppm=3.0), noise])
    order = np.argsort(tag_ps, kind="stable")
    got = np.empty(tag_ps.size, dtype=np.int64)
    got[order] = found(tag_ps[order])
    assert np.array_equal(got[: slots.size], slots)


def test_an_offset_outside_its_window_a_rate_outside_its_range_and_noise_alone_are_told() -> None:
    slots = clicks(2_000)
    with pytest.raises(ClockLost, match=r"the clicks lie 4.. ps from where the header says; its window is 250 ps"):
        found(tags_of(slots, error_ps=420.0))
    with pytest.raises(ClockLost, match="crowd at no clock rate within 20 ppm"):
        found(tags_of(slots, drift_ppm=60.0))
    with pytest.raises(ClockLost, match="crowd at no clock rate"):
        found(np.sort(np.random.default_rng(3).integers(7_000, 10**9, 2_000)))
    with pytest.raises(ClockLost, match="10 clicks in all; 32 are needed"):
        found(tags_of(slots[:10]))


def test_a_short_pause_is_bridged_and_a_long_one_ends_the_light() -> None:
    slots = clicks(20_000)
    later = np.where(slots > slots[10_000], slots + 5_000_000, slots)  # 5 ms
    assert np.array_equal(found(tags_of(later, drift_ppm=5.0)), later)
    for pause in (50_000_000, 10**13):
        with pytest.raises(ClockLost, match="ms without light at tag"):
            found(tags_of(np.where(slots > slots[10_000], slots + pause, slots), jitter_ps=0.0))


def test_gating_and_doubles() -> None:
    some = TaggedClicks(
        np.array([5, 5, 5, 9, 9, 12]),
        np.array([0.0, 10.0, -290.0, 310.0, 0.0, 299.0]),
        np.array([0, 1, 0, 2, 3, 2], dtype=np.uint8),
    )
    slot, pattern = marked_slots(some, 600.0)
    assert (slot.tolist(), pattern.tolist()) == ([5, 9, 12], [0b0011, 0b1000, 0b0100])
    health = health_of(some, slot, TAGS)
    assert [a.count for a in health.arrivals] == [2, 1, 2, 1]
    assert [a.out_of_gate_count for a in health.arrivals] == [0, 0, 1, 0]
    assert health.gap_histogram[:3] == (0, 1, 1)
    assert marked_slots(TaggedClicks(slot[:0], np.empty(0), pattern[:0]), 600.0)[0].size == 0


def test_squashing_has_the_law_of_the_proof() -> None:
    count = 40_000
    for pattern, share_x in ((0b0011, 1.0), (0b1100, 0.0), (0b0101, 0.75), (0b1111, 0.75)):
        basis, bit, doubles = squashed(np.full(count, pattern, dtype=np.uint8), 0.75, SystemEntropy())
        assert doubles == count
        # Six sigma of a fair share of 40 000 is 0.015: a false alarm once in 5e8.
        assert abs(float((basis == 0).mean()) - share_x) < 0.015
        assert abs(float(bit.mean()) - 0.5) < 0.015
    basis, bit, doubles = squashed(np.array([1, 2, 4, 8], dtype=np.uint8), 0.75, SystemEntropy())
    assert (basis.tolist(), bit.tolist(), doubles) == ([0, 0, 1, 1], [0, 1, 0, 1], 0)


def recorded(path: Path, tag_ps: np.ndarray, channel: np.ndarray, tags: Tags = TAGS, **changes: int) -> TaggedReceiver:
    header = Header(
        kind=Kind.TIMETAGS,
        link=LinkId("a-b"),
        clock_hz=1e9,
        n_pulses=PULSES,
        pulse_block_ns=PULSES,
        is_simulated=False,
        tags=tags,
        **changes,
    )
    with RecordingWriter(path, header) as writer:
        for part in np.array_split(np.arange(tag_ps.size), max(1, tag_ps.size // 100)):
            writer.tags(tag_ps[part], channel[part].astype(np.uint8))
    return TaggedReceiver(RecordingReader(path), SystemEntropy())


def test_blocks_come_from_small_frames_and_strange_channels_are_passed_over(tmp_path: Path) -> None:
    slots = clicks(6_000)
    chance = np.random.default_rng(8)
    channel = chance.integers(1, 5, slots.size)
    tag_ps = tags_of(slots, drift_ppm=-7.0)
    order = np.argsort(tag_ps, kind="stable")
    tag_ps, ordered = tag_ps[order], channel[order].copy()
    strange = chance.random(slots.size) < 0.1
    ordered[strange] = 77
    receiver = recorded(tmp_path / "t", tag_ps, ordered, first_number=40, start_ns=5)
    blocks: list[DetectionBlock] = [receiver.next_block() for _ in range(int(slots[-1]) // PULSES + 1)]
    kept = slots[order][~strange]
    got = np.concatenate([block.index + (block.number - 40) * PULSES for block in blocks])
    assert np.array_equal(got, np.unique(kept))
    assert [block.number for block in blocks] == list(range(40, 40 + len(blocks)))
    assert blocks[0].start_ns == 5 + 40 * PULSES
    assert not receiver.is_simulated
    assert receiver.dropped_count == 0
    health = blocks[0].health
    assert health is not None
    assert all(50 < arrivals.std_ps < 70 for arrivals in health.arrivals)


@pytest.mark.parametrize(
    ("tag_ps", "error"),
    [
        (np.concatenate([tags_of(clicks(600)), np.array([2**60])]), ClockLost),
        (np.arange(700) - 2**60, ClockLost),
        (np.zeros(700, dtype=np.int64), LightEnded),  # all before the first slot: dropped and counted
    ],
    ids=["far", "early", "same"],
)
def test_hostile_tags_end_in_a_sentence(tmp_path: Path, tag_ps: np.ndarray, error: type[QanatError]) -> None:
    receiver = recorded(tmp_path / "hostile", tag_ps, np.ones(tag_ps.size))
    with pytest.raises(error):
        twenty_blocks(receiver)


def twenty_blocks(receiver: TaggedReceiver) -> None:
    for _ in range(20):
        receiver.next_block()
