"""Who is revoked is out at every door, and the audit says by whom."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate
from live_network import TINY

from qanat.cli.check import load_network
from qanat.cli.identities import renew_kme
from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId, SiteId
from qanat.crypto.pki import make_ca
from qanat.crypto.requests import new_key
from qanat.crypto.signing_keys import KEY_KINDS, KeyKind, certificate_kind, key_from_pem, key_kind
from qanat.node.access import Admission
from qanat.node.audit.entry import entry_of
from qanat.node.audit.files import files_in, lines_of
from qanat.node.audit.place import REGISTRAR, audit_folder
from qanat.node.entropy import SystemEntropy
from qanat.node.holders import KMES
from qanat.node.pki import BETWEEN_KMES, kme_credentials, peer_credentials, provision
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


def test_a_kme_is_shut_out_with_both_of_its_certificates_and_comes_back_with_both(tmp_path: Path) -> None:
    """What it shows applications, and what it shows other KMEs where that is ML-DSA."""
    network = load_network(TINY)
    network = replace(network, policy=replace(network.policy, pki=BETWEEN_KMES))
    state, site = StateDir(tmp_path / "state"), SiteId("mitte")
    provision(state, network, datetime.now(UTC))

    def serials() -> list[int]:
        files = (kme_credentials(state, site).certfile, peer_credentials(state, site, BETWEEN_KMES).certfile)
        return [load_pem_x509_certificate(path.read_bytes()).serial_number for path in files]

    before = serials()
    assert revoke(state, site, KMES) == 2
    seen = Admission(state, KMES)
    assert [seen.admits(site, serial) for serial in before] == [False, False]
    assert renew_kme(state.path, site, days=30, more_hosts=[], as_json=True) == 0
    assert not set(serials()) & set(before)
    assert [seen.admits(site, serial) for serial in serials()] == [True, True]
    shown = [load_pem_x509_certificate(path.read_bytes()) for path in state.path.rglob("peers/cert.pem")]
    assert {certificate_kind(one) for one in shown} == {"ml-dsa-65"}


@pytest.mark.parametrize("kind", KEY_KINDS)
def test_a_key_for_a_renewal_is_of_the_old_ones_kind(kind: KeyKind) -> None:
    now = datetime.now(UTC)
    ca = make_ca(common_name="CA", now=now, days=1, kind=kind)
    assert key_kind(key_from_pem(new_key(load_pem_x509_certificate(ca[0]))).public_key()) == kind
