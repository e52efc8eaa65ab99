"""Privacy amplification against the FFT limit: JSON on standard output.

    python bench/amplification.py [SIZE_BITS ...] [--backends scipy pyfftw] [--check] [--memory]

Process CPU time, median of several rounds. "three_ffts" is three bare real FFTs of the same length in float64, one
dimension, in the same run: what a plain FFT method costs. Input and output are packed bits; the ratio of output to
input is 0.3. ``--check`` compares every bit with the integer backend up to 2e7 bits and, at any size, 200 bits with
inner products. ``--memory`` adds the peak of resident memory of a process of its own that hashes once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from qanat.core.streams import Streams
from qanat.crypto.toeplitz import Backend, seed_bits, toeplitz_hash

RATIO = 0.3
INTEGER_BITS_MAX = 20_000_000


def cpu_s(work: Callable[[], object], rounds: int) -> float:
    """Median CPU time of several rounds, after one to warm caches."""
    work()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return statistics.median(times)


def columns(size_bits: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    out_bits = int(RATIO * size_bits)
    rng = Streams(seed=1).get(f"bench/{size_bits}")
    bits = rng.integers(0, 256, (size_bits + 7) // 8, dtype=np.uint8)
    bits[-1] &= 0xFF << (-size_bits % 8) & 0xFF
    return bits, rng.integers(0, 256, (seed_bits(size_bits, out_bits) + 7) // 8, dtype=np.uint8), out_bits


def measured(size_bits: int, backend: str, *, is_checking: bool, is_weighing: bool) -> dict[str, object]:
    bits, seed, out_bits = columns(size_bits)
    rounds = 9 if size_bits <= 2_000_000 else 3 if size_bits <= 20_000_000 else 1

    def work() -> NDArray[np.uint8]:
        return toeplitz_hash(bits, size_bits=size_bits, seed=seed, out_bits=out_bits, backend=backend)

    hash_s, limit_s = cpu_s(work, rounds), cpu_s(three_ffts(seed_bits(size_bits, out_bits)), rounds)
    row: dict[str, object] = {
        "size_bits": size_bits,
        "out_bits": out_bits,
        "backend": backend,
        "cpu_s": round(hash_s, 6),
        "mbit_per_cpu_s": round(size_bits / hash_s / 1e6, 2),
        "three_ffts_cpu_s": round(limit_s, 6),
        "three_ffts_over_hash": round(limit_s / hash_s, 3),
        "load": round(os.getloadavg()[0], 2),
    }
    if is_checking:
        row |= checked(work(), bits, seed, size_bits, out_bits)
    if is_weighing:
        row["peak_mbyte"] = peak_mbyte(size_bits, backend)
    return row


def three_ffts(size: int) -> Callable[[], None]:
    points = fft.next_fast_len(size, real=True)
    real = np.zeros(points)
    real[::3] = 1.0
    spectrum = fft.rfft(real)

    def run() -> None:
        fft.rfft(real)
        fft.rfft(real)
        fft.irfft(spectrum, n=points)

    return run


def checked(
    hashed: NDArray[np.uint8], bits: NDArray[np.uint8], seed: NDArray[np.uint8], size_bits: int, out_bits: int
) -> dict[str, object]:
    """Equal to what never rounds: all bits where the integer backend is fast enough, some by inner products always."""
    rows = Streams(seed=2).get("bench/rows").integers(0, out_bits, 200)
    diagonals, column = np.unpackbits(seed), np.unpackbits(bits, count=size_bits)[::-1]
    ours = np.unpackbits(hashed)
    wrong = sum(int(np.count_nonzero(diagonals[row : row + size_bits] & column) & 1 != ours[row]) for row in rows)
    found: dict[str, object] = {"inner_products_wrong_of_200": wrong}
    if size_bits <= INTEGER_BITS_MAX:
        exact = toeplitz_hash(bits, size_bits=size_bits, seed=seed, out_bits=out_bits, backend=Backend.INTEGER)
        found["bits_unlike_integer_backend"] = int(np.unpackbits(exact ^ hashed).sum())
    return found


def peak_mbyte(size_bits: int, backend: str) -> int:
    done = subprocess.run(
        [sys.executable, __file__, "--once", str(size_bits), "--backends", backend],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


def once(size_bits: int, backend: str) -> None:
    bits, seed, out_bits = columns(size_bits)
    toeplitz_hash(bits, size_bits=size_bits, seed=seed, out_bits=out_bits, backend=backend)
    # Not getrusage: its maximum outlives exec and would be that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024 // 1_000_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="*", type=float, default=[1e5, 1e6, 1e7])
    parser.add_argument("--backends", nargs="+", default=["scipy"])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--once", type=int)
    given = parser.parse_args()
    if given.once:
        once(given.once, given.backends[0])
    else:
        answer = [
            measured(int(size), backend, is_checking=given.check, is_weighing=given.memory)
            for size in given.sizes
            for backend in given.backends
        ]
        print(json.dumps({"bench": "amplification", "rows": answer}, indent=2))
