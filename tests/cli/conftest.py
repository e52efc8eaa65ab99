"""The commands are run by the same helper as in the live tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))  # live_network.py
