"""How fast light is simulated: prints one JSON object. Speeds are per second of this process's CPU time.

Run: python bench/photons.py [--seconds 1.0]
     python bench/photons.py --tiers      dense against sparse instead: 24 cells, 5 seeds, with and without Eve

- "all effects": see ALL_EFFECTS, and a hold-off per detector, so that no detector is asleep with the others.
- dense: the oracle, pulses; sparse: the exact sampler on the shipped datasheets with bare fibre of 0.2 dB/km, its
  pulses, clicks and candidates; statistical: windows of 50 ms and of 1 s; settings: slots asked of F_K.
Kernels are loaded (compiled if need be) before the clock runs; that time is reported apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

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
from qanat.physics.timing import Timing

TRANSMITTER, RECEIVER, CLOCK_HZ, BLOCK = "decoy-1ghz", "ingaas-gated", 1e9, 50_000_000
Numbers = dict[str, float]


ALL_EFFECTS = {
    "fluctuation": 0.03,
    "preparation_error_rad": (0.05, -0.03, 0.02, 0.04),
    "rotation_rad": 0.05,
    "background_hz": 2e4,
    "timing": Timing(
        pulse_ps=40.0,
        jitter_ps=(60.0, 65.0, 58.0, 70.0),
        p_tail=0.05,
        tail_ps=100.0,
        gate_width_ps=250.0,
        gate_centre_ps=(0.0, 15.0, -10.0, 5.0),
        window_ps=800.0,
    ),
}


def optics_at(length_km: float, *, all_effects: bool = False) -> Optics:
    sheets = load_transmitter(TRANSMITTER), load_receiver(RECEIVER)
    optics = optics_from_sheets(*sheets, loss_db=0.2 * length_km, clock_hz=CLOCK_HZ)
    return replace(optics, **ALL_EFFECTS) if all_effects else optics  # type: ignore[arg-type]


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
    *,
    all_effects: bool = False,
) -> Numbers:
    sampler = sampler_of(kind, length_km, attacks, all_effects=all_effects)

    def work(rounds: int) -> Numbers:
        clicks = sampler.clicks(rounds * block, (rounds + 1) * block)
        return {"pulses": block, "clicks": clicks.gate.size, "candidates": clicks.candidate_count}

    numbers = per_cpu_s(work, seconds)
    numbers["link_seconds_per_cpu_s"] = numbers["pulses_per_cpu_s"] / CLOCK_HZ
    return numbers


def sampler_of(
    kind: type[SparseSampler] | type[DenseSampler],
    length_km: float,
    attacks: tuple[Attack, ...],
    *,
    all_effects: bool,
    seed: bytes = b"bench",
) -> SparseSampler | DenseSampler:
    settings = SettingsFunction(b"a key for measuring", law_from_sheet(load_transmitter(TRANSMITTER)))
    memory = memory_from_sheet(load_receiver(RECEIVER), clock_hz=CLOCK_HZ)
    memory = replace(memory, is_simultaneous=False) if all_effects else memory
    sampler = kind(optics=optics_at(length_km, all_effects=all_effects), memory=memory, settings=settings, seed=seed)
    sampler.set_attacks(attacks)
    return sampler


def cells(sampler: SparseSampler | DenseSampler, start: int, end: int) -> list[int]:
    """24 counts: per intensity and outcome (basis, bit), right or wrong or in the other basis where it was wrong."""
    clicks = sampler.clicks(start, end)
    sent = sampler.settings.at(clicks.gate)
    outcome = sent.intensity.astype(int) * 4 + clicks.basis * 2 + clicks.bit
    is_right = (sent.basis == clicks.basis) & (sent.bit == clicks.bit)
    return np.bincount(outcome * 2 + is_right, minlength=24).tolist()


def tiers(seed: int, attacks: tuple[Attack, ...], *, replicas: int = 25, gates: int = 4_000_000) -> list[float]:
    """z of dense against sparse, cell by cell, by the widths that the replicas show."""
    tables = []
    for kind in (DenseSampler, SparseSampler):
        one = sampler_of(kind, 5, attacks, all_effects=True, seed=f"tiers {seed}".encode())
        one.clicks(0, 20_000)  # detector memory settles
        starts = range(20_000, 20_000 + replicas * gates, gates)
        tables.append(np.array([cells(one, a, a + gates) for a in starts], dtype=float))
    dense, sparse = tables
    variance = (dense.var(axis=0, ddof=1) + sparse.var(axis=0, ddof=1)) / replicas
    return [
        round(float(z), 2) for z in (dense.mean(axis=0) - sparse.mean(axis=0)) / np.sqrt(np.maximum(variance, 0.01))
    ]


def tier_report() -> dict[str, object]:
    rows = {
        f"{'all intercepted' if attacks else 'no Eve'}, seed {seed}": tiers(seed, attacks)
        for attacks in ((), (InterceptResend(1.0),))
        for seed in range(5)
    }
    return {"z": rows, "z_max": max(abs(z) for row in rows.values() for z in row)}


def statistical(window_s: float, seconds: float) -> Numbers:
    sampler = StatisticalSampler(
        optics=optics_at(25, all_effects=True),
        memory=memory_from_sheet(load_receiver(RECEIVER), clock_hz=CLOCK_HZ),
        settings=law_from_sheet(load_transmitter(TRANSMITTER)),
        stream=Streams(seed=1).get("bench"),
    )

    def work(_: int) -> Numbers:
        sampler.counts_many(20_000, int(CLOCK_HZ * window_s))
        return {"windows": 20_000, "link_seconds": 20_000 * window_s}

    return per_cpu_s(work, seconds)


def settings_speed(seconds: float) -> Numbers:
    settings = SettingsFunction(b"a key for measuring", law_from_sheet(load_transmitter(TRANSMITTER)))
    slots = np.arange(1_000_000, dtype=np.int64) * 1000
    return per_cpu_s(lambda _: {"slots": settings.at(slots).bit.size}, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time per measurement")
    parser.add_argument("--tiers", action="store_true", help="compare dense with sparse")
    arguments = parser.parse_args()
    if arguments.tiers:
        print(json.dumps(tier_report(), indent=2))
        return
    seconds = arguments.seconds
    started = time.process_time()
    for kind in (SparseSampler, DenseSampler):
        sampled(kind, 25, 1000, 1e-3)
    settings_speed(1e-3)
    result: dict[str, object] = {"transmitter": TRANSMITTER, "receiver": RECEIVER, "clock_hz": CLOCK_HZ}
    result["load_or_compile_cpu_s"] = round(time.process_time() - started, 3)
    result["dense_25_km"] = sampled(DenseSampler, 25, 1_000_000, seconds)
    result["dense_25_km_all_effects"] = attacked(DenseSampler, 25, 4_000_000, seconds, (), all_effects=True)
    for length_km in (25, 50, 100):
        numbers = attacked(SparseSampler, length_km, BLOCK, seconds, (), all_effects=True)
        result[f"sparse_{length_km}_km_all_effects"] = numbers
    for length_km in (5, 25, 50, 100):
        result[f"sparse_{length_km}_km"] = sampled(SparseSampler, length_km, BLOCK, seconds)
    result["sparse_25_km_all_intercepted"] = attacked(SparseSampler, 25, BLOCK, seconds, (InterceptResend(1.0),))
    result["statistical_windows_of_50_ms"] = statistical(0.05, seconds)
    result["statistical_windows_of_1_s"] = statistical(1.0, seconds)
    result["settings"] = settings_speed(seconds)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
