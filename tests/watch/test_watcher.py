"""The watcher on links with known light. Every window is 50 ms with about 4000 test bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from qanat.core.alarms import Alarm, AlarmKind
from qanat.core.errors import LocalProtocolError
from qanat.core.ids import LinkId
from qanat.core.report import LinkReport
from qanat.core.streams import Streams
from qanat.watch.watcher import Watcher

LINK = LinkId("alfa-bravo")
WINDOW_NS = 50_000_000
PULSES = 50_000_000


def watcher(interval_s: float = 2_592_000.0, **options: int) -> Watcher:
    return Watcher(links=[LINK], false_alarm_interval_s=interval_s, pulse_block_ns={LINK: WINDOW_NS}, **options)


@dataclass
class Light:
    """A link's public face. Counts are Poisson, errors binomial, from a named stream."""

    seed: int = 1
    number: int = 0
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = Streams(seed=self.seed).get("tests/watch/light")

    def report(
        self, qber: float = 0.02, *, rate: float = 1.0, test_bits: int = 4000, detections: int = 200_000
    ) -> LinkReport:
        """The next window: ``rate`` scales detections and test bits alike."""
        tests = int(self.rng.poisson(test_bits * rate))
        errors = int(self.rng.binomial(tests, qber))
        report = LinkReport(
            link=LINK,
            number=self.number,
            start_ns=self.number * WINDOW_NS,
            duration_ns=WINDOW_NS,
            n_pulses=PULSES,
            detection_count=int(self.rng.poisson(detections * rate)),
            double_click_count=0,
            sifted_counts=((9 * tests, tests),),
            error_counts_z=(errors,),
            made_at_ns=self.number * WINDOW_NS,
        )
        self.number += 1
        return report


def run(w: Watcher, light: Light, windows: int, qber: float = 0.02, **options: float) -> list[Alarm]:
    alarms = []
    for _ in range(windows):
        report = light.report(qber, **options)
        alarms += w.observe(report, report.made_at_ns)
    return alarms


def delay(w: Watcher, light: Light, limit: int, qber: float = 0.02, **options: float) -> tuple[int, Alarm]:
    """Windows until the first alarm, and that alarm."""
    for count in range(1, limit + 1):
        found = run(w, light, 1, qber, **options)
        if found:
            return count, found[0]
    raise AssertionError(f"no alarm in {limit} windows")


@pytest.mark.parametrize("seed", range(8))
def test_a_full_intercept_resend_alarms_in_its_first_window(seed: int) -> None:
    w, light = watcher(), Light(seed)
    assert run(w, light, 40) == []
    count, alarm = delay(w, light, 2, 0.26)
    assert count == 1
    assert (alarm.kind, alarm.raised, alarm.severity) == (AlarmKind.QBER, True, "critical")
    assert alarm.since_ns == 39 * WINDOW_NS, "the window before the attack is margin"
    assert alarm.last_good_number == 38
    assert alarm.statistic > alarm.threshold > math.log(2_592_000 / 0.05)
    assert "baseline 1.9" in alarm.evidence or "baseline 2" in alarm.evidence


def test_one_change_is_one_alarm() -> None:
    w, light = watcher(), Light(3)
    run(w, light, 40)
    assert len(run(w, light, 300, 0.26)) == 1


@pytest.mark.parametrize("seed", range(4))
def test_an_attack_from_the_first_window_alarms_while_learning(seed: int) -> None:
    w, light = watcher(), Light(seed)
    count, alarm = delay(w, light, 2, 0.26)
    assert count == 1
    assert w.is_learning(LINK)
    assert alarm.since_ns == 0
    assert "no baseline" in alarm.evidence
    ends = run(w, light, 3, 0.02)
    assert [end.raised for end in ends] == [False]


def test_an_error_rate_of_twelve_percent_is_not_learned() -> None:
    w, light = watcher(), Light(5)
    _, alarm = delay(w, light, 20, 0.13)
    assert alarm.kind is AlarmKind.QBER


def test_delay_from_two_to_three_percent_is_near_the_bound() -> None:
    # k = 4000 bits * 2.2e-3 nat = 9 nat per window; ln(gamma J) = 20.4: three windows at best, the
    # allowance for drift and learning costs about one more. Deterministic streams: no chance of failure.
    delays = []
    for seed in range(20):
        w, light = watcher(), Light(seed)
        run(w, light, 200)
        delays.append(delay(w, light, 20, 0.03)[0])
    assert 2.0 <= np.mean(delays) <= 5.0


