"""Where the demo keeps its state: a directory of its own, empty at each start, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.cli.demo import own_place
from qanat.core.errors import EnvironmentProblem


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("QANAT_STATE", raising=False)
    monkeypatch.setattr("qanat.node.statedir.state_home", lambda: tmp_path)
    return tmp_path


def test_what_an_earlier_demo_left_is_gone_and_no_network_of_that_name_is_touched(home: Path) -> None:
    (home / "metro").mkdir()
    (home / "metro" / "keys").touch()
    place = own_place("metro")
    (place.path / "keys").touch()
    assert own_place("metro").path == place.path
    assert not (place.path / "keys").exists()
    assert (home / "metro" / "keys").exists()


def test_a_network_that_is_named_like_a_demo_keeps_what_it_has(home: Path) -> None:
    theirs = own_place("metro").path
    (theirs / "demo").unlink()
    (theirs / "keys").touch()
    own_place("metro")
    assert (theirs / "keys").exists()


def test_a_demo_that_still_runs_loses_nothing(home: Path) -> None:
    place = own_place("metro")
    (place.path / "keys").touch()
    with place.lock(), pytest.raises(EnvironmentProblem):
        own_place("metro")
    assert (place.path / "keys").exists()


def test_a_directory_that_somebody_chose_is_left_as_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QANAT_STATE", str(home / "mine"))
    (home / "mine").mkdir()
    (home / "mine" / "demo").touch()
    assert own_place("metro").path == home / "mine"
    assert (home / "mine" / "demo").exists()
