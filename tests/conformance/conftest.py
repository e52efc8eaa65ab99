"""Both KMEs, once per session; each test begins with a full pool."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # memory_kme.py is shared with tests/sae

from live_pair import LINK, LiveKmes, LivePair
from memory_kme import TwoKmes
from push_pair import a_pushing_pair
from real_kmes import RealKmes


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


@pytest.fixture(scope="session")
def real_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKmes]:
    made = RealKmes(tmp_path_factory.mktemp("real-kmes"))
    yield made
    made.close()


@pytest.fixture
def real(real_running: RealKmes) -> RealKmes:
    """Two real KMEs with more than a hundred keys of 256 bits for each direction."""
    free = next((pair.stored_keys for pair in real_running.report("a").pairs if pair.peer == "b"), 0)
    if free < 150:
        real_running.distil(6)
    return real_running


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePair]:
    with LiveKmes(tmp_path_factory.mktemp("live"), pairs=4) as kmes:
        kmes.feed(LINK, 4)
        pair = LivePair(kmes)
        pair.wait_for_keys()
        yield pair


@pytest.fixture(scope="session")
def pushing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePair]:
    with a_pushing_pair(tmp_path_factory.mktemp("push")) as pair:
        yield pair
