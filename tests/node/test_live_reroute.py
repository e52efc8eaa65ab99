"""Relay over five hops by live processes, and on around a QKD module or a KME in the middle that dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_network import Live, until

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from reroute import FAULTS
from support.detour import Detour, detour_text
from support.ends import Load

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc (Linux)"),
]
HOPS = 5
PATIENCE_S = 120.0  # a loaded machine with a dozen processes of ours


def test_qanat_up_delivers_equal_keys_over_five_hops_that_name_every_node(tmp_path: Path) -> None:
    file = tmp_path / "detour.toml"
    file.write_text(detour_text(HOPS))
    live = Live(tmp_path, ("--isolate",), file)
    try:
        live.start()
        until(lambda: all(pair["state"] == "served" for pair in live.snapshot()["pairs"]), patience_s=PATIENCE_S)
        got = live.run("key", "get", "first", "last", "--number", "3", "--json")
        assert got.code == 0, got.err
        taken = live.run("key", "take", "last", "first", *(key["key_ID"] for key in got.json), "--json")
    finally:
        live.stop()
    assert taken.json == got.json  # IDs, digests and provenance
    assert len({key["digest"] for key in got.json}) == 3
    for key in got.json:
        for node in ("site1", "site2", "site4"):
            assert node in key["provenance"]
        assert ("site3" in key["provenance"]) is not ("spare" in key["provenance"])


@pytest.fixture(scope="module")
def detour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Detour]:
    with Detour(tmp_path_factory.mktemp("detour"), HOPS).running() as running:
        yield running


def keys_count(load: Load) -> int:
    return sum(request.links is not None for request in load.requests)


def more_keys(load: Load, count: int) -> None:
    wanted = keys_count(load) + count
    until(lambda: keys_count(load) >= wanted, patience_s=PATIENCE_S)


@pytest.mark.parametrize("what", ["module killed", "kme killed", "module frozen", "kme frozen"])
def test_keys_go_around_what_died_in_the_middle_and_none_comes_twice_or_differs(detour: Detour, what: str) -> None:
    fault = FAULTS[what]
    until(detour.is_straight, patience_s=PATIENCE_S)
    with Load(detour) as load:
        more_keys(load, 10)
        begin_ns = time.time_ns()
        fault.begin(detour)
        until(lambda: [why for _, links, why in detour.routes(begin_ns) if fault.is_around(detour, links)])
        first = next(why for _, links, why in detour.routes(begin_ns) if fault.is_around(detour, links))
        assert "not heard of" in first, "no alarm had to come before"
        if "frozen" in what:  # what was killed is back in a second
            until(lambda: any(r.links and fault.is_around(detour, r.links) for r in load.requests[-5:]))
        more_keys(load, 20)
        fault.end(detour)
        until(detour.is_straight, patience_s=PATIENCE_S)
        more_keys(load, 20)
    taken = [request for request in load.requests if request.links is not None]
    assert {len(request.links or ()) for request in taken} == {HOPS}
    assert {len(request.nodes) for request in taken} == {HOPS - 1}
    assert (load.record.doubled, load.record.different) == (0, 0)
    assert load.record.compared == len(load.record.as_slave) >= 50
