"""``make bench``: every measurement as JSON with the machine, its load and the commit; then how far targets are met.

Run: python bench/run_all.py [NAME ...]     all benches, or those named

Two shared, noisy cores are the rule: read CPU times and ratios, and run it several times.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import targets

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TIMEOUT_S = 4500  # the soak lasts an hour
EXTRA = {  # besides each script by itself
    "photons_tiers": ("photons.py", "--tiers"),
    "relay_6_hops": ("relay.py", "--hops", "6"),
}


def surroundings() -> dict[str, object]:
    """What a number means nothing without."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip() + ("+changes" if changed.stdout.strip() else ""),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "numba", "scipy")},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def cpu_model() -> str:
    """As Linux tells it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def results(printed: str) -> object:
    """What a script printed: one JSON document, or one per line."""
    try:
        return json.loads(printed)
    except json.JSONDecodeError:
        return [json.loads(line) for line in printed.splitlines()]


def measured(script: str, options: tuple[str, ...]) -> dict[str, object] | None:
    """Run one script; its results with machine, load and commit, or None when it failed."""
    before, load_before = surroundings(), os.getloadavg()
    run = subprocess.run(
        [sys.executable, str(HERE / script), *options], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if run.returncode:
        print(run.stderr.strip().splitlines()[-1] if run.stderr.strip() else "no word", file=sys.stderr)
        return None
    loads = {"load_average_before": load_before, "load_average_after": os.getloadavg()}
    return before | loads | {"results": results(run.stdout)}


def main() -> int:
    RESULTS.mkdir(exist_ok=True)
    others = sorted(path.name for path in HERE.glob("*.py") if path.name not in (Path(__file__).name, "targets.py"))
    jobs = {Path(name).stem: (name, ()) for name in others} | {
        name: (script, tuple(options)) for name, (script, *options) in EXTRA.items()
    }
    failed = []
    for name in sorted(set(sys.argv[1:]) & set(jobs) or jobs):
        print(f"{name} ...", flush=True)
        found = measured(*jobs[name])
        if found is None:
            failed.append(name)
            continue
        target = RESULTS / f"{name}.json"
        target.write_text(json.dumps(found, indent=2) + "\n")
        print(f"  {target.relative_to(HERE.parent)}")
    print("\n" + targets.summary(RESULTS))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
