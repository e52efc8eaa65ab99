"""The door for operators on live KMEs: who gets in, what it does, and that what is not written down is not done."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from live_pair import LINK, LiveKmes, LivePair, context_of, network_text

from qanat.core.ids import SiteId
from qanat.node.enrolment import enrol
from qanat.node.holders import OPERATORS
from qanat.node.pki import Credentials, identity_credentials, kme_credentials
from qanat.node.processes.config import ChildConfig
from qanat.node.revocation import revoke
from qanat.node.supervisor import free_ports

SITE0, SITE1 = SiteId("site0"), SiteId("site1")


def text_with_doors(ports: list[int]) -> str:
    text = network_text(2, 2)
    for index, port in enumerate(ports):
        text = text.replace(f'id = "site{index}"\nlat', f'id = "site{index}"\nadmin = "localhost:{port}"\nlat')
    return text


class Site:
    """Two KMEs with doors for operators, and the hub of their network."""

    def __init__(self, kmes: LiveKmes) -> None:
        self.kmes, self.state = kmes, kmes.state
        self.admin_ports = [int(site.admin.rpartition(":")[2]) for site in kmes.network.sites.values()]
        self.admin = identity_credentials(kmes.state, "admin")

    def start_hub(self) -> subprocess.Popen[bytes]:
        config = ChildConfig(
            process="hub",
            network=self.kmes.network,
            state=str(self.state.path),
            ports=self.kmes.ports,
            sockets=self.kmes.sockets,
        )
        words = [sys.executable, "-m", "qanat.node.processes", "hub"]
        hub = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert hub.stdin is not None
        assert hub.stdout is not None
        hub.stdin.write(msgspec.json.encode(config) + b"\n")
        hub.stdin.flush()
        assert hub.stdout.readline().startswith(b"ready")
        return hub

    def qanat(self, *words: str, site: int = 0, files: Credentials | None = None, share: str = "") -> Any:
        """A command from afar: it has no state directory."""
        files = files or self.admin
        door = ["--kme", f"https://localhost:{self.admin_ports[site]}"]
        named = ["--cert", str(files.certfile), "--key", str(files.keyfile), "--ca", str(files.cafile)]
        return subprocess.run(
            [sys.executable, "-m", "qanat", *words, *door, *named],
            input=share, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def here(self, *words: str) -> Any:
        words = (*words, "--state", str(self.state.path))
        return subprocess.run([sys.executable, "-m", "qanat", *words], capture_output=True, text=True, check=False)

    def call(self, method: str, path: str, body: bytes = b"", files: Credentials | None = None) -> tuple[int, Any]:
        line = http.client.HTTPSConnection("localhost", self.admin_ports[0], context=context_of(files or self.admin))
        line.request(method, path, body or None)
        answer = line.getresponse()
        found = json.loads(answer.read())
        line.close()
        return answer.status, found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    ports = free_ports()
    for _ in range(20):  # the doors of the KMEs take the first ones
        next(ports)
    text = text_with_doors([next(ports), next(ports)])
    with LiveKmes(tmp_path_factory.mktemp("doors"), text=text) as kmes, kmes.state.lock():
        made = Site(kmes)
        hub = made.start_hub()
        kmes.feed(LINK, 2)
        LivePair(kmes).wait_for_keys()
        yield made
        hub.kill()
        hub.wait()


def shaken(port: int, files: Credentials) -> bool:
    """Does TLS let this certificate in? With 1.3 a refusal shows at the first read."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
            plain.settimeout(0.7)
            with context_of(files).wrap_socket(plain, server_hostname="localhost") as line:
                try:
                    return line.recv(1) != b""
                except TimeoutError:
                    return True
    except (ssl.SSLError, ConnectionError):
        return False


def certificate_of(site: Site, holder: str) -> Credentials:
    if holder == "application":
        return site.kmes.credentials("m0")
    return site.admin if holder == "operator" else kme_credentials(site.state, SITE1)


@pytest.mark.parametrize("holder", ["application", "KME", "operator"])
@pytest.mark.parametrize("door", ["014", "SKIP", "004", "KMEs", "operators"])
def test_each_door_lets_in_the_holders_of_one_ca_and_no_other(site: Site, door: str, holder: str) -> None:
    ports = site.kmes.ports
    port = {
        "014": ports.key_delivery[SITE0],
        "SKIP": ports.skip[SITE0],
        "004": ports.streams[SITE0],
        "KMEs": ports.peers[SITE0],
        "operators": site.admin_ports[0],
    }[door]
    meant = {"KMEs": "KME", "operators": "operator"}.get(door, "application")
    assert shaken(port, certificate_of(site, holder)) is (holder == meant)


