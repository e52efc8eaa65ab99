"""`qanat reproduce`: the table, one in full, JSON, exit codes and manners."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_network import Done, qanat_here

from qanat.cli import place

BROKEN = """
[[demonstration]]
name = "too-good"
title = "Too good"
source = "nobody"
setting = "bench"
geometry = "100 km"

[[demonstration.point]]
name = "100 km"
protocol = "bb84"
inputs = { distance_km = 100 }
published = { rate_bps = 1e9, read = "a dream" }
claims = "passes"
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: str) -> Done:
        return qanat_here(capsys, "reproduce", *words)

    return run


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "demonstrations.toml"
    path.write_text(BROKEN, encoding="utf-8")
    monkeypatch.setattr(place, "demonstrations_path", lambda: path)


def test_all_are_told_in_a_table_with_the_misses(run) -> None:  # type: ignore[no-untyped-def]
    done = run()
    assert done.code == 0
    assert "toshiba-tokyo-2010" in done.out
    assert "304 kbit/s" in done.out
    assert "misses" in done.out
    assert "geometry only" in done.out


def test_one_is_told_with_everything_that_went_into_it(run) -> None:  # type: ignore[no-untyped-def]
    told = run("micius-2017").out
    for part in (
        "source: Liao et al., Nature 549, 43 (2017)",
        "printed by the source: clock_hz = 1e+08, mu = 0.8",
        "assumed: air_loss_db = 5.5, pointing_loss_db = 1.5: middle of the ranges",
        "published value read in: quoted sentence by sentence",
        "the proof assumes: ",
    ):
        assert part in told
    assert "misses because: " in run("zhang-cv-2020").out


def test_machines_get_published_and_computed_apart(run) -> None:  # type: ignore[no-untyped-def]
    done = run("zhang-di-2022", "--json")
    assert done.code == 0
    assert set(done.json) == {"rule", "outcomes", "counts", "is_kept"}
    (found,) = done.json["outcomes"]
    assert {"inputs", "assumed", "published", "computed", "log10_ratio", "verdict", "claims", "because"} <= set(found)
    assert found["published"]["rate_per_pulse"] == 0.07
    assert found["computed"]["rate_per_pulse"] == pytest.approx(0.0787, abs=1e-4)
    assert found["verdict"] == "passes"


def test_a_claim_that_is_not_kept_ends_with_1(run, broken: None) -> None:  # type: ignore[no-untyped-def]
    done = run()
    assert done.code == 1
    assert "too-good, 100 km: claims to pass, and does not" in done.out
    assert run("too-good", "--json").code == 1


def test_an_unknown_name_is_told_what_is_near(run) -> None:  # type: ignore[no-untyped-def]
    done = run("micius-2018")
    assert done.code == 2
    assert "did you mean micius-20" in done.err
    assert "Traceback" not in done.err
