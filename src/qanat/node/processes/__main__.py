"""``python -m qanat.node.processes NAME``: how the supervisor starts a child. Not for people."""

from __future__ import annotations

import importlib
import sys

from qanat.node.processes.child import run

if __name__ == "__main__":
    sys.exit(run(importlib.import_module(f"qanat.node.processes.{sys.argv[1]}").main))
