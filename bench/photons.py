"""How fast light is simulated: prints one JSON object. Speeds are per second of this process's CPU time.

Run: python bench/photons.py [--seconds 1.0]

- dense: the oracle, pulses; sparse: the exact sampler on the shipped datasheets with bare fibre of 0.2 dB/km, its
  pulses, clicks and candidates; statistical: windows of 50 ms and of 1 s; settings: slots asked of F_K.
Kernels are loaded (compiled if need be) before the clock runs; that time is reported apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np

from qanat.core.streams import Streams
from qanat.physics.attack import Attack, InterceptResend
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.dense import DenseSampler
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import Optics, optics_from_sheets
from qanat.physics.settings import SettingsFunction, law_from_sheet
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler

TRANSMITTER, RECEIVER, CLOCK_HZ, BLOCK = "decoy-1ghz", "ingaas-gated", 1e9, 50_000_000
Numbers = dict[str, float]


def optics_at(length_km: float) -> Optics:
    sheets = load_transmitter(TRANSMITTER), load_receiver(RECEIVER)
    return optics_from_sheets(*sheets, loss_db=0.2 * length_km, clock_hz=CLOCK_HZ)


def per_cpu_s(work: Callable[[int], Numbers], seconds: float) -> Numbers:
    """Repeat ``work(round)`` for about that long and divide what it counted by the CPU time."""
    totals: Numbers = {}
    started, rounds = time.process_time(), 0
    while (spent := time.process_time() - started) < seconds:
        for key, value in work(rounds).items():
            totals[key] = totals.get(key, 0.0) + value
        rounds += 1
    return {f"{key}_per_cpu_s": float(f"{value / spent:.4g}") for key, value in totals.items()}


def sampled(kind: type[SparseSampler] | type[DenseSampler], length_km: float, block: int, seconds: float) -> Numbers:
    return attacked(kind, length_km, block, seconds, ())


def attacked(
    kind: type[SparseSampler] | type[DenseSampler],
    length_km: float,
    block: int,
    seconds: float,
    attacks: tuple[Attack, ...],
) -> Numbers:
    settings = SettingsFunction(b"a key for measuring", law_from_sheet(load_transmitter(TRANSMITTER)))
    memory = memory_from_sheet(load_receiver(RECEIVER), clock_hz=CLOCK_HZ)
    sampler = kind(optics=optics_at(length_km), memory=memory, settings=settings, seed=b"bench")
    sampler.set_attacks(attacks)

    def work(rounds: int) -> Numbers:
        clicks = sampler.clicks(rounds * block, (rounds + 1) * block)
        return {"pulses": block, "clicks": clicks.gate.size, "candidates": clicks.candidate_count}

    numbers = per_cpu_s(work, seconds)
    numbers["link_seconds_per_cpu_s"] = numbers["pulses_per_cpu_s"] / CLOCK_HZ
    return numbers


def statistical(window_s: float, seconds: float) -> Numbers:
    sampler = StatisticalSampler(
        optics=optics_at(25),
        memory=memory_from_sheet(load_receiver(RECEIVER), clock_hz=CLOCK_HZ),
        settings=law_from_sheet(load_transmitter(TRANSMITTER)),
        stream=Streams(seed=1).get("bench"),
    )

    def work(_: int) -> Numbers:
        for _ in range(200):
            sampler.counts(int(CLOCK_HZ * window_s))
        return {"windows": 200, "link_seconds": 200 * window_s}

    return per_cpu_s(work, seconds)


def settings_speed(seconds: float) -> Numbers:
    settings = SettingsFunction(b"a key for measuring", law_from_sheet(load_transmitter(TRANSMITTER)))
    slots = np.arange(1_000_000, dtype=np.int64) * 1000
    return per_cpu_s(lambda _: {"slots": settings.at(slots).bit.size}, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time per measurement")
    seconds = parser.parse_args().seconds
    started = time.process_time()
    for kind in (SparseSampler, DenseSampler):
        sampled(kind, 25, 1000, 1e-3)
    settings_speed(1e-3)
    result: dict[str, object] = {"transmitter": TRANSMITTER, "receiver": RECEIVER, "clock_hz": CLOCK_HZ}
    result["load_or_compile_cpu_s"] = round(time.process_time() - started, 3)
    result["dense_25_km"] = sampled(DenseSampler, 25, 1_000_000, seconds)
    for length_km in (5, 25, 50, 100):
        result[f"sparse_{length_km}_km"] = sampled(SparseSampler, length_km, BLOCK, seconds)
    result["sparse_25_km_all_intercepted"] = attacked(SparseSampler, 25, BLOCK, seconds, (InterceptResend(1.0),))
    result["statistical_windows_of_50_ms"] = statistical(0.05, seconds)
    result["statistical_windows_of_1_s"] = statistical(1.0, seconds)
    result["settings"] = settings_speed(seconds)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
