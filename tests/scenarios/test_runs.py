"""Whole runs in virtual time: reproducible, and no fault breaks an invariant."""

from dataclasses import replace
from pathlib import Path

import pytest

from qanat.core.errors import MisuseError
from qanat.core.netfile import network_from_toml
from qanat.core.timebase import NS_PER_S
from qanat.sim.run import SimReport, rerun_line, run_sim

NETWORKS = Path(__file__).parents[2] / "networks"
TINY = network_from_toml((NETWORKS / "tiny.toml").read_text(encoding="utf-8"))
METRO = network_from_toml((NETWORKS / "metro.toml").read_text(encoding="utf-8"))


def held(report: SimReport) -> SimReport:
    if report.violation is not None:
        faults = ",".join(map(str, report.faults))
        line = rerun_line(report, path=f"networks/{report.network}.toml", faults=faults)
        pytest.fail("\n".join([report.violation.text, *report.violation.recent, line]), pytrace=False)
    return report


def test_the_same_seed_gives_the_same_digest_and_another_seed_another() -> None:
    def digest(seed: int) -> str:
        return run_sim(TINY, duration_ns=30 * NS_PER_S, seed=seed, faults="random:20").digest

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


def test_a_quiet_metro_serves_every_demand() -> None:
    report = held(run_sim(METRO, duration_ns=60 * NS_PER_S, seed=1))
    assert report.alarms == {}
    for pair in report.pairs.values():
        assert pair.lost == 0
        assert pair.shared >= 0.85 * pair.wanted  # the first seconds have no key, the last batch is under way
    assert all(totals.blocks > 0 for totals in report.links.values())


def test_eve_on_the_direct_link_is_noticed_and_applications_go_round_her() -> None:
    lines: list[str] = []
    report = held(
        run_sim(
            METRO,
            duration_ns=90 * NS_PER_S,
            seed=2,
            faults="intercept-resend:mitte-charlottenburg@30s+20s",
            trace=lines.append,
        )
    )
    assert report.alarms["qber raised"] >= 1
    assert report.alarms["qber over"] >= 1
    assert {"pause_link", "quarantine", "resume_link"} <= set(report.commands)
    served = [line for line in lines if "to bank-mitte as master" in line or "to bank-charlottenburg as master" in line]
    during = [line for line in served if 35 < float(line.split()[0]) < 50]
    assert during, "the two banks got no key while Eve was there"
    assert report.links[METRO.links["mitte-charlottenburg"].id].aborted > 0  # type: ignore[index]


@pytest.mark.parametrize("seed", range(6))
def test_random_faults_keep_the_invariants_on_tiny(seed: int) -> None:
    report = held(run_sim(TINY, duration_ns=180 * NS_PER_S, seed=seed, faults="random:20"))
    assert report.crashes > 0
    assert sum(pair.shared for pair in report.pairs.values()) > 100


@pytest.mark.parametrize("seed", range(2))
def test_random_faults_in_bad_weather_keep_the_invariants_on_metro(seed: int) -> None:
    report = held(run_sim(METRO, duration_ns=120 * NS_PER_S, seed=seed, faults="random:20,lossy:0.2"))
    assert report.crashes > 0
    assert report.frames_lost > 100
    assert sum(pair.shared for pair in report.pairs.values()) > 1000


def test_a_network_that_is_no_simulation_is_refused() -> None:
    with pytest.raises(MisuseError, match="not marked as a simulation"):
        run_sim(replace(TINY, is_simulation=False), duration_ns=NS_PER_S, seed=1)
