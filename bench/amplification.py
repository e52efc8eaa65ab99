"""Privacy amplification against its own FFT limit: JSON on standard output.

    python bench/amplification.py [SIZE_BITS ...]

Process CPU time, best of several rounds. "limit" is three bare real FFTs of the same length in float64, into
arrays that exist already, in the same run: what no FFT method in this library can beat. Input and output
are packed bits; the ratio of output to input is 0.3.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy import fft

from qanat.core.streams import Streams
from qanat.crypto.toeplitz import seed_bits, toeplitz_hash

RATIO = 0.3
ROUNDS = 5


def cpu_s(work: Callable[[], object]) -> float:
    """Least CPU time of several rounds, after one to warm caches."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def measured(size_bits: int) -> dict[str, float]:
    out_bits = int(RATIO * size_bits)
    rng = Streams(seed=1).get(f"bench/{size_bits}")
    bits = np.packbits(rng.integers(0, 2, size_bits, dtype=np.uint8))
    seed = np.packbits(rng.integers(0, 2, seed_bits(size_bits, out_bits), dtype=np.uint8))
    points = fft.next_fast_len(seed_bits(size_bits, out_bits), real=True)
    real = rng.random(points)
    spectrum = fft.rfft(real)

    def three_ffts() -> None:
        fft.rfft(real)
        fft.rfft(real)
        fft.irfft(spectrum, n=points)

    hash_s = cpu_s(lambda: toeplitz_hash(bits, size_bits=size_bits, seed=seed, out_bits=out_bits))
    limit_s = cpu_s(three_ffts)
    return {
        "size_bits": size_bits,
        "out_bits": out_bits,
        "fft_points": points,
        "cpu_s": round(hash_s, 6),
        "mbit_per_cpu_s": round(size_bits / hash_s / 1e6, 2),
        "three_ffts_cpu_s": round(limit_s, 6),
        "ratio_to_three_ffts": round(hash_s / limit_s, 3),
    }


if __name__ == "__main__":
    sizes = [int(float(text)) for text in sys.argv[1:]] or [100_000, 1_000_000, 10_000_000]
    print(json.dumps({"bench": "amplification", "rows": [measured(size) for size in sizes]}, indent=2))
