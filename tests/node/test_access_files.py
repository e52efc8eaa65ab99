"""What was taken from an application stays taken: over new starts, lost files, and lists from elsewhere."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
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
from qanat.node.enrolment import enrol
from qanat.node.pki import provision, sae_credentials
from qanat.node.revocation import issued, revoke
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


def test_no_bytes_in_the_revocation_list_stop_a_kme_or_give_a_certificate_back(state: StateDir) -> None:
    revoke(state, APP)
    admission, path, serial = Admission(state), state.access / CRL, leaf(state).serial_number
    good = x509.load_pem_x509_crl(path.read_bytes()).public_bytes(Encoding.DER)
    rng = random.Random(2)
    version = good.index(b"\x02\x01\x01")
    for index in range(400):
        data = bytearray(good)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data[version + 2 if index == 0 else rng.randrange(len(data))] ^= rng.randrange(1, 256)
        path.write_bytes(data[: rng.randrange(len(data))] if index % 5 == 4 else data)
        admission.look()
        assert not admission.admits(APP, serial), index
        assert not Admission(state).admits(APP, serial), index


def revoke_at_once(state: StateDir, *names: str) -> None:
    program = "import sys; from qanat.node.revocation import revoke; from qanat.node.statedir import StateDir; " + (
        "print('ready', flush=True); sys.stdin.read(1); revoke(StateDir(sys.argv[1]), sys.argv[2])"
    )
    words = [[sys.executable, "-c", program, str(state.path), name] for name in names]
    children = [subprocess.Popen(each, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for each in words]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"x")
        child.stdin.flush()
    for child in children:
        child.communicate()
        assert child.returncode == 0


def test_of_two_revocations_at_once_none_is_lost(state: StateDir) -> None:
    names = [f"app{index}" for index in range(4)]
    for name in names:
        enrol(state, SaeId(name), days=1, folder=None, csr=None)
    revoke_at_once(state, *names)
    assert [one.name for one in issued(state) if one.is_revoked] == names


def test_a_line_of_the_register_cut_by_a_crash_is_dropped_and_the_next_one_whole(state: StateDir) -> None:
    register = state.sae_ca / "issued.jsonl"
    before = len(issued(state))
    with register.open("a") as file:
        file.write('{"serial": "ab')
    assert len(issued(state)) == before
    enrol(state, APP, days=1, folder=None, csr=None)
    assert len(issued(state)) == before + 1
    assert revoke(state, APP) == 2


def test_a_register_that_somebody_damaged_is_named_by_its_line(state: StateDir) -> None:
    register = state.sae_ca / "issued.jsonl"
    register.write_text("nonsense\n" + register.read_text())
    with pytest.raises(EnvironmentProblem, match=r"Line 1 of .*issued\.jsonl"):
        revoke(state, APP)


def test_an_allow_list_may_begin_with_a_byte_order_mark(state: StateDir) -> None:
    state.access.mkdir(mode=0o700, exist_ok=True)
    (state.access / "allowed.txt").write_bytes("\ufeffapp\r\n".encode())
    assert is_admitted(state)
    assert not is_admitted(state, TWO)


@pytest.mark.parametrize("there", ["another's certificate", "a key alone"])
def test_enrolling_writes_over_nothing_of_somebody_else(state: StateDir, tmp_path: Path, there: str) -> None:
    folder = tmp_path / "out"
    if there == "a key alone":
        folder.mkdir(mode=0o700)
        (folder / "key.pem").write_text("mine")
    else:
        enrol(state, TWO, days=1, folder=folder, csr=None)
    before = (folder / "key.pem").read_bytes()
    with pytest.raises(MisuseError, match="another folder"):
        enrol(state, APP, days=1, folder=folder, csr=None)
    assert (folder / "key.pem").read_bytes() == before
    assert enrol(state, APP, days=1, folder=None, csr=None) == state.sae(APP)
