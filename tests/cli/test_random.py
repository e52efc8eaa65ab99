"""`qanat random`: verdicts, exit codes and manners."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from live_network import Done, qanat_here

from qanat.core.streams import Streams


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*words: str) -> Done:
        return qanat_here(capsys, "random", *words)

    return run


def test_a_counter_through_aes_passes_and_the_command_says_that_this_proves_nothing(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """The key is all zeros and every bit is known; the outcome is fixed."""
    path = tmp_path / "counter"
    aes = Cipher(algorithms.AES(bytes(16)), modes.CTR(bytes(16))).encryptor()
    path.write_bytes(aes.update(bytes(50_000)))
    done = run(str(path))
    assert done.code == 0, done.out
    text = " ".join(done.out.split())
    assert "no fault found. This is a health check, not a proof of security. Passing proves nothing" in text
    assert "400000 of 400000 bits judged" in text
    assert "p-values, 0.12 lie below 0.01 by chance alone" in text
    assert "random excursions variant │ │ │ │ needs 1000000 bits" in text
    assert done.err == ""  # progress only on a terminal


def test_broken_bits_fail_with_1_and_name_the_tests(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "broken"
    path.write_bytes(Streams(seed=1).get("once").bytes(100) * 40)
    done = run(str(path), "--json")
    assert done.code == 1
    assert "spectral" in done.json["failed"]
    found = {one["name"]: one["min_entropy_bits"] for one in done.json["estimates"]}
    assert found["MultiMMC prediction"] < 0.1
    assert done.json["false_alarms_expected"] == pytest.approx(0.01 * done.json["p_values_count"])
    assert done.json["min_entropy_bits"] == min(value for value in found.values() if value is not None)
    assert "Passing proves nothing" in done.json["caveat"]


def test_constant_bits_fail(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "zeros"
    path.write_bytes(bytes(1000))
    done = run(str(path))
    assert done.code == 1
    assert "FAILED" in done.out


def test_of_a_huge_file_the_first_million_bits_are_judged(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("qanat.cli.random.SIZE_BYTES_MAX", 2000)
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(Streams(seed=1).get("huge").bytes(2000))
        file.truncate(1 << 40)  # sparse: a terabyte of zeros follows
    done = run(str(path), "--json")
    assert done.json["size_bits"] == 16_000
    assert done.code == 0


def test_a_million_bits_get_all_fifteen_tests_and_all_ten_estimates(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "million"
    path.write_bytes(Streams(seed=1).get("million").bytes(125_000))
    done = run(str(path), "--json")
    assert done.json["p_values_count"] in (162, 188)  # the two excursion tests need luck
    assert done.json["failed"] == []  # the seed is fixed
    assert done.code == 0
    assert all(one["min_entropy_bits"] is not None for one in done.json["estimates"])
    assert 0.8 < done.json["min_entropy_bits"] < 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bytes([0, 1, 1, 0]) * 300, "Every byte is 0 or 1"),
        (b"0110 1001\n" * 300, "text of zeros and ones"),
        (b"7f3a90c2e4\n" * 300, "looks like text"),
        (Streams(seed=1).get("raw").bytes(1000), ""),
        (bytes(1000), ""),
    ],
)
def test_a_file_that_holds_its_bits_in_another_form_gets_a_hint(run, tmp_path: Path, content: bytes, says: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "form"
    path.write_bytes(content)
    hint = run(str(path), "--json").json["hint"]
    assert says in hint
    assert bool(hint) == bool(says)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("none", 3, "No such file"),
        (".", 3, "is a directory"),
        ("empty", 2, "has 0 bytes"),
        ("short", 2, "has 127 bytes"),
    ],
)
def test_a_file_that_cannot_be_judged_is_told_in_a_sentence(
    run, tmp_path: Path, name: str, code: int, says: str
) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(bytes(127))
    done = run(str(tmp_path / name))
    assert done.code == code
    assert done.out == ""
    assert says in done.err
    assert "Traceback" not in done.err
