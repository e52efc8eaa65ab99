"""`qanat audit`: exit codes, what is printed, and wrong words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.km.pairing import S

from qanat.cli import audit
from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.node.audit.entry import hash_of
from qanat.node.audit.files import files_in
from qanat.node.audit.keys import provide_keys
from qanat.node.audit.log import AuditLog
from qanat.node.entropy import SystemEntropy


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "nodes" / "mitte" / "audit"
    keys = provide_keys(folder, SystemEntropy())
    log = AuditLog(folder, keys, kme_id="kme-mitte", now_ns=1_800_000_000 * S, head=None)
    log.append([("started", {"version": "test"}), ("delivered", {"count": 3})], 1_800_000_000 * S)
    log.append([("stopped", {})], 1_800_000_100 * S)
    log.close()
    return tmp_path


def test_a_whole_audit_ends_with_0_and_names_its_anchor(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.verify(state, None, [], as_json=True) == 0
    told = json.loads(capsys.readouterr().out)[0]
    assert (told["kme"], told["entries"], told["problems"]) == ("kme-mitte", 4, [])
    anchor = f"mitte:{told['entries']}:{told['head']}"
    assert audit.verify(state, "mitte", [anchor], as_json=False) == 0
    assert anchor in capsys.readouterr().out


def test_the_audit_of_another_instance_is_read_from_its_folder(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = files_in(state / "nodes" / "mitte" / "audit")[0].read_bytes().splitlines()
    folder = tmp_path / "brought"
    keys = provide_keys(folder, SystemEntropy())
    log = AuditLog(folder, keys, kme_id="kme-mitte@2", now_ns=1_800_000_000 * S, head=None)
    for head, code in ((hash_of(lines[-1]), 0), ("a" * 64, 1)):
        log.append([("started", {"turn": 2 + code, "follows": [f"mitte:{len(lines)}:{head}"]})], 1_800_000_200 * S)
        assert audit.verify(state, None, [], as_json=False, chains=[f"mitte@2={folder}"]) == code
        told = capsys.readouterr().out
        assert "kme-mitte@2: whole" in told
        assert ("is not the one remembered elsewhere" in told) == bool(code)
    log.close()
    for wrong in ("mitte@2", f"={folder}", "mitte@2=nowhere"):
        with pytest.raises(MisuseError, match="--chain is NAME=FOLDER"):
            audit.verify(state, None, [], as_json=False, chains=[wrong])


def test_an_audit_that_was_cut_below_an_anchor_ends_with_1(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.verify(state, None, [f"mitte:9:{'a' * 64}"], as_json=False) == 1
    assert "NOT WHOLE" in capsys.readouterr().out


def test_a_changed_audit_ends_with_1(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = files_in(state / "nodes" / "mitte" / "audit")[0]
    path.write_bytes(path.read_bytes().replace(b'"count":3', b'"count":2'))
    assert audit.verify(state, None, [], as_json=False) == 1
    assert "does not follow" in capsys.readouterr().out


def test_show_selects_by_kind_and_time(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.show(state, None, None, "delivered", as_json=True) == 0
    assert [entry["kind"] for entry in json.loads(capsys.readouterr().out)] == ["delivered"]
    assert audit.show(state, None, "2027-01-15T08:01:00+00:00", None, as_json=True) == 0
    assert [entry["kind"] for entry in json.loads(capsys.readouterr().out)] == ["stopped", "checkpoint"]
    assert audit.show(state, None, "2100-01-01", None, as_json=False) == 1


def test_wrong_words_and_places_are_told(state: Path, tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="no audit of site nowhere"):
        audit.verify(state, "nowhere", [], as_json=False)
    with pytest.raises(MisuseError, match="SITE:ENTRIES:HASH"):
        audit.verify(state, None, ["mitte:4"], as_json=False)
    with pytest.raises(MisuseError, match="--since"):
        audit.show(state, None, "yesterday", None, as_json=False)
    with pytest.raises(EnvironmentProblem, match="holds no audit"):
        audit.verify(tmp_path / "empty", None, [], as_json=False)
