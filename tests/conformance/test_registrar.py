"""The registrar and a live KME: enrolment from afar, and an application that renews its own certificate."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from live_pair import LiveKmes, context_of, network_text
from test_admin_door import shaken

from qanat.core.ids import SaeId, SiteId
from qanat.crypto.requests import new_key, request_for
from qanat.node.enrolment import enrol
from qanat.node.pki import Credentials, identity_credentials, kme_credentials, registrar_credentials
from qanat.node.processes.config import ChildConfig
from qanat.node.revocation import end_early, issued, revoke
from qanat.node.supervisor import free_ports

SITE0 = SiteId("site0")


class Office:
    """One KME, and the registrar beside it."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports()
        for _ in range(60):
            next(ports)
        self.operators, self.applications = next(ports), next(ports)
        doors = f'operators = "localhost:{self.operators}"\napplications = "localhost:{self.applications}"'
        self.kmes = LiveKmes(folder, text=network_text(1, 3) + f"\n[registrar]\n{doors}\n")
        self.state = self.kmes.state
        self.ca = self.state.ca / "cert.pem"

    def start(self) -> None:
        kmes = self.kmes
        kmes.start(SITE0)
        config = ChildConfig(
            process="registrar", network=kmes.network, state=str(self.state.path), ports=kmes.ports, sockets={}
        )
        with (self.state.logs / "registrar.log").open("ab") as log:
            words = [sys.executable, "-m", "qanat.node.processes", "registrar"]
            self.popen = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(msgspec.json.encode(config) + b"\n")
        self.popen.stdin.flush()
        assert self.popen.stdout.readline().startswith(b"ready"), (self.state.logs / "registrar.log").read_text()

    def stop(self) -> None:
        self.popen.terminate()
        self.popen.wait(10)
        self.kmes.__exit__()

    def sae(self, *words: str, files: Credentials, port: int) -> Any:
        """`qanat sae ...` at a machine that has no state directory."""
        named = ["--cert", str(files.certfile), "--key", str(files.keyfile), "--ca", str(self.ca)]
        words = ("sae", *words, "--registrar", f"https://localhost:{port}")
        return subprocess.run(
            [sys.executable, "-m", "qanat", *words, *named], capture_output=True, text=True, check=False
        )

    def by_operator(self, *words: str) -> Any:
        return self.sae(*words, files=identity_credentials(self.state, "admin"), port=self.operators)

    def renew(self, name: str, files: Credentials, *words: str) -> Any:
        return self.sae("renew", name, *words, files=files, port=self.applications)

    def application(self, name: str, folder: Path, days: int = 20) -> Credentials:
        """An application with a certificate of its own on a machine of its own."""
        enrol(self.state, SaeId(name), days=days, folder=folder, csr=None)
        return Credentials(folder / "cert.pem", folder / "key.pem", self.ca)

    def code(self, files: Credentials, other: str = "s0") -> int:
        """Of a status request to the KME."""
        return post(self.kmes.port("site0"), files, "GET", f"/api/v1/keys/{other}/status", b"")[0]

    def audit(self) -> str:
        words = ["audit", "show", "--site", "@registrar", "--state", str(self.state.path)]
        return subprocess.run(
            [sys.executable, "-m", "qanat", *words], capture_output=True, text=True, check=False
        ).stdout


def post(port: int, files: Credentials, method: str, path: str, body: bytes) -> tuple[int, Any]:
    line = http.client.HTTPSConnection("localhost", port, context=context_of(files), timeout=10)
    line.request(method, path, body or None)
    answer = line.getresponse()
    found = json.loads(answer.read())
    line.close()
    return answer.status, found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"))
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("holder", ["application", "KME", "operator"])
def test_each_door_of_the_registrar_lets_in_the_holders_of_one_ca(office: Office, holder: str) -> None:
    files = {
        "application": office.kmes.credentials("m0"),
        "KME": kme_credentials(office.state, SITE0),
        "operator": identity_credentials(office.state, "admin"),
    }[holder]
    assert shaken(office.operators, files) is (holder == "operator")
    assert shaken(office.applications, files) is (holder == "application")


def test_the_registrar_is_no_client_at_any_door(office: Office) -> None:
    files, ports = registrar_credentials(office.state), office.kmes.ports
    for port in (ports.key_delivery[SITE0], ports.peers[SITE0], office.operators, office.applications):
        assert not shaken(port, files)


