"""The schedule of faults: every kind, its near misses, its random form."""

from pathlib import Path

import pytest

from qanat.core.errors import MisuseError
from qanat.core.netfile import network_from_toml
from qanat.core.timebase import NS_PER_S
from qanat.physics.attack import InterceptResend, PulsedBlinding
from qanat.sim.faults import Fault, faults_from_text

TINY = network_from_toml((Path(__file__).parents[2] / "networks" / "tiny.toml").read_text(encoding="utf-8"))
MINUTE = 60 * NS_PER_S


def faults(text: str, seed: bytes = b"seed") -> list[Fault]:
    return faults_from_text(text, TINY, duration_ns=MINUTE, seed=seed)


def test_each_kind_is_understood_and_written_as_it_is_read() -> None:
    text = (
        "lossy:0.1, intercept-resend:mitte-moabit:0.5@10s+5s, tap:mitte-wedding@1s, jamming:mitte-moabit:1e6@2s+1s,"
        "cut:duct-mitte-moabit@20s+2s, crash:mitte@30s, partition:mitte+hub|moabit@3s+4s, clock:wedding:-500ms@5s+1s"
    )
    found = faults(text)
    assert {fault.kind for fault in found} == {
        "lossy", "intercept-resend", "tap", "jamming", "cut", "crash", "partition", "clock",
    }  # fmt: skip
    assert [fault.start_ns for fault in found] == sorted(fault.start_ns for fault in found)
    assert faults(",".join(map(str, found))) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cuts:duct-mitte-moabit", "did you mean cut?"),
        ("cut:duct-mitte-moabid", "did you mean duct-mitte-moabit?"),
        ("tap:mitte-moabt", "no link is called 'mitte-moabt'; did you mean mitte-moabit?"),
        ("crash:mite@3s", "did you mean mitte?"),
        ("crash:mitte", "say when"),
        ("partition:mitte", "two sides"),
        ("partition:mitte|hubb", "did you mean hub?"),
        ("lossy:2", "not between 0 and 0.9"),
        ("lossy", "say how lossy"),
        ("tap:mitte-moabit:1.5", "must lie between 0 and 1"),
        ("tap:mitte-moabit:0.5:0.6", "is not a number and NAME=VALUE"),
        ("intercept-resend:mitte-moabit:basis=xx", "basis 'xx' is unknown"),
        ("blinding:mitte-moabit:shift_ps=3", "does not take shift_ps"),
        ("pulsed-blinding:mitte-moabit:10.5", "whole number"),
        ("cut:duct-mitte-moabit:3", "takes no number"),
        ("cut:duct-mitte-moabit@ten", "unit 'ten'"),
        ("clock:mitte", "say how wrong"),
        ("random:-1", "not between 0 and 600"),
        ("tap:mitte-moabit:much", "much"),
    ],
)
def test_a_wrong_entry_is_misuse_with_the_near_miss(text: str, words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        faults(text)
    assert words in str(caught.value)


def test_an_attack_is_told_its_numbers_by_place_and_by_name() -> None:
    text = "intercept-resend:mitte-moabit:0.3:basis=x@1s+1s,pulsed-blinding:mitte-moabit:1000:length_gates=10@2s+1s"
    found = faults(text)
    assert [fault.attack for fault in found] == [InterceptResend(0.3, "x"), PulsedBlinding(1000, 10)]
    assert faults(",".join(map(str, found))) == found


def test_random_faults_follow_the_seed_and_the_rate() -> None:
    hour = 60 * MINUTE
    first = faults_from_text("random:10", TINY, duration_ns=hour, seed=b"1")
    assert first == faults_from_text("random:10", TINY, duration_ns=hour, seed=b"1")
    assert first != faults_from_text("random:10", TINY, duration_ns=hour, seed=b"2")
    assert abs(len(first) - 600) < 125  # Poisson: five standard deviations
    assert len({fault.kind for fault in first}) >= 8
    assert all(fault.end_ns <= hour for fault in first)


def test_no_text_no_fault() -> None:
    assert faults("") == []
