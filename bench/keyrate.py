"""Key rates per CPU second: optimised and fixed points of each protocol, and what importing costs. Prints JSON lines.

Run: python bench/keyrate.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from qanat.keyrate.library import FILES, protocol_named
from qanat.keyrate.search import optimised

REPEATS = 3
IMPORT = "import time; a = time.perf_counter(); import qanat.keyrate as k; k.decoy_bb84; print(time.perf_counter() - a)"


ONE_POINT = 300  # calls with a single number
SPREAD = {"n_x": 1e7, "decoys": "two", "intensity_spread": 0.02}
MORE: dict[str, tuple[tuple[str, dict[str, Any], bool], ...]] = {  # what besides, with what, whether optimised
    "decoy-bb84": (
        ("n_x 1e7 and intensities 2 % off", SPREAD, True),
        ("n_x 1e7 and unequal detectors", {"n_x": 1e7, "efficiency_ratio": 0.9}, False),
        ("pulses correlated by 0.1 %", {"correlation_spread": 1e-3}, False),
    ),
    "mdi": (("n_sent 1e13", {"n_sent": 1e13}, False), ("n_sent 1e13", {"n_sent": 1e13}, True)),
    "mdi-four": (("n_sent 1e13", {"n_sent": 1e13}, False), ("n_sent 1e13", {"n_sent": 1e13}, True)),
}


def cpu_s(run: Callable[[], object]) -> float:
    """Median of several runs."""
    times = []
    for _ in range(REPEATS):
        start_s = time.process_time()
        run()
        times.append(time.process_time() - start_s)
    return statistics.median(times)


def row(name: str, what: str, points: int, run: Callable[[], object]) -> dict[str, object]:
    spent_s = cpu_s(run)
    return {
        "protocol": name,
        "what": what,
        "points": points,
        "points_per_cpu_s": round(points / spent_s),
        "us_per_point": round(spent_s / points * 1e6, 4),
    }


def rows_of(name: str) -> list[dict[str, object]]:
    """Fixed parameters over many lengths, and the best of what is tunable over fewer."""
    protocol = protocol_named(name)
    names = {each.name for each in protocol.parameters}
    if "distance_km" not in names:
        return []
    many, few = np.linspace(0.0, 100.0, 20_000), np.linspace(0.0, 100.0, 1000)
    found = [row(name, "fixed, at its defaults", len(many), lambda: protocol(distance_km=many))]
    if protocol.tunable:
        found.append(row(name, "optimised", len(few), lambda: optimised(protocol, distance_km=few)))
    if "n_x" in names:
        found.append(row(name, "fixed, n_x 1e7", len(many), lambda: protocol(distance_km=many, n_x=1e7)))
        found.append(row(name, "optimised, n_x 1e7", len(few), lambda: optimised(protocol, distance_km=few, n_x=1e7)))
    for what, given, is_best in MORE.get(name, ()):
        lengths = few if is_best else many
        run = partial(optimised, protocol, **given) if is_best else partial(protocol, **given)
        how = "optimised" if is_best else "fixed"
        found.append(row(name, f"{how}, {what}", len(lengths), partial(run, distance_km=lengths)))
    found.append(row(name, "one point", ONE_POINT, lambda: [protocol(distance_km=50.0) for _ in range(ONE_POINT)]))
    return found


def import_s() -> float:
    """A fresh interpreter, wall time, median."""
    runs = [
        subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True) for _ in range(7)
    ]
    return statistics.median(float(run.stdout) for run in runs)


def main() -> None:
    print(json.dumps({"what": "import of qanat.keyrate with one protocol", "wall_s": round(import_s(), 4)}), flush=True)
    for name in FILES:
        for found in rows_of(name):
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
