"""What was taken from an application stays taken: over new starts, lost files, and lists from elsewhere."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId, SiteId
from qanat.core.topology import Network, Sae, Site
from qanat.crypto.pki import revocation_list
from qanat.node.access import CRL, Admission
from qanat.node.enrolment import enrol, revoke
from qanat.node.pki import provision, sae_credentials
from qanat.node.statedir import StateDir

NOW = datetime.now(UTC)
APP, TWO = SaeId("app"), SaeId("two")
NETWORK = Network(
    name="pair",
    is_simulation=True,
    sites={SiteId("a"): Site(id=SiteId("a"), name="a", latitude_deg=0, longitude_deg=0)},
    fibres={},
    links={},
    saes={name: Sae(id=name, site=SiteId("a")) for name in (APP, TWO)},
    demands=(),
)


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "state")
    provision(made, NETWORK, NOW)
    return made


def leaf(state: StateDir, sae: SaeId = APP) -> x509.Certificate:
    return x509.load_pem_x509_certificate(sae_credentials(state, sae).certfile.read_bytes())


def is_admitted(state: StateDir, sae: SaeId = APP) -> bool:
    return Admission(state).admits(sae, leaf(state, sae).serial_number)


def test_a_new_start_keeps_a_short_lived_certificate(state: StateDir) -> None:
    enrol(state, APP, days=30, folder=None, csr=None)
    serial = leaf(state).serial_number
    assert provision(state, NETWORK, NOW + timedelta(days=20)).renewed == []
    assert leaf(state).serial_number == serial
    assert provision(state, NETWORK, NOW + timedelta(days=27)).renewed == ["urn:qanat:sae:app"]


def test_a_new_start_gives_a_revoked_application_nothing_back(state: StateDir) -> None:
    enrol(state, APP, days=30, folder=None, csr=None)
    revoke(state, APP)
    provision(state, NETWORK, NOW + timedelta(days=27))
    assert not is_admitted(state)
    assert is_admitted(state, TWO)


def test_a_deleted_revocation_list_keeps_what_it_said(state: StateDir) -> None:
    revoke(state, APP)
    admission, serial = Admission(state), leaf(state).serial_number
    (state.access / CRL).unlink()
    admission.look()
    assert not admission.admits(APP, serial)


@pytest.mark.parametrize("obstacle", ["a file where the folder was", "a loop of links"])
def test_a_list_that_cannot_be_reached_ends_nothing_and_is_named_once(
    state: StateDir, obstacle: str, caplog: pytest.LogCaptureFixture
) -> None:
    revoke(state, APP)
    admission, path = Admission(state), state.access / CRL
    path.unlink()
    if obstacle == "a loop of links":
        path.symlink_to(path.name)
    else:
        state.access.rmdir()
        state.access.write_text("")
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            admission.look()
    assert not admission.admits(APP, leaf(state).serial_number)
    assert admission.admits(TWO, leaf(state, TWO).serial_number) is (obstacle == "a loop of links")
    assert len([record for record in caplog.records if CRL in record.getMessage()]) == 1


def test_a_list_in_der_is_read_too(state: StateDir) -> None:
    revoke(state, APP)
    path = state.access / CRL
    path.write_bytes(x509.load_pem_x509_crl(path.read_bytes()).public_bytes(Encoding.DER))
    assert not is_admitted(state)
    assert is_admitted(state, TWO)


def test_revoking_one_forgets_nobody_whom_a_list_from_elsewhere_names(state: StateDir) -> None:
    (state.access).mkdir(mode=0o700, exist_ok=True)
    cert, key = ((state.sae_ca / name).read_bytes() for name in ("cert.pem", "key.pem"))
    crl = revocation_list(ca_cert=cert, ca_key=key, serials=[4711], now=NOW, days=9)
    (state.access / CRL).write_bytes(crl)
    revoke(state, TWO)
    assert not Admission(state).admits(APP, 4711)


def test_a_broken_list_is_not_replaced_by_one_that_forgets(state: StateDir) -> None:
    (state.access).mkdir(mode=0o700, exist_ok=True)
    (state.access / CRL).write_text("nonsense")
    with pytest.raises(EnvironmentProblem, match="last good one"):
        revoke(state, APP)
    assert (state.access / CRL).read_text() == "nonsense"


def test_a_certificate_by_request_needs_a_folder(state: StateDir) -> None:
    with pytest.raises(MisuseError, match="--out"):
        enrol(state, APP, days=30, folder=None, csr=b"")