def test_a_partial_intercept_resend_of_five_percent_is_found_and_dated() -> None:
    for seed in range(10):
        w, light = watcher(), Light(seed)
        assert run(w, light, 200) == []
        count, alarm = delay(w, light, 20, 0.02 + 0.05 * 0.25 * 0.96)
        assert count <= 6
        assert alarm.since_ns <= 200 * WINDOW_NS, "no block of the attack may count as good"
        assert alarm.since_ns >= 190 * WINDOW_NS, "and few good ones as bad"


def test_a_one_percent_intercept_resend_is_found_within_seconds() -> None:
    w, light = watcher(), Light(2)
    run(w, light, 1500)
    count, alarm = delay(w, light, 300, 0.02 + 0.01 * 0.25 * 0.96)
    assert count > 5
    assert alarm.since_ns <= 1500 * WINDOW_NS


def test_a_cut_alarms_critically_in_its_first_window() -> None:
    w, light = watcher(), Light(1)
    assert run(w, light, 40) == []
    count, alarm = delay(w, light, 1, 0.5, rate=0.0005)
    assert (count, alarm.kind, alarm.severity) == (1, AlarmKind.DETECTION_RATE, "critical")
    assert alarm.since_ns == 39 * WINDOW_NS
    later = run(w, light, 200, 0.5, rate=0.0005)
    assert {a.kind for a in later} <= {AlarmKind.QBER}, "dark counts are half wrong, which is another change"
    assert len(later) <= 1


@pytest.mark.parametrize(("rate", "sign"), [(0.95, "-0.2"), (1.05, "+0.2")])
def test_a_tap_of_five_percent_is_a_warning(rate: float, sign: str) -> None:
    for seed in range(5):
        w, light = watcher(), Light(seed)
        assert run(w, light, 60) == []
        count, alarm = delay(w, light, 12, rate=rate)
        assert count <= 8
        assert (alarm.kind, alarm.severity) == (AlarmKind.DETECTION_RATE, "warning")
        assert sign in alarm.evidence


def test_a_tap_that_becomes_a_cut_is_critical() -> None:
    w, light = watcher(), Light(1)
    run(w, light, 60)
    first = run(w, light, 20, rate=0.9)
    then = run(w, light, 20, rate=0.001, qber=0.5)
    rates = [a for a in first + then if a.kind is AlarmKind.DETECTION_RATE]
    assert [(a.raised, a.severity) for a in rates] == [(True, "warning"), (True, "critical")]
    back = run(w, light, 20)
    assert [a.raised for a in back if a.kind is AlarmKind.DETECTION_RATE] == [False]


def test_bright_light_is_critical() -> None:
    w, light = watcher(), Light(1)
    run(w, light, 40)
    _, alarm = delay(w, light, 2, rate=3.0)
    assert (alarm.kind, alarm.severity) == (AlarmKind.DETECTION_RATE, "critical")


@pytest.mark.parametrize("seed", range(5))
def test_recovery_is_reported_with_evidence_and_the_test_starts_afresh(seed: int) -> None:
    w, light = watcher(), Light(seed)
    run(w, light, 40)
    run(w, light, 10, 0.26)
    ends = run(w, light, 10)
    assert [(a.kind, a.raised) for a in ends] == [(AlarmKind.QBER, False)]
    assert ends[0].since_ns >= 51 * WINDOW_NS, "nothing measured under attack counts as good"
    assert "back at" in ends[0].evidence
    assert ends[0].statistic >= ends[0].threshold
    assert run(w, light, 100) == []
    assert delay(w, light, 2, 0.26)[0] == 1, "the baseline was kept, so a second attack is found as fast"


def test_an_alarm_does_not_end_while_she_takes_a_tenth() -> None:
    w, light = watcher(), Light(4)
    run(w, light, 100)
    run(w, light, 10, 0.26)
    assert run(w, light, 400, 0.02 + 0.1 * 0.25 * 0.96) == []


def test_the_baseline_learns_nothing_of_an_attack() -> None:
    w, light = watcher(), Light(4)
    run(w, light, 100)
    before = w._watches[LINK].qber.baseline.ratio
    run(w, light, 1000, 0.05)
    assert w._watches[LINK].qber.baseline.ratio == before


