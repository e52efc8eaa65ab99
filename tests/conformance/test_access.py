"""Who gets in: trust anchors per role, revocation and allow-list on live KMEs, also on connections that are open."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from live_pair import LINK, LiveKmes, LivePair, context_of, read_answer

from qanat.core.ids import SaeId, SiteId
from qanat.crypto.pki import issue, revocation_list
from qanat.node.enrolment import enrol, issued, revoke
from qanat.node.pki import Credentials, kme_credentials


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePair]:
    with LiveKmes(tmp_path_factory.mktemp("gate"), pairs=3) as kmes:
        kmes.feed(LINK, 2)
        pair = LivePair(kmes)
        pair.wait_for_keys()
        yield pair


def doors(gate: LivePair) -> dict[str, int]:
    site, ports = SiteId("site0"), gate.kmes.ports
    return {"014": ports.key_delivery[site], "SKIP": ports.skip[site], "004": ports.streams[site]}


def shaken(port: int, files: Credentials) -> bool:
    """Does TLS let this certificate in? With 1.3 a refusal shows at the first read."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            plain.settimeout(1.0)
            with context_of(files).wrap_socket(plain, server_hostname="127.0.0.1") as line:
                try:
                    return line.recv(1) != b""
                except TimeoutError:
                    return True
    except (ssl.SSLError, ConnectionError):
        return False


def forged(gate: LivePair, folder: Path, ca: Path, role: str, name: str) -> Credentials:
    """A leaf that says what its maker likes, from a CA of another role."""
    cert, key = issue(
        ca_cert=(ca / "cert.pem").read_bytes(),
        ca_key=(ca / "key.pem").read_bytes(),
        role=role,  # type: ignore[arg-type]
        identity=name,
        hosts=["localhost"] if role == "kme" else [],
        now=datetime.now(UTC),
        days=30,
    )
    (folder / "cert.pem").write_bytes(cert)
    (folder / "key.pem").write_bytes(key)
    return Credentials(folder / "cert.pem", folder / "key.pem", gate.kmes.state.ca / "cert.pem")


@pytest.mark.parametrize("door", ["014", "SKIP", "004"])
def test_only_certificates_of_the_applications_ca_pass_the_handshake(gate: LivePair, door: str, tmp_path: Path) -> None:
    port, state = doors(gate)[door], gate.kmes.state
    assert shaken(port, gate.kmes.credentials("m0"))
    assert not shaken(port, kme_credentials(state, SiteId("site0")))
    assert not shaken(port, forged(gate, tmp_path, state.ca, "sae", "m0"))
    assert not shaken(port, forged(gate, tmp_path, state.operator_ca, "sae", "m0"))


def test_only_key_managers_get_in_where_key_managers_talk(gate: LivePair, tmp_path: Path) -> None:
    port, state = gate.kmes.ports.peers[SiteId("site0")], gate.kmes.state
    assert shaken(port, kme_credentials(state, SiteId("site1")))
    assert not shaken(port, gate.kmes.credentials("m0"))
    assert not shaken(port, forged(gate, tmp_path, state.sae_ca, "kme", "site1"))
    assert not shaken(port, forged(gate, tmp_path, state.operator_ca, "kme", "site1"))


class Open:
    """One connection that is kept."""

    def __init__(self, gate: LivePair, files: Credentials, other: str) -> None:
        plain = socket.create_connection(("127.0.0.1", doors(gate)["014"]), timeout=10)
        self._line = context_of(files).wrap_socket(plain, server_hostname="127.0.0.1")
        self.said = b""
        self._request = f"GET /api/v1/keys/{other}/status HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    def code(self) -> int:
        self._line.sendall(self._request)
        status, self.said = read_answer(self._line)
        return status


def within_a_second(line: Open, wanted: int) -> bool:
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        if line.code() == wanted:
            return True
        time.sleep(0.02)
    return False


