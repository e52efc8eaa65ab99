"""`qanat check` and `qanat schema`, as functions."""

import json
from pathlib import Path

import pytest

from qanat.cli.check import check
from qanat.cli.schema import schema
from qanat.core.errors import EnvironmentProblem, MisuseError

NETWORKS = Path(__file__).parents[2] / "networks"


def test_a_right_file_prints_links_with_loss_and_demands_with_second_paths(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(NETWORKS / "metro.toml", as_json=False) == 0
    out = capsys.readouterr().out
    assert "SIMULATION" in out
    assert "mitte -> charlottenburg    6.8 km   2.5 dB" in out
    assert "mitte - charlottenburg - dahlem" in out


def test_json_of_a_right_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(NETWORKS / "metro.toml", as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_correct"] is True
    assert [demand["hops"] for demand in told["demands"]] == [1, 2, 2, 2]
    assert all(demand["second_path"] for demand in told["demands"])


def test_a_wrong_file_answers_1_and_lists_every_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.toml"
    text = (NETWORKS / "tiny.toml").read_text(encoding="utf-8")
    path.write_text(text.replace('"bob"', '"mitte"').replace("buffer_keys", "bufer_keys"), encoding="utf-8")
    assert check(path, as_json=False) == 1
    assert "did you mean buffer_keys?" in capsys.readouterr().err
    assert check(path, as_json=True) == 1
    told = json.loads(capsys.readouterr().out)
    assert {p["place"] for p in told["problems"]} == {"saes[1].id", "policy.bufer_keys"}
    assert all(p["line"] for p in told["problems"])


def test_a_file_that_cannot_be_read_is_a_matter_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="No such file"):
        check(tmp_path / "none.toml", as_json=False)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EnvironmentProblem, match="not UTF-8"):
        check(tmp_path / "binary", as_json=False)


def test_a_demand_without_a_way_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (NETWORKS / "tiny.toml").read_text(encoding="utf-8")
    head, _, links = text.partition("[[links]]")
    _, _, rest = links.partition("[[saes]]")
    path = tmp_path / "dark.toml"
    path.write_text(head + "[[saes]]" + rest, encoding="utf-8")
    assert check(path, as_json=False) == 0
    out = capsys.readouterr().out
    assert "no way of QKD links through trusted sites joins alice and bob" in out
    assert "site mitte has no QKD link" in out


def test_schema_prints_json_and_an_unknown_one_is_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema("network") == 0
    assert "sites" in json.loads(capsys.readouterr().out)["properties"]
    with pytest.raises(MisuseError, match="did you mean network"):
        schema("netwrk")