def test_slow_mild_drift_does_not_alarm() -> None:
    # Half an hour in windows of 1 s with 1e4 bits: QBER 2 % +- 0.1 % (here in 2 h, a day's swing made
    # twelve times as fast) plus an Ornstein-Uhlenbeck wander of 0.05 % over 1 h; rate wanders 1 % with it.
    for seed in range(3):
        light = Light(seed)
        w = Watcher(links=[LINK], false_alarm_interval_s=2_592_000.0, pulse_block_ns={LINK: 1_000_000_000})
        wander = 0.0
        alarms = []
        for second in range(1800):
            wander += -wander / 3600 + 0.0005 * math.sqrt(2 / 3600) * light.rng.standard_normal()
            swing = math.sin(2 * math.pi * second / 7200)
            alarms += run(w, light, 1, 0.02 + 0.001 * swing + wander, rate=1 + 0.01 * swing, test_bits=10_000)
        assert alarms == []


def test_a_patient_ramp_is_stopped_by_the_anchor() -> None:
    # +3 % QBER over 15000 windows: slower than learning, so only the bound on learning finds it.
    w, light = watcher(), Light(6)
    run(w, light, 200)
    for window in range(15_000):
        found = run(w, light, 1, 0.02 + 0.03 * window / 15_000)
        if found:
            break
    assert found
    assert 0.03 * window / 15_000 <= 0.013


def test_stationary_light_keeps_the_stated_interval() -> None:
    # Stated: at least 15 s = 300 windows between false alarms of a link. In 12000 windows of light
    # that is at most 40 expected; a Poisson(40) exceeds 66 with probability 5e-5.
    w, light = watcher(15.0), Light(9)
    alarms = run(w, light, 12_000)
    assert sum(a.raised for a in alarms) <= 66


def test_silence_alarms_once_and_ends_with_a_report() -> None:
    w, light = watcher(silence_timeout_ns=1_000_000_000), Light(1)
    run(w, light, 10)
    last_ns = 9 * WINDOW_NS
    assert w.silence(last_ns + 1_000_000_000) == []
    (alarm,) = w.silence(last_ns + 1_000_000_001)
    assert (alarm.kind, alarm.since_ns, alarm.last_good_number) == (AlarmKind.SILENCE, 10 * WINDOW_NS, 9)
    assert w.silence(last_ns + 5_000_000_000) == []
    replay = replace(light.report(), number=9)
    assert w.observe(replay, last_ns + 6_000_000_000) == [], "a replayed report is no sign of life"
    (end,) = w.observe(light.report(), last_ns + 6_000_000_000)
    assert (end.kind, end.raised) == (AlarmKind.SILENCE, False)


def test_a_link_that_never_reports_is_silent_after_its_grace() -> None:
    w = watcher(first_report_timeout_ns=10_000_000_000)
    assert w.silence(5) == []
    assert w.silence(10_000_000_005) == []
    assert [a.last_good_number for a in w.silence(10_000_000_006)] == [-1]


def test_relearning_ends_open_alarms_in_the_open() -> None:
    w, light = watcher(), Light(1)
    run(w, light, 40)
    run(w, light, 5, 0.06)
    (end,) = w.relearn(LINK, 0)
    assert (end.kind, end.raised) == (AlarmKind.QBER, False)
    light.number = 0
    assert run(w, light, 100, 0.06) == [], "the new normal"


def test_alarm_numbers_rise_and_continue_after_a_restart() -> None:
    w, light = watcher(first_number=41), Light(1)
    numbers = [a.number for a in run(w, light, 40) + run(w, light, 5, 0.26) + run(w, light, 10)]
    assert numbers == [41, 42]
    assert w.next_number == 43


def test_an_unknown_link_is_our_mistake() -> None:
    w, light = watcher(), Light(1)
    with pytest.raises(LocalProtocolError, match="charlie"):
        w.observe(replace(light.report(), link=LinkId("charlie-delta")), 0)


def test_a_window_without_bits_says_nothing() -> None:
    w, light = watcher(), Light(1)
    assert run(w, light, 50, test_bits=0) == []
    assert w.is_learning(LINK)


def test_a_lost_window_counts_as_bad() -> None:
    w, light = watcher(), Light(1)
    run(w, light, 40)
    light.number += 5
    _, alarm = delay(w, light, 1, 0.26)
    assert alarm.last_good_number == 38
    assert alarm.since_ns == 39 * WINDOW_NS
