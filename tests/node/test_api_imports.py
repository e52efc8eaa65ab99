"""Processes that serve keys stay small."""

from __future__ import annotations

import subprocess
import sys


def test_the_key_delivery_interface_loads_no_numerics() -> None:
    code = "import sys, qanat.node.api.app, qanat.node.api.server, qanat.node.pki; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "numba", "pydantic"} & set(loaded)
    assert {"uvicorn", "qanat.node.api.protocol"} <= set(loaded)
