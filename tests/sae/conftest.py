"""Both KMEs, once per session; each test begins with a full pool."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
sys.path.insert(0, str(Path(__file__).parent))

from memory_kme import TwoKmes


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoKmes]:
    made = TwoKmes(tmp_path_factory.mktemp("two-kmes"))
    yield made
    made.close()


@pytest.fixture
def two(running: TwoKmes) -> TwoKmes:
    running.refill()
    for kme in running.kmes.values():
        kme.broken, kme.delay_s = None, 0.0
    return running
