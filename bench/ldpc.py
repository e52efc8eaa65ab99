"""What LDPC reconciliation costs on one core: CPU seconds of both ends together, efficiency f, frame errors.

Run: ``python bench/ldpc.py [--quick] [--frames N] [--size BITS] [--qber Q ...] [--estimate-off SHARE] [--seed N]``.
Prints JSON lines. CPU time is process time of both ends, permutation and syndromes included; ``f`` counts all that is
disclosed, steps, verdicts and Cascade fallback too, against n h(q) with the nominal q and with the errors really there.
The plan is made for the nominal q, or for one that is off by a given share. A frame error is a frame that went to
Cascade (``frames_to_cascade``) or is wrong at the end (``frames_failed``).
"""

import argparse
import json
import math
import os
import time

import numpy as np

from qanat.distill.ldpc.parameters import ldpc_parameters
from qanat.distill.ldpc.reconciler import LdpcReconciler


def entropy_bits(q):
    return -(q * math.log2(q) + (1 - q) * math.log2(1 - q))


def measured(size_bits, qber, frames, off, seed=0):
    stream = np.random.default_rng([size_bits, round(qber * 1e5), seed])
    rows = []
    while sum(row["frames"] for row in rows) < frames:
        alice = stream.integers(0, 2, size_bits, dtype=np.uint8)
        bob = alice ^ (stream.random(size_bits) < qber).astype(np.uint8)
        estimate = qber * (1 + off)
        parameters, seed = ldpc_parameters(size_bits, estimate), stream.bytes(16)
        start_s = time.process_time()
        ends = [
            LdpcReconciler(bits, is_reference=bits is alice, parameters=parameters, seed=seed) for bits in (alice, bob)
        ]
        first, second = ends
        while (own := first.next_query()) is not None:
            first.feed(second.next_query())
            second.feed(own)
        second.next_query()
        corrected = second.corrected()
        cpu_s = time.process_time() - start_s
        real = float((alice != bob).mean())
        wrong = [int((corrected[places] != alice[places]).any()) for places in second.frames]
        rows.append(
            {
                "cpu_s": cpu_s,
                "f": first.leak_bits / (size_bits * entropy_bits(qber)),
                "f_real": first.leak_bits / (size_bits * entropy_bits(real)),
                "frames": len(wrong),
                "failed": sum(wrong),
                "cascaded": len(wrong) - len(second.frames_decoded),
                "rounds": first.round_count,
                "iterations": second.iteration_count,
                "leak_equal": first.leak_bits == second.leak_bits,
            }
        )
    column = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
    frames = int(column["frames"].sum())
    return {
        "what": "ldpc",
        "size_bits": size_bits,
        "frame_bits": size_bits // int(column["frames"][0]),
        "qber": qber,
        "qber_planned": round(estimate, 5),
        "frames": frames,
        "frames_failed": int(column["failed"].sum()),
        "frames_to_cascade": int(column["cascaded"].sum()),
        "f_mean": round(float(column["f"].mean()), 4),
        "f_of_real_errors_mean": round(float(column["f_real"].mean()), 4),
        "f_p99": round(float(np.quantile(column["f"], 0.99)), 4),
        "mbit_per_cpu_s": round(size_bits * len(rows) / float(column["cpu_s"].sum()) / 1e6, 2),
        "iterations_per_frame": round(float(column["iterations"].sum()) / frames, 1),
        "rounds_mean": round(float(column["rounds"].mean()), 2),
        "leak_equal_at_both_ends": bool(column["leak_equal"].all()),
        "load": os.getloadavg()[0],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two points, one key each")
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--size", type=int, action="append", help="key bits; default 100,000 and 1,000,000")
    parser.add_argument("--qber", type=float, nargs="*", default=[0.01, 0.02, 0.03, 0.05, 0.08])
    parser.add_argument("--estimate-off", type=float, default=0.0, help="share by which the planned qber is wrong")
    parser.add_argument("--seed", type=int, default=0, help="of keys and errors; runs of several seeds can be added up")
    given = parser.parse_args()
    for size_bits in given.size or (100_000, 1_000_000):
        measured(size_bits, 0.05, 1, 0.0)  # compile and load
        for qber in [0.03] if given.quick else given.qber:
            frames = 1 if given.quick else given.frames
            print(json.dumps(measured(size_bits, qber, frames, given.estimate_off, given.seed)), flush=True)


if __name__ == "__main__":
    main()
