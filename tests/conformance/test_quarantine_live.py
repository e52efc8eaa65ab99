"""A quarantine told to either end of a link holds at both, by the processes that the bench measures."""

from __future__ import annotations

from pathlib import Path

import live_pair  # noqa: F401 - lays the benches' folder on the path
from quarantine import measured


def test_a_quarantine_told_to_either_end_lets_no_condemned_key_out_at_both(tmp_path: Path) -> None:
    found = measured(tmp_path, 4)
    assert (found["escaped"], found["twice"]) == (0, 0)