def test_an_operator_enrols_and_revokes_from_afar_and_the_key_never_travels(office: Office, tmp_path: Path) -> None:
    done = office.by_operator("enroll", "m1", "--days", "3", "--out", str(tmp_path / "m1"))
    assert done.returncode == 0, done.stderr
    files = Credentials(tmp_path / "m1/cert.pem", tmp_path / "m1/key.pem", office.ca)
    assert office.code(files, "s1") == 200
    assert "m1" in office.by_operator("list").stdout
    (tmp_path / "key.pem").write_bytes(key := new_key())
    (tmp_path / "csr.pem").write_bytes(request_for(key, "any"))
    done = office.by_operator("enroll", "m1", "--csr", str(tmp_path / "csr.pem"), "--out", str(tmp_path / "two"))
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "two/key.pem").exists()
    done = office.by_operator("revoke", "m1", "--json")
    assert json.loads(done.stdout)["revoked"] >= 2
    end, code = time.monotonic() + 1.0, 200
    while time.monotonic() < end and code == 200:
        code = office.code(files, "s1")
    assert code == 401
    said = office.audit()
    assert said.count("by=operator admin") == 3
    assert "key.pem" not in said


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("enroll", "nobody", "--out", "{out}"), "no application of this network"),
        (("enroll", "m0"), "--out"),
        (("enroll", "m0", "--days", "4000", "--out", "{out}"), "between 1 and 825"),
        (("revoke", "../ca"), "no certificate that is still good"),
    ],
)
def test_what_the_registrar_does_not_do_is_said(
    office: Office, words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    done = office.by_operator(*(word.format(out=tmp_path / "out") for word in words))
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
    assert not (tmp_path / "out/key.pem").exists()


def test_an_application_renews_itself_in_place_and_goes_on(office: Office, tmp_path: Path) -> None:
    files = office.application("m0", tmp_path / "m0")
    kept = office.application("m0", tmp_path / "kept")
    for file in ("cert.pem", "key.pem"):  # a copy of what it had
        (tmp_path / "kept" / file).write_bytes((tmp_path / "m0" / file).read_bytes())
    before = files.certfile.read_bytes()
    done = office.renew("m0", files)
    assert done.returncode == 0, done.stderr
    assert files.certfile.read_bytes() != before
    assert {path.name for path in (tmp_path / "m0").iterdir()} == {"cert.pem", "key.pem"}
    assert (office.code(files), office.code(kept)) == (200, 200)
    thief = office.renew("m0", kept)
    assert thief.returncode == 1
    assert "renewed already, for another key" in " ".join(thief.stderr.split())
    serial = x509.load_pem_x509_certificate(before).serial_number
    (old,) = [one for one in issued(office.state) if one.serial == serial]
    assert old.ends < datetime.now(UTC) + timedelta(hours=24, minutes=1)
    end_early(office.state, serial, datetime.now(UTC) - timedelta(seconds=1))
    end, code = time.monotonic() + 1.0, 200
    while time.monotonic() < end and code == 200:
        code = office.code(kept)
    assert (code, office.code(files)) == (401, 200)
    said = office.audit()
    assert "renewed role=sae name=m0" in said
    assert "identity_refused who=application m0 what=renew" in said


def test_nobody_renews_for_somebody_else_or_with_a_certificate_that_was_taken_back(
    office: Office, tmp_path: Path
) -> None:
    files = office.application("m2", tmp_path / "m2")
    assert office.renew("s2", files).returncode == 2
    csr = request_for(new_key(), "s2").decode()
    status, found = post(office.applications, files, "POST", "/renew/v1/certificate", json.dumps({"csr": csr}).encode())
    assert status == 200  # the name in the request is for people
    assert "CN=m2" in x509.load_pem_x509_certificate(found["certificate"].encode()).subject.rfc4514_string()
    revoke(office.state, "m2")
    time.sleep(0.8)
    done = office.renew("m2", files)
    assert done.returncode == 1
    assert "has ended, was revoked" in " ".join(done.stderr.split())


def test_renewals_of_one_application_are_limited_and_those_of_others_go_on(office: Office, tmp_path: Path) -> None:
    one, two = office.application("s0", tmp_path / "s0"), office.application("s1", tmp_path / "s1")

    def asked(files: Credentials) -> int:
        body = json.dumps({"csr": request_for(new_key(), "x").decode(), "days": 99}).encode()
        return post(office.applications, files, "POST", "/renew/v1/certificate", body)[0]

    assert [asked(one) for _ in range(7)] == [409] * 5 + [429] * 2
    assert asked(two) == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/renew/v1/certificate", b"", 405),
        ("POST", "/renew/v1/certificates", b"{}", 404),
        ("POST", "/renew/v1/certificate", b"{}", 400),
        ("POST", "/renew/v1/certificate?sae=s0", b"{}", 400),
        ("POST", "/renew/v1/certificate", b'{"csr": "x", "name": "s0"}', 400),
        ("POST", "/renew/v1/certificate", b"[" * 70_000, 413),
    ],
)
def test_a_renewal_that_does_not_fit_is_refused_in_words(
    office: Office, method: str, path: str, body: bytes, status: int
) -> None:
    found, said = post(office.applications, office.kmes.credentials("s2"), method, path, body)
    assert (found, bool(said["message"])) == (status, True)
