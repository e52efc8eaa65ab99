"""First use on a fresh machine: prints one JSON object.

Run: python bench/first_use.py

- compiling every kernel into an empty numba cache, with the progress lines that a user sees and when each came, and
  which kernels the warm-up leaves for their first use;
- the same again from the cache; `import qanat` and `qanat --help` in a fresh interpreter (median of several).

Wall time, which is what a user waits; CPU time beside it, because the cores may be shared.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from qanat.node import warm

IMPORT = "import time; a = time.perf_counter(); import qanat; print(time.perf_counter() - a)"
KERNELS = """
import importlib, pkgutil, qanat
from numba.core.registry import CPUDispatcher
for info in pkgutil.walk_packages(qanat.__path__, "qanat."):
    if any(room in info.name for room in (".physics", ".distill")):
        module = importlib.import_module(info.name)
        for name, found in vars(module).items():
            if isinstance(found, CPUDispatcher) and found.py_func.__module__ == info.name:
                print(f"{info.name.rpartition('.')[2]}.{found.py_func.__qualname__}")
"""
REPEATS = 9


def children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def warmed(cache: Path) -> dict[str, object]:
    """Warm up with this cache folder, as `qanat up` does."""
    os.environ["NUMBA_CACHE_DIR"] = str(cache)
    said: list[dict[str, object]] = []
    started_s, cpu_s = time.monotonic(), children_cpu_s()
    warm.warm_kernels(lambda text: said.append({"at_s": round(time.monotonic() - started_s, 2), "says": text}))
    return {
        "wall_s": round(time.monotonic() - started_s, 2),
        "cpu_s": round(children_cpu_s() - cpu_s, 2),
        "cached_kernels": len(list(cache.rglob("*.nbi"))),
        "progress": said,
    }


def left_out(cache: Path) -> list[str]:
    """Kernels that exist and are not in the cache. Inlined ones never are, and cost nothing."""
    done = subprocess.run([sys.executable, "-c", KERNELS], check=True, capture_output=True, text=True)
    cached = {path.name.rpartition("-")[0] for path in cache.rglob("*.nbi")}
    return sorted(set(done.stdout.split()) - cached)


def median_s(*words: str) -> float:
    times = []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True)
        times.append(float(done.stdout) if words[0] == "-c" else time.perf_counter() - started_s)
    return round(statistics.median(times), 4)


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        result: dict[str, object] = {"bench": "first_use", "load_before": os.getloadavg()[0]}
        result["cold"] = warmed(Path(cache))
        result["left_for_first_use"] = left_out(Path(cache))
        result["second_start"] = warmed(Path(cache))
    result["import_qanat_s"] = median_s("-c", IMPORT)
    result["help_s"] = median_s("-m", "qanat", "--help")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