def test_a_revoked_application_is_refused_within_a_second_on_an_open_connection(gate: LivePair) -> None:
    state, sae = gate.kmes.state, SaeId("m1")
    old, other = Open(gate, gate.kmes.credentials("m1"), "s1"), Open(gate, gate.kmes.credentials("m0"), "s0")
    assert (old.code(), other.code()) == (200, 200)
    assert revoke(state, sae) >= 1
    assert within_a_second(old, 401)
    assert b"the certificate or key of m1 has ended, was revoked" in old.said
    assert other.code() == 200
    enrol(state, sae, days=1, folder=None, csr=None)
    assert Open(gate, gate.kmes.credentials("m1"), "s1").code() == 200
    assert old.code() == 401
    assert {one.is_revoked for one in issued(state) if one.name == "m1"} == {True, False}


def test_the_audit_names_the_application_whose_certificate_was_refused(gate: LivePair) -> None:
    """Beside ``test_a_revoked_application...``: an allow-list without it refuses too."""
    allowed = gate.kmes.state.access / "allowed.txt"
    allowed.parent.mkdir(exist_ok=True)
    line = Open(gate, gate.kmes.credentials("s0"), "m0")  # an application of the other site, at this door
    allowed.write_text("m0\n")
    assert within_a_second(line, 401)
    allowed.unlink()
    end = time.monotonic() + 15.0
    while time.monotonic() < end:
        gate.etsi014("m0", "/api/v1/keys/s0/status")
        shown = qanat("audit", "show", "--kind", "refused", state=gate.kmes.state.path).stdout
        if "who=s0" in shown and "allow-list" in shown:
            return
        time.sleep(0.3)
    raise AssertionError(shown)


def test_an_allow_list_admits_those_that_it_names(gate: LivePair) -> None:
    allowed = gate.kmes.state.access / "allowed.txt"
    allowed.parent.mkdir(exist_ok=True)
    one, two = Open(gate, gate.kmes.credentials("m0"), "s0"), Open(gate, gate.kmes.credentials("m2"), "s2")
    assert (one.code(), two.code()) == (200, 200)
    allowed.write_text("# only these\nm0\ns0\n")
    assert within_a_second(two, 401)
    assert one.code() == 200
    allowed.write_bytes(b"\xff\xfe")  # nonsense keeps the last good list
    time.sleep(0.8)
    assert (one.code(), two.code()) == (200, 401)
    allowed.unlink()
    assert within_a_second(two, 200)


def test_a_revocation_list_of_somebody_else_changes_nothing(gate: LivePair) -> None:
    state = gate.kmes.state
    line = Open(gate, gate.kmes.credentials("m2"), "s2")
    (mine,) = [one for one in issued(state) if one.name == "m2"]
    path = state.access / "revoked.crl"
    before = path.read_bytes()
    path.write_bytes(
        revocation_list(
            ca_cert=(state.ca / "cert.pem").read_bytes(),
            ca_key=(state.ca / "key.pem").read_bytes(),
            serials=[mine.serial],
            now=datetime.now(UTC),
            days=1,
        )
    )
    time.sleep(0.8)
    assert line.code() == 200
    path.write_bytes(before)


def qanat(*words: str, state: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qanat", *words, "--state", str(state)], capture_output=True, text=True, check=False
    )


def test_an_application_keeps_its_key_and_gets_a_certificate_by_request(gate: LivePair, tmp_path: Path) -> None:
    request: Any = subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=any",
         "-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "csr.pem")],
        capture_output=True, check=False,
    )  # fmt: skip
    assert request.returncode == 0, request.stderr
    state = gate.kmes.state.path
    done = qanat("sae", "enroll", "m0", "--csr", str(tmp_path / "csr.pem"), "--out", str(tmp_path / "out"), state=state)
    assert done.returncode == 0, done.stderr
    files = Credentials(tmp_path / "out/cert.pem", tmp_path / "key.pem", gate.kmes.state.ca / "cert.pem")
    assert Open(gate, files, "s0").code() == 200
    assert not (tmp_path / "out/key.pem").exists()
    assert "good" in qanat("sae", "list", state=state).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("enroll", "nobody"), "network file"),
        (("enroll", "../nodes/site0"), "is not a name"),
        (("enroll", "m0", "--days", "0"), "between 1 and 825"),
        (("enroll", "m0", "--csr", "/nowhere"), "cannot be read"),
        (("revoke", "nobody"), "qanat sae list"),
    ],
)
def test_a_command_that_cannot_be_done_says_why(gate: LivePair, words: tuple[str, ...], said: str) -> None:
    done = qanat("sae", *words, state=gate.kmes.state.path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
