"""Who is revoked is out at every door, and the audit says by whom."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from live_network import TINY

from qanat.cli.check import load_network
from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId, SiteId
from qanat.node.audit.entry import entry_of
from qanat.node.audit.files import files_in, lines_of
from qanat.node.audit.place import REGISTRAR, audit_folder
from qanat.node.entropy import SystemEntropy
from qanat.node.pki import provision
from qanat.node.revocation import issued, revoke
from qanat.node.shut_out import shut_out
from qanat.node.skip_psk import add, listed
from qanat.node.statedir import StateDir


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    provision(made, load_network(TINY), datetime.now(UTC))
    return made


def written(state: StateDir) -> list[dict[str, object]]:
    entries = [entry_of(line) for line in lines_of(files_in(audit_folder(state, REGISTRAR)))]
    return [dict(entry.facts) for entry in entries if entry.kind == "revoked"]


def test_certificates_and_pre_shared_keys_go_together_and_both_are_written_down(state: StateDir) -> None:
    add(state, SiteId("mitte"), SaeId("alice"), "router-1", entropy=SystemEntropy())
    add(state, SiteId("moabit"), SaeId("bob"), "router-2", entropy=SystemEntropy())
    assert shut_out(state, "alice", by="operator ada") == (1, ["router-1"])
    assert [row.identity for _, row in listed(state)] == ["router-2"]
    assert {one.name for one in issued(state) if one.is_revoked} == {"alice"}
    first, second = written(state)
    assert (first["psks"], first["by"]) == (["router-1"], "operator ada")
    assert (second["name"], second["by"]) == ("alice", "operator ada")


def test_one_with_pre_shared_keys_alone_is_shut_out_too_and_one_with_nothing_is_named(state: StateDir) -> None:
    revoke(state, "alice")
    add(state, SiteId("mitte"), SaeId("alice"), "router-1", entropy=SystemEntropy())
    assert shut_out(state, "alice") == (0, ["router-1"])
    with pytest.raises(MisuseError, match="no certificate that is still good"):
        shut_out(state, "alice")


def test_a_pre_shared_key_stays_when_its_removal_cannot_be_written_down(state: StateDir) -> None:
    add(state, SiteId("mitte"), SaeId("alice"), "router-1", entropy=SystemEntropy())
    state.registrar.mkdir(mode=0o700, exist_ok=True)
    audit_folder(state, REGISTRAR).write_text("in the way")
    with pytest.raises(EnvironmentProblem):
        shut_out(state, "alice")
    assert [row.identity for _, row in listed(state)] == ["router-1"]
