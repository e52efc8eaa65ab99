"""How the watcher's constants were chosen: Monte Carlo of the bank's false alarms and delays, and of drift.

    python design/watch_thresholds.py          (about half a minute)

1. The sum over alternatives (each CUSUM gets gamma * J windows) is an upper bound on the bank's false alarms:
   by how much is it better than asked, and would a tuned smaller J be worth its complication?
2. Does ``DRIFT_FLOOR`` with ``MEMORY_S`` stay quiet under mild drift at 8e4 test bits per second?
"""

from __future__ import annotations

import math

import numpy as np

from qanat.core.ids import LinkId
from qanat.core.report import LinkReport
from qanat.watch.qber import FRACTIONS, qber_from_fraction
from qanat.watch.thresholds import cusum_threshold, kl_binomial
from qanat.watch.watcher import Watcher

RNG = np.random.Generator(np.random.Philox(20))


def bank_run_length(gamma: float, factor: float, bits: int, qber: float) -> float:
    """Mean windows to the first crossing of a bank whose members get gamma * factor windows each."""
    null, runs = 0.02, 400
    others = np.array([qber_from_fraction(null, fraction) for fraction in FRACTIONS])
    per_error, per_good = np.log(others / null), np.log((1 - others) / (1 - null))
    heights = np.array([cusum_threshold(gamma * factor, bits * kl_binomial(p, null)) for p in others])
    sums, length, alive = np.zeros((runs, len(others))), np.zeros(runs), np.arange(runs)
    while alive.size and length.max() < 60 * gamma:
        errors = RNG.binomial(bits, qber, alive.size)[:, None]
        sums = np.maximum(0.0, sums + errors * per_error + (bits - errors) * per_good)
        length[alive] += 1
        stay = (sums < heights).all(axis=1)
        alive, sums = alive[stay], sums[stay]
    return float(length.mean())


def drift_alarms(*, bits: int, window_s: float, hours: float, swing: float, wander: float, wander_s: float) -> int:
    """Alarms of the real watcher on QBER 2 % with a day's swing and an Ornstein-Uhlenbeck wander."""
    link = LinkId("a-b")
    window_ns = round(window_s * 1e9)
    watcher = Watcher(links=[link], false_alarm_interval_s=2_592_000.0, pulse_block_ns={link: window_ns})
    offset, alarms = 0.0, 0
    phase = RNG.uniform(0, 2 * math.pi)
    for number in range(round(hours * 3600 / window_s)):
        step = window_s / wander_s
        offset += -offset * step + wander * math.sqrt(2 * step) * RNG.standard_normal()
        qber = 0.02 + swing * math.sin(phase + 2 * math.pi * number * window_s / 86_400) + offset
        report = LinkReport(
            link=link, number=number, start_ns=number * window_ns, duration_ns=window_ns, n_pulses=10**8,
            detection_count=int(RNG.poisson(200_000)), double_click_count=0, sifted_counts=((9 * bits, bits),),
            error_counts_z=(int(RNG.binomial(bits, max(0.001, qber))),), made_at_ns=0,
        )  # fmt: skip
        alarms += sum(alarm.raised for alarm in watcher.observe(report, 0))
    return alarms


def main() -> None:
    count = len(FRACTIONS)
    print("bank of", count, "against QBER 2 %: mean windows between false alarms / asked for")
    for bits in (400, 4000):
        for gamma in (300.0, 3000.0):
            shares = {factor: bank_run_length(gamma, factor, bits, 0.02) / gamma for factor in (1.0, 3.0, count)}
            print(f"  {bits} bits, gamma {gamma:.0f}:", {f"x{f:g}": round(v, 2) for f, v in shares.items()})
    print("delay in windows, gamma 1e8, 4000 bits: QBER 2.25, 2.5, 3 %")
    for factor in (1.0, 3.0, float(count)):
        print(f"  x{factor:g}:", [round(bank_run_length(1e8, factor, 4000, p), 2) for p in (0.0225, 0.025, 0.03)])
    print("alarms of the real watcher in 24 link-hours of drift (windows of 1 s):")
    for bits in (10_000, 80_000):
        mild = sum(
            drift_alarms(bits=bits, window_s=1.0, hours=6, swing=0.001, wander=0.0005, wander_s=3600) for _ in range(4)
        )
        real = sum(
            drift_alarms(bits=bits, window_s=1.0, hours=6, swing=0.003, wander=0.001, wander_s=1800) for _ in range(4)
        )
        print(f"  {bits} bits/s: mild {mild}, realistic {real}")


if __name__ == "__main__":
    main()
