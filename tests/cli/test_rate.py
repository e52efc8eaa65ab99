"""`qanat rate`: numbers, terms, pictures and manners."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from live_network import Done, qanat_here


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: str) -> Done:
        return qanat_here(capsys, "rate", *words)

    return run


def test_one_point_is_told_with_every_term_and_assumption(run) -> None:  # type: ignore[no-untyped-def]
    done = run("decoy-bb84", "--distance-km", "100", "--set", "decoys=infinite", "--json")
    assert done.code == 0
    found = done.json
    assert set(found) == {
        "protocol", "params", "rate_per_pulse", "rate_bps", "qber", "terms", "epsilon", "assumptions"
    }  # fmt: skip
    terms = found["terms"]
    assert found["rate_per_pulse"] == terms["signed_rate_per_pulse"] > 0
    assert math.isclose(
        terms["single_photon_secret"] - terms["error_correction"], found["rate_per_pulse"], rel_tol=1e-12
    )
    assert math.isclose(found["rate_bps"], found["rate_per_pulse"] * found["params"]["clock_hz"])
    assert any("Poisson" in each for each in found["assumptions"])
    told = run("decoy-bb84", "--distance-km", "100").out
    assert "yield_single_photon" in told
    assert "assumes: " in told


def test_several_lengths_make_a_table_and_no_key_is_an_answer(run) -> None:  # type: ignore[no-untyped-def]
    done = run("bb84", "--distance-km", "0,100,400")
    assert done.code == 0
    assert done.out.count("no key") == 1
    by_loss = run("bb84", "--loss-db", "0:20:10", "--json").json
    assert by_loss["params"]["loss_db"] == [0.0, 10.0, 20.0]
    assert by_loss["rate_per_pulse"] == sorted(by_loss["rate_per_pulse"], reverse=True)


def test_optimise_is_never_worse_and_keeps_what_is_set(run) -> None:  # type: ignore[no-untyped-def]
    plain, best, held = (
        run("decoy-bb84", "--distance-km", "50", *words, "--json").json
        for words in ((), ("--optimise",), ("--optimise", "--set", "mu=0.3"))
    )
    assert best["rate_per_pulse"] > plain["rate_per_pulse"]
    assert held["params"]["mu"] == 0.3


def test_several_protocols_and_the_bounds_are_drawn(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "rates.svg"
    done = run("decoy-bb84", "bb84", "--distance-km", "0:200:5", "--plot", str(path), "--json")
    assert [each["protocol"] for each in done.json] == ["decoy-bb84", "bb84"]
    texts = {node.text for node in ElementTree.parse(path).iter() if node.tag.endswith("text")}  # noqa: S314 - our own
    assert {"decoy-bb84", "bb84", "PLOB bound (absolute)", "single-repeater bound", "distance (km)"} <= texts


def test_a_protocol_without_key_is_named_as_such_in_the_picture(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "none.svg"
    assert run("cow", "bb84", "--distance-km", "0:50:10", "--plot", str(path), "--json").code == 0
    texts = {node.text for node in ElementTree.parse(path).iter() if node.tag.endswith("text")}  # noqa: S314 - our own
    assert {"cow: no key", "bb84"} <= texts


def test_the_list_and_the_parameters_are_complete(run) -> None:  # type: ignore[no-untyped-def]
    from qanat.keyrate.library import FILES

    assert [each["name"] for each in run("--list", "--json").json] == list(FILES)
    for row in run("decoy-bb84", "--params", "--json").json:
        assert row["unit"], row
        assert row["source"], row
        assert row["default"] is not None or row["optional"], row


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a protocol"),
        (("decoy-bb48",), "did you mean decoy-bb84?"),
        (("bb84", "--set", "misalignmnt=0.1"), "did you mean misalignment?"),
        (("bb84", "--set", "misalignment=0.7"), "misalignment = 0.7 is outside its range; allowed: [0, 0.5]"),
        (("bb84", "--set", "f_ec"), "write NAME=VALUE"),
        (("bb84", "--distance-km", "far"), "give a number, some (0,50,100), or first:last:step"),
        (("bb84", "--distance-km", "0:10:0"), "the step must be above 0"),
        (("bb84", "--distance-km", "nan"), "outside its range"),
        (("bb84", "--distance-km", "10", "--loss-db", "3"), "give distance_km or loss_db, not both"),
        (("bb84", "--finite", "m=3"), "write n=1e7"),
        (("bb84", "--finite", "n=1e5", "--duration", "60s"), "give --finite or --duration"),
        (("decoy-bb84", "--set", "decoys=three"), "infinite | vacuum_weak | two | one"),
        (("decoy-bb84", "--set", "nu=0.5"), "nu + omega must be less than mu"),
        (("bb84", "--plot", "x.svg"), "a picture needs several values"),
        (("bb84", "--distance-km", "0:9:1", "--plot", "x.gif"), "a picture ends in"),
    ],
)
def test_bad_input_says_what_is_wrong_and_what_is_allowed(run, words: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    done = run(*words)
    assert done.code == 2
    assert said in " ".join(done.err.split())
    assert "Traceback" not in done.err
