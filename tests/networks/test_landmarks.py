"""The landmark networks run: two minutes of link time each, every invariant held, keys where the light allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from qanat.cli.check import load_network
from qanat.cli.simulated_links import simulated_link
from qanat.core.timebase import NS_PER_S
from qanat.sim.run import SimReport, run_sim

NETWORKS = Path(__file__).parents[2] / "networks"
LANDMARKS = sorted(path for path in NETWORKS.glob("*.toml") if re.search(r"-(19|20)\d\d$", path.stem))
SEEN: dict[str, SimReport] = {}


def report_of(path: Path) -> SimReport:
    if path.stem not in SEEN:
        SEEN[path.stem] = run_sim(load_network(path), duration_ns=120 * NS_PER_S, seed=1)
    return SEEN[path.stem]


def test_the_landmarks_are_there() -> None:
    expected = {"secoqc-2008", "swissquantum-2009", "tokyo-2010", "cambridge-2019", "madqci-2024", "hefei-2021"}
    assert expected <= {path.stem for path in LANDMARKS}


@pytest.mark.parametrize("path", LANDMARKS, ids=lambda path: path.stem)
def test_a_landmark_runs_two_minutes_and_no_invariant_breaks(path: Path) -> None:
    report = report_of(path)
    assert report.violation is None
    assert report.ended_ns == 120 * NS_PER_S
    assert all(totals.windows >= 59 for totals in report.links.values())
    assert all(pair.shared > 0 for name, pair in report.pairs.items()), report.pairs


@pytest.mark.parametrize("path", LANDMARKS, ids=lambda path: path.stem)
def test_a_landmark_says_where_its_figures_are_from_and_what_it_cannot_say(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"\(?(19|20)\d\d\)?", text.partition("name =")[0])  # a source with its year
    if path.stem != "tokyo-2010":
        assert "cannot say yet" in text.replace("\n# ", " ")
        fibres = re.findall(r"^\[\[fibres\]\](.*)$", text, flags=re.MULTILINE)
        assert len(fibres) == len(tomllib.loads(text)["fibres"])
        assert all(re.match(r" # .*(: |representative)", comment) for comment in fibres), fibres


def test_a_printed_loss_is_the_loss_of_its_fibre() -> None:
    printed = {
        "cambridge-2019": {"cape-trel-fibre": 3.9, "trel-engi-fibre": 4.2, "engi-cape-fibre": 2.5},
        "secoqc-2008": {"sie-brt-fibre": 7.5, "erd-brt-fibre": 5.75, "erd-gud-fibre": 2.8},
        "madqci-2024": {"quiron-quijote-fibre": 8.72, "quijote-quevedo-fibre": 1.40, "concepcion-distrito-fibre": 14.3},
        "swissquantum-2009": {"unige-cern-fibre": 4.6, "cern-hepia-fibre": 5.3, "hepia-unige-fibre": 2.5},
    }
    for name, losses in printed.items():
        fibres = load_network(NETWORKS / f"{name}.toml").fibres
        for fibre, loss_db in losses.items():
            assert fibres[fibre].loss_db == pytest.approx(loss_db, abs=2e-3), (name, fibre)  # type: ignore[index]


def test_a_link_by_itself_counts_what_the_whole_rehearsal_counts() -> None:
    report = report_of(NETWORKS / "cambridge-2019.toml")
    for name, totals in report.links.items():
        alone = simulated_link(f"cambridge-2019/{name}")
        assert alone.rate_bps == totals.secret_bits / 120
        assert alone.qber == totals.errors / totals.tests
