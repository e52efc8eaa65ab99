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
    assert "no fault found. Passing proves nothing: a counter through AES passes too" in " ".join(done.out.split())
    assert "are to be expected of sound bits by chance" in done.out


def test_broken_bits_fail_with_1_and_name_the_tests(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "broken"
    path.write_bytes(Streams(seed=1).get("once").bytes(100) * 40)
    done = run(str(path), "--json")
    assert done.code == 1
    assert "spectral" in done.json["failed"]
    found = {one["name"]: one["min_entropy_bits"] for one in done.json["estimates"]}
    assert found["MultiMMC prediction"] < 0.1
    assert done.json["false_alarms_expected"] == pytest.approx(0.01 * 10)
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
