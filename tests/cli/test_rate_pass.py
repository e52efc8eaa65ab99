"""`qanat rate PROTOCOL --pass FILE`: the key of a satellite's pass at the terminal, as JSON, as a picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_network import Done, qanat_here

from qanat.keyrate import decoy_bb84
from qanat.keyrate.satellite import pass_rate

EXAMPLE = Path(__file__).parents[2] / "examples/micius-like-pass.csv"
MICIUS = {
    "clock_hz": 1e8,
    "mu": 0.8,
    "nu": 0.1,
    "p_mu": 0.5,
    "p_nu": 0.25,
    "p_basis": 0.5,
    "detector_efficiency": 0.08,
    "p_dark": 5e-8,
    "misalignment": 0.011,
    "f_ec": 1.19,
}
SET = tuple(word for name, value in MICIUS.items() for word in ("--set", f"{name}={value}"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: str) -> Done:
        return qanat_here(capsys, "rate", *words)

    return run


def test_a_pass_is_one_finite_key_and_the_same_as_the_library_gives(run) -> None:  # type: ignore[no-untyped-def]
    done = run("decoy-bb84", "--pass", str(EXAMPLE), *SET, "--json")
    assert done.code == 0
    rows = [line.split(",") for line in EXAMPLE.read_text().splitlines() if line[0].isdigit()]
    found = pass_rate(decoy_bb84, [10 ** (-float(loss) / 10) for _, loss in rows], 7.0, **MICIUS)
    assert done.json["pass"]["secret_bits"] == int(found.terms["signed_length_bits"])
    assert done.json["pass"]["secret_bits"] > 100_000
    assert done.json["pass"]["duration_s"] == 273
    assert done.json["terms"]["duration_s"] == 273
    assert "secrecy" in done.json["epsilon"]  # a finite proof, not an asymptotic formula


def test_the_key_is_told_in_words(run) -> None:  # type: ignore[no-untyped-def]
    told = run("decoy-bb84", "--pass", str(EXAMPLE), *SET).out
    assert "one finite key for the whole pass" in told
    assert "pass: 39 parts, 273 s, loss of the channel 21.1 to 28.7 dB" in told
    assert "QBER 1.13%" in told


def test_optimising_gives_at_least_as_much(run) -> None:  # type: ignore[no-untyped-def]
    fixed = ("--set", "clock_hz=1e8", "--set", "detector_efficiency=0.08", "--set", "p_dark=5e-8", "--json")
    plain = run("decoy-bb84", "--pass", str(EXAMPLE), *fixed).json["pass"]["secret_bits"]
    best = run("decoy-bb84", "--pass", str(EXAMPLE), *fixed, "--optimise").json["pass"]["secret_bits"]
    assert best >= plain


def test_a_short_pass_without_key_says_what_is_missing(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "short.csv"
    file.write_text("duration_s,loss_db\n1,45\n", encoding="utf-8")
    done = run("decoy-bb84", "--pass", str(file), *SET)
    assert done.code == 0
    assert "key: none; the pass would need" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--loss-db", "30"), "--loss-db and --pass exclude each other"),
        (("--distance-km", "30"), "--distance-km and --pass exclude each other"),
        (("--finite", "n=1e7"), "--finite and --pass exclude each other"),
        (("--duration", "60s"), "--duration and --pass exclude each other"),
        (("bbm92",), "--pass takes one protocol"),
        (("--set", "mu=0.4,0.5"), "a pass is one key"),
        (("--plot", "pass.txt"), "a picture ends in"),
    ],
)
def test_what_makes_no_sense_with_a_pass_is_said(run, words: tuple[str, ...], said: str) -> None:  # type: ignore[no-untyped-def]
    done = run("decoy-bb84", *words, "--pass", str(EXAMPLE))
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_protocol_without_a_finite_key_and_a_file_that_is_not_there_are_said(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "no finite key over a pass" in run("tf-sns", "--pass", str(EXAMPLE)).err
    done = run("decoy-bb84", "--pass", str(tmp_path / "none.csv"))
    assert "cannot read the pass" in done.err
    assert "No such file" in done.err


def test_the_picture_has_loss_and_error_rate_over_time(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    file, picture = tmp_path / "gap.csv", tmp_path / "pass.svg"
    file.write_text("duration_s,transmittance\n60,1e-3\n10,0\n60,5e-3\n60,1e-3\n", encoding="utf-8")
    assert run("decoy-bb84", "--pass", str(file), *SET, "--plot", str(picture)).code == 0
    drawn = picture.read_text(encoding="utf-8")
    for label in ("loss of the channel (dB)", "QBER of each part (%)", "time (s)", "a pass of 190 s"):
        assert label in drawn
