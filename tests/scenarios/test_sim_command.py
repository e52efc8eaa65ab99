"""`qanat sim`, as a function."""

import json
from pathlib import Path

import pytest

from qanat.cli.sim import sim
from qanat.core.errors import EnvironmentProblem, MisuseError

TINY = Path(__file__).parents[2] / "networks" / "tiny.toml"


def test_it_prints_a_verdict_a_digest_and_writes_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.txt"
    assert sim(TINY, duration="20s", seed=3, faults="crash:mitte@8s+2s", trace=trace) == 0
    told = capsys.readouterr()
    assert "all seven invariants held" in told.out
    assert "trace digest" in told.out
    assert "times real time" in told.err
    lines = trace.read_text(encoding="utf-8").splitlines()
    assert any(" crash      mitte" in line for line in lines)
    assert any(" restart    mitte" in line for line in lines)


def test_json_has_the_digest_and_the_rerun_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim(TINY, duration="10s", seed=3, faults="", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_correct"] is True
    assert len(told["digest"]) == 64
    assert told["rerun"].endswith("--duration 10s --seed 3")


@pytest.mark.parametrize(
    ("duration", "faults", "words"),
    [("soon", "", "unit 'soon'"), ("1ms", "", "less than a second"), ("10s", "cutt:x", "did you mean cut?")],
)
def test_misuse_is_told(duration: str, faults: str, words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        sim(TINY, duration=duration, seed=1, faults=faults)
    assert words in str(caught.value)


def test_a_trace_that_cannot_be_written_is_the_environments_matter(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="cannot write the trace"):
        sim(TINY, duration="10s", seed=1, trace=tmp_path / "none" / "trace.txt")
