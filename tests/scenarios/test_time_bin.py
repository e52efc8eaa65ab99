"""The shipped time-bin network in virtual time: four and three states make key, Eve is noticed, invariants hold."""

from __future__ import annotations

from pathlib import Path

from qanat.cli.check import load_network
from qanat.core.timebase import NS_PER_S
from qanat.sim.run import run_sim

NETWORK = load_network(Path(__file__).parents[2] / "networks/time-bin.toml")


def test_a_time_bin_network_serves_every_demand() -> None:
    report = run_sim(NETWORK, duration_ns=60 * NS_PER_S, seed=1)
    assert report.violation is None
    assert report.alarms == {}
    assert all(totals.blocks > 0 and totals.aborted == 0 for totals in report.links.values())
    assert all(pair.lost == 0 and pair.shared >= 0.8 * pair.wanted for pair in report.pairs.values())


def test_eve_on_the_three_state_link_is_noticed_and_gets_no_key() -> None:
    report = run_sim(NETWORK, duration_ns=60 * NS_PER_S, seed=2, faults="intercept-resend:mitte-potsdam@20s+20s")
    assert report.violation is None
    assert report.alarms["qber raised"] >= 1
    totals = {str(link): totals for link, totals in report.links.items()}
    assert totals["mitte-potsdam"].aborted > 0
    assert totals["mitte-adlershof"].aborted == 0