def test_the_controller_is_no_operator(site: Site) -> None:
    status, said = site.call("GET", "/admin/v1/kme", files=identity_credentials(site.state, "controller"))
    assert status == 401
    assert "a controller certificate" in said["message"]


def test_commands_print_the_same_from_afar(site: Site) -> None:
    for words in (("link", "show", "site0-site1"), ("alarms",), ("kme", "status", "site0")):
        here, afar = site.here(*words), site.qanat(*words)
        assert afar.returncode == here.returncode, afar.stderr
        assert afar.stdout.splitlines()[0] == here.stdout.splitlines()[0]
    assert {link["id"] for link in json.loads(site.qanat("link", "list", "--json").stdout)} == {LINK}


def test_what_was_done_from_afar_is_done_and_the_audit_names_who_did_it(site: Site) -> None:
    folder = site.state.path / "ada"
    enrol(site.state, "ada", OPERATORS, days=1, folder=folder, csr=None)
    ada = Credentials(folder / "cert.pem", folder / "key.pem", site.admin.cafile)
    done = site.qanat("fault", "cut", "duct-site0-site1", files=ada)
    assert done.returncode == 0, done.stderr
    assert "(cut)" in site.here("link", "list").stdout
    wrong = site.qanat("fault", "mend", "duct-site0-site", files=ada)
    assert wrong.returncode == 2
    assert "did you mean 'duct-site0-site1'?" in " ".join(wrong.stderr.split())
    assert site.qanat("fault", "mend", "duct-site0-site1", files=ada).returncode == 0
    written = site.here("audit", "show", "--site", "site0", "--kind", "admin").stdout.splitlines()
    mine = [line for line in written if "operator=ada" in line]
    assert ["what=cut" in line for line in mine] == [True, False, False, False]
    assert "refused=no fibre is called" in mine[2]
    assert site.here("audit", "verify").returncode == 0


def test_a_revoked_operator_is_refused_within_a_second_on_an_open_connection(site: Site) -> None:
    folder = site.state.path / "bob"
    enrol(site.state, "bob", OPERATORS, days=1, folder=folder, csr=None)
    files = Credentials(folder / "cert.pem", folder / "key.pem", site.admin.cafile)
    line = http.client.HTTPSConnection("localhost", site.admin_ports[0], context=context_of(files))

    def code() -> int:
        line.request("GET", "/admin/v1/kme")
        answer = line.getresponse()
        answer.read()
        return answer.status

    assert code() == 200
    assert revoke(site.state, "bob", OPERATORS) == 1
    end, found = time.monotonic() + 1.0, 200
    while time.monotonic() < end and found == 200:
        found = code()
        time.sleep(0.05)
    assert found == 401
    line.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", b"", 404),
        ("GET", "/admin/v1/keys", b"", 404),
        ("POST", "/admin/v1/kme/../kme", b"", 404),
        ("POST", "/admin/v1/kme", b"", 405),
        ("GET", "/admin/v1/kme/unseal", b"", 405),
        ("GET", "/admin/v1/network?x=1", b"", 400),
        ("GET", "/admin/v1/network", b"{}", 400),
        ("POST", "/admin/v1/kme/unseal", b"{}", 400),
        ("POST", "/admin/v1/kme/unseal", b'{"share": 7}', 400),
        ("POST", "/admin/v1/kme/rotate", b'{"please": 1}', 400),
        ("POST", "/admin/v1/network/cut", b"\xff", 400),
        ("POST", "/admin/v1/network/cut", b'{"fibre": {"a": 1}}', 400),
        ("POST", "/admin/v1/network/cut", b'{"fibre": 18446744073709551616}', 400),
        ("POST", "/admin/v1/network/cut", b'{"fibre": "a", "fibre": "b"}', 400),
        ("POST", "/admin/v1/network/cut", b'{"fibre": "\\ud800"}', 400),
        ("POST", "/admin/v1/network/explode", b"{}", 400),
        ("POST", "/admin/v1/network/cut", b" " * 70_000, 413),
    ],
)
def test_what_does_not_fit_is_refused_in_words(site: Site, method: str, path: str, body: bytes, status: int) -> None:
    found, said = site.call(method, path, body)
    assert (found, bool(said["message"])) == (status, True), said
    assert "Traceback" not in said["message"]


