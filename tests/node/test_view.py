"""The public picture: averages, what restarts do to them, and the stretch of link time."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_network import TINY

from qanat.cli.check import load_network
from qanat.core.ids import BlockId, LinkId
from qanat.core.provenance import Authentication
from qanat.core.report import BlockReport, LinkReport
from qanat.node.processes.journal import Journal
from qanat.node.processes.loop import Loop
from qanat.node.processes.stretch import Stretch
from qanat.node.processes.view import AVERAGE_NS, NetworkView

LINK = LinkId("mitte-moabit")
BLOCK_NS = 50_000_000


@pytest.fixture
def view(tmp_path: Path) -> NetworkView:
    network = load_network(TINY)
    return NetworkView(network, Loop(network, Journal(tmp_path / "journal.jsonl"), lambda _command: None))


def report(number: int, *, errors: int = 10, tests: int = 1_000, link: LinkId = LINK) -> LinkReport:
    return LinkReport(
        link=link,
        number=number,
        start_ns=10**18 + number * BLOCK_NS,
        duration_ns=BLOCK_NS,
        n_pulses=50_000_000,
        detection_count=60_000,
        double_click_count=3,
        sifted_counts=((30_000, tests), (0, 0), (0, 0)),
        error_counts_z=(errors, 0, 0),
        made_at_ns=number,
    )


def ended(number: int, *, aborted: str | None = None) -> BlockReport:
    return BlockReport(
        link=LINK,
        block=BlockId(f"{LINK}/1/{number}"),
        aborted=aborted,
        first_number=number,
        last_number=number,
        start_ns=10**18 + number * BLOCK_NS,
        end_ns=10**18 + (number + 1) * BLOCK_NS,
        n_pulses=50_000_000,
        sifted_bits=30_000,
        authentication=Authentication.PRE_SHARED,
        secret_bits=0 if aborted else 10_000,
        epsilon={"secrecy": 1e-10, "correctness": 1e-15},
        made_at_ns=number,
    )


def test_an_empty_network_has_a_picture_too(view: NetworkView) -> None:
    picture = json.loads(msgspec.json.encode(view.snapshot()))
    assert [link["qber"] for link in picture["links"]] == [None] * 3
    assert picture["stretch"] is None
    assert picture["totals"]["keys_delivered"] == 0
    assert not any(site["is_up"] for site in picture["sites"])


def test_qber_follows_the_last_seconds_of_link_time(view: NetworkView) -> None:
    window = AVERAGE_NS // BLOCK_NS
    for number in range(window):
        view.on_report(report(number, errors=10))
    assert view.links[LINK].qber == pytest.approx(0.01)
    for number in range(window, 2 * window + 1):
        view.on_report(report(number, errors=250))
    assert view.links[LINK].qber == pytest.approx(0.25)  # the good old days have left the window
    assert view.links[LINK].sifted_bps == pytest.approx((30_000 + 1_000) / 0.05)


def test_a_new_start_of_the_workers_does_not_mix_with_the_old_run(view: NetworkView) -> None:
    for number in range(20, 30):
        view.on_report(report(number, errors=250))
    view.on_report(report(0, errors=0))
    assert view.links[LINK].qber == 0


def test_aborted_blocks_count_as_time_without_key(view: NetworkView) -> None:
    links = view.links[LINK]
    view.on_report(report(3))
    for number in range(2):
        links.on_block(ended(number))
    full = links.secret_bps
    assert full == pytest.approx(10_000 / 0.05)
    for number in range(2, 4):
        links.on_block(ended(number, aborted="QBER too high"))
    assert links.secret_bps == pytest.approx((full or 0) / 2)
    shown = view.link(view.network.links[LINK])
    assert (shown["blocks_made"], shown["blocks_aborted"], shown["last_abort"]) == (2, 2, "QBER too high")
    assert shown["last_block"]["epsilon_total"] == pytest.approx(1.00001e-10)


def test_every_snapshot_has_a_higher_number(view: NetworkView) -> None:
    assert [view.snapshot()["sequence"] for _ in range(3)] == [1, 2, 3]


@given(st.floats(1.0, 50.0), st.integers(2, 200))
def test_stretch_is_wall_time_over_link_time(factor: float, steps: int) -> None:
    stretch = Stretch()
    for step in range(steps):
        stretch.observe(wall_ns=int(step * 1e8 * factor), link_time_ns=step * 100_000_000)
    assert stretch.value == pytest.approx(factor, rel=1e-6)


def test_stretch_forgets_the_run_before_a_restart() -> None:
    stretch = Stretch()
    for step in range(5):
        stretch.observe(wall_ns=step * 10**9, link_time_ns=step * 10**9)
    stretch.observe(wall_ns=6 * 10**9, link_time_ns=0)
    assert stretch.value is None
    stretch.observe(wall_ns=9 * 10**9, link_time_ns=10**9)
    assert stretch.value == pytest.approx(3.0)
