"""``make bench``: every measurement, each as JSON with the machine, its load and the commit.

Two shared, noisy cores are the rule: read CPU times and ratios, and run it several times.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TIMEOUT_S = 900


def surroundings() -> dict[str, object]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average_1min": os.getloadavg()[0],
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def results(printed: str) -> object:
    """What a script printed: one JSON document, or one per line."""
    try:
        return json.loads(printed)
    except json.JSONDecodeError:
        return [json.loads(line) for line in printed.splitlines()]


def main() -> int:
    RESULTS.mkdir(exist_ok=True)
    failed = []
    for script in sorted(HERE.glob("*.py")):
        if script.name == Path(__file__).name:
            continue
        print(f"{script.name} ...", flush=True)
        before = surroundings()
        run = subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        if run.returncode:
            failed.append(script.name)
            print(run.stderr.strip().splitlines()[-1] if run.stderr else "no word", file=sys.stderr)
            continue
        target = RESULTS / f"{script.stem}.json"
        target.write_text(json.dumps(before | {"results": results(run.stdout)}, indent=2) + "\n")
        print(f"  {target}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
