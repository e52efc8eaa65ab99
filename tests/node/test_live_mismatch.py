"""Attacks that need detectors which differ in time, started as a person would, on a network whose receivers do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_network import TINY, Live, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc (Linux)"),
]
LINK = "mitte-moabit"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    network = tmp_path / "mismatch.toml"
    text = TINY.read_text(encoding="utf-8").replace("#:schema ./network.schema.json\n", "")
    links = text.count("[[links]]")
    text = text.replace('fibre = "duct', 'receiver = "ingaas-mismatch"\nfibre = "duct')
    assert text.count("ingaas-mismatch") == links
    network.write_text(text, encoding="utf-8")
    one = Live(tmp_path, network=network)
    try:
        yield one.start()
    finally:
        one.stop()


def link_of(live: Live) -> dict[str, Any]:
    found: dict[str, Any] = next(link for link in live.snapshot()["links"] if link["id"] == LINK)
    return found


def test_time_shift_and_faked_states_work_on_a_network_whose_gates_differ(live: Live) -> None:
    calm = until(lambda: link if (link := link_of(live))["qber"] is not None else None)
    assert calm["qber"] < 0.03
    shifted = live.run("attack", "start", LINK, "time-shift", "--set", "shift_ps=250", "--json")
    assert (shifted.code, shifted.json["attacks"]) == (0, [{"name": "time-shift", "shift_ps": 250.0}])
    # Less than half of the light is detected, which behind the hold-off costs a tenth of the clicks.
    until(lambda: (link_of(live)["sifted_bps"] or 1e9) < 0.95 * calm["sifted_bps"])
    assert (link_of(live)["qber"] or 1) < 0.03, "nothing shows in the errors"
    assert live.run("attack", "stop", LINK).code == 0
    faked = live.run("attack", "start", LINK, "faked-states", "--json")
    assert faked.code == 0
    until(lambda: (link_of(live)["qber"] or 0) > 0.1, patience_s=20)  # 2 r / (1 + 3 r) = 23 % at r = 0.17
