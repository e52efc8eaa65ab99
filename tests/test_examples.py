"""Every numbered example runs as people run it, and ends by printing something worth seeing."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
LAST = {"01": "decoy BB84", "02": "two halves are less than a whole", "03": "came by itself"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_runs_and_says_something(path: Path) -> None:
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert LAST[path.stem[:2]] in done.stdout
    assert done.stdout.count("\n") >= 5


def test_examples_are_numbered_without_gaps() -> None:
    assert [path.stem[:2] for path in EXAMPLES] == [f"{number:02}" for number in range(1, len(EXAMPLES) + 1)]