def test_the_description_names_every_path_of_the_door(site: Site) -> None:
    status, found = site.call("GET", "/openapi.json")
    assert status == 200
    assert {"/admin/v1/kme", "/admin/v1/kme/unseal", "/admin/v1/network/{verb}"} < found["paths"].keys()


def test_what_cannot_be_written_down_is_not_done(site: Site) -> None:
    folder, away = site.state.node(SITE0) / "audit", site.state.node(SITE0) / "audit.away"
    before = site.qanat("kme", "rotate", "site0", "--json")
    assert before.returncode == 0, before.stderr
    kek = (site.state.node(SITE0) / "kek").read_bytes()
    folder.rename(away)
    folder.write_text("in the way")
    newest = max(path for path in away.iterdir() if path.name.startswith("audit-"))
    with newest.open("ab") as file:
        file.write(b"x")  # the KME holds the file open: a length that it did not write stops it
    status, said = site.call("POST", "/admin/v1/kme/rotate")
    assert status == 503
    assert "could not be written down" in said["message"]
    assert (site.state.node(SITE0) / "kek").read_bytes() == kek
    with newest.open("r+b") as file:
        file.truncate(newest.stat().st_size - 1)
    folder.unlink()
    away.rename(folder)
    end = time.monotonic() + 10
    while site.call("POST", "/admin/v1/kme/rotate")[0] != 200 and time.monotonic() < end:
        time.sleep(0.2)
    assert (site.state.node(SITE0) / "kek").read_bytes() != kek


def test_a_share_is_sent_to_no_other_kme_than_the_one_named(site: Site) -> None:
    done = site.qanat("kme", "unseal", "site1", site=0, share="a share that shall stay here\n")
    assert done.returncode == 3
    assert "the KME of site0, not of site1; nothing was sent" in " ".join(done.stderr.split())


def test_a_door_that_is_somebody_else_is_not_spoken_to(site: Site) -> None:
    port = site.kmes.ports.key_delivery[SITE0]
    files = site.admin
    words = ["--cert", str(files.certfile), "--key", str(files.keyfile), "--ca", str(files.cafile)]
    for url in (f"https://127.0.0.2:{site.admin_ports[0]}", f"https://localhost:{port}", "http://localhost:1"):
        done = subprocess.run(
            [sys.executable, "-m", "qanat", "status", "--kme", url, *words], capture_output=True, text=True, check=False
        )
        assert done.returncode in (2, 3), (url, done.stdout)
        assert "Traceback" not in done.stderr


def test_a_sealed_kme_is_opened_from_afar_and_writes_it_down_afterwards(tmp_path: Path) -> None:
    ports = free_ports()
    for _ in range(40):
        next(ports)
    kmes = LiveKmes(tmp_path, text=text_with_doors([next(ports)]))
    with kmes:
        pass
    kmes.start(SITE0)
    kmes.popens[SITE0].terminate()
    kmes.popens[SITE0].wait(10)
    made = subprocess.run(
        [sys.executable, "-m", "qanat", "kme", "init-seal", "site0", "--shares", "2", "--threshold", "2",
         "--state", str(kmes.state.path)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    shares = [line for line in made.stdout.splitlines() if line and " " not in line]
    kmes.start(SITE0)
    site = Site.__new__(Site)
    site.kmes, site.state, site.admin = kmes, kmes.state, identity_credentials(kmes.state, "admin")
    site.admin_ports = [int(kmes.network.sites[SITE0].admin.rpartition(":")[2])]
    try:
        assert site.qanat("kme", "status", "site0").returncode == 1
        assert "1 shares are still missing" in site.qanat("kme", "unseal", "site0", share=shares[0] + "\n").stdout
        assert "is unsealed" in site.qanat("kme", "unseal", "site0", share=shares[1] + "\n").stdout
        end = time.monotonic() + 10
        while site.qanat("kme", "status", "site0").returncode != 0 and time.monotonic() < end:
            time.sleep(0.2)
        written = site.here("audit", "show", "--kind", "admin").stdout
        assert written.count("what=unseal") == 2
        assert not any(share in written for share in shares)
    finally:
        kmes.__exit__()
