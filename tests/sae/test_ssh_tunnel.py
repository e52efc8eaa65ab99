"""Real ssh, sshd and stunnel in two network namespaces: a login that a delivered key alone lets through."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from memory_kme import TwoKmes
from netns import inside, two_hosts

from qanat.core.errors import MisuseError
from qanat.core.ids import SaeId
from qanat.core.secret import SecretBits
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.integrations import ssh
from qanat.sae.keys import DeliveredKey

sys.path.insert(0, str(Path(__file__).parents[1] / "node"))

from live_network import qanat_here, until

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
needs_programs = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, (SSHD, "ssh", "ssh-keygen", "stunnel", "ip", "openssl"))),
    reason="needs root and openssh-server, openssh-client, stunnel4, iproute2, openssl",
)
ALICE, BOB = SaeId("alice"), SaeId("bob")  # the client's application, the server's
TUNNEL, SSHD_PORT = ("10.91.0.2", 2222), 2200


def with_bits(key: DeliveredKey, secret: bytes) -> DeliveredKey:
    return DeliveredKey(key_id=key.key_id, master=key.master, slave=key.slave, bits=SecretBits(secret), provenance=None)


def a_key(size_bytes: int = 32) -> DeliveredKey:
    bits = SecretBits(os.urandom(size_bytes))
    return DeliveredKey(key_id=uuid.uuid4(), master=ALICE, slave=BOB, bits=bits, provenance=None)


class Hosts:
    """The first is the client, the second has sshd on its loopback only, and stunnel before it."""

    def __init__(self, names: tuple[str, str], folder: Path, stack: ExitStack) -> None:
        self.names, self.folder, self.stack = names, folder, stack
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
        Path("/run/sshd").mkdir(exist_ok=True)  # Debian's sshd insists
        settings = (
            f"ListenAddress=127.0.0.1:{SSHD_PORT}",
            f"HostKey={folder}/host",
            f"AuthorizedKeysFile={folder}/user.pub",
            *("StrictModes=no", "PidFile=none", "UsePAM=no", "PasswordAuthentication=no", "PermitRootLogin=yes"),
        )
        self.start(1, SSHD, "-D", "-e", "-f", "/dev/null", *[part for one in settings for part in ("-o", one)])
        (folder / "known").write_text(f"the-server {(folder / 'host.pub').read_text()}")

    def start(self, host: int, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{Path(command[0]).name}.log").open("ab") as log:
            process = subprocess.Popen([*inside(self.names[host]), *command], stdout=log, stderr=log)
        self.stack.callback(process.wait, 5)
        self.stack.callback(process.terminate)
        return process

    def ssh(self, *words: str) -> list[str]:
        proxy = f"ProxyCommand=stunnel {self.folder}/client/{ssh.CONF}"
        options = [proxy, f"UserKnownHostsFile={self.folder}/known", "BatchMode=yes", "ConnectTimeout=10"]
        settings = [part for one in options for part in ("-o", one)]
        return [*inside(self.names[0]), "ssh", "-F", "none", "-i", f"{self.folder}/user", *settings, *words]

    def login(self, timeout_s: float = 30) -> bool:
        """Whether a command at the server answers."""
        command = self.ssh("root@the-server", "echo inside")
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
        return done.stdout == "inside\n"

    def log(self, program: str) -> str:
        return (self.folder / f"{program}.log").read_text()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with two_hosts("qtest-ssh") as names, ExitStack() as stack:
        yield Hosts(names, tmp_path, stack)


@needs_programs
def test_a_login_goes_through_with_the_key_of_both_ends_and_with_no_other(two: TwoKmes, hosts: Hosts) -> None:
    with (
        KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice,
        KeyDeliveryClient(two.url("b"), **two.saes["bob"].kwargs()) as bob,
    ):
        at_server = ssh.server(hosts.folder / "server", TUNNEL, ("127.0.0.1", SSHD_PORT))
        at_client = ssh.client(hosts.folder / "client", TUNNEL)

        def agreed() -> DeliveredKey:
            key = alice.enc_keys(BOB, 1, 256)[0]
            at_server(bob.key_of(ALICE, key.key_id))
            return key

        first = agreed()
        first_secret = first.bits.reveal()
        at_client(first)
        hosts.start(1, "stunnel", f"{hosts.folder}/server/{ssh.CONF}")
        until(lambda: "Configuration successful" in hosts.log("stunnel"), patience_s=5)
        until(lambda: "Server listening" in hosts.log("sshd"), patience_s=5)
        assert hosts.login(), hosts.log("stunnel")

        session = subprocess.Popen(
            hosts.ssh("root@the-server", "read line; echo $line"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        until(lambda: hosts.log("stunnel").count("Service [ssh] connected remote server") == 2, patience_s=10)
        second = agreed()
        assert hosts.login()  # the client's key is the one before: it changes a moment later
        at_client(second)
        assert hosts.login()
        assert session.communicate("still here\n", timeout=10)[0] == "still here\n"  # open sessions stay

        at_client(with_bits(second, os.urandom(32)))  # the right ID, other bits
        assert not hosts.login()
        assert "binder does not verify" in hosts.log("stunnel")
        third = agreed()
        at_client(with_bits(first, first_secret))  # the key of two turns ago
        assert not hosts.login()
        at_client(third)
        assert hosts.login()
        assert third.bits.reveal() == bytes(32)
    secrets = {line.split(":")[1] for line in (hosts.folder / "server" / ssh.KEYS).read_text().split()}
    assert len(secrets) == 2
    for file in (*(hosts.folder / "server").iterdir(), *(hosts.folder / "client").iterdir()):
        assert file.stat().st_mode & 0o077 == 0 or file.name == ssh.PID, file
    assert not [secret for secret in secrets if secret in hosts.log("stunnel") + hosts.log("sshd")]


@needs_programs
def test_no_key_is_on_a_command_line_while_a_session_is_open(hosts: Hosts) -> None:
    key = a_key()
    secret = key.bits.reveal()
    ssh.server(hosts.folder / "server", TUNNEL, ("127.0.0.1", SSHD_PORT))(with_bits(key, secret))
    ssh.client(hosts.folder / "client", TUNNEL)(key)
    hosts.start(1, "stunnel", f"{hosts.folder}/server/{ssh.CONF}")
    until(lambda: "Configuration successful" in hosts.log("stunnel"), patience_s=5)
    session = subprocess.Popen(
        hosts.ssh("root@the-server", "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    until(lambda: "connected remote server" in hosts.log("stunnel"), patience_s=10)
    lines = [command for folder in Path("/proc").glob("[0-9]*") if (command := command_line(folder))]
    session.communicate("", timeout=10)
    assert sum("stunnel" in line for line in lines) >= 2  # server's and client's are among them
    assert not [line for line in lines if secret.hex() in line]


def command_line(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


@needs_programs
def test_a_stranger_with_a_certificate_and_no_key_hears_nothing_of_us(hosts: Hosts) -> None:
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=x",
    ]
    subprocess.run(
        [*made, "-keyout", str(hosts.folder / "x.key"), "-out", str(hosts.folder / "x.crt")],
        check=True,
        capture_output=True,
    )
    stranger = ["openssl", "s_server", "-accept", "10.91.0.2:2222", "-tls1_3", "-quiet"]
    files = ["-cert", str(hosts.folder / "x.crt"), "-key", str(hosts.folder / "x.key")]
    heard = subprocess.Popen(
        [*inside(hosts.names[1]), *stranger, *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.5)
    ssh.client(hosts.folder / "client", TUNNEL)(a_key())
    try:
        assert not hosts.login()
        trusting = hosts.folder / "client" / ssh.CONF
        trusting.write_text(trusting.read_text().replace("verifyChain = yes", "verifyChain = no"))
        with pytest.raises(subprocess.TimeoutExpired):  # without that line ssh would speak to the stranger
            hosts.login(3)
    finally:
        heard.terminate()
    assert "SSH-2.0" in heard.communicate(timeout=5)[0]


def test_the_two_ends_are_told_apart(two: TwoKmes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files: Any = two.saes["alice"]
    who = ("--peer", "bob", "--kme", two.url("a"), "--cert", files.cert, "--key", files.key, "--ca", files.ca)
    there = ("10.91.0.2:7102", "10.91.0.2:2222")
    for ends in (
        (),
        ("--listen", there[0]),
        ("--listen", there[0], "--tunnel", there[1]),
        ("--connect", there[0], "--accept", there[1]),
        ("--connect", there[0], "--tunnel", there[1], "--accept", there[1]),
    ):
        done = qanat_here(capsys, "integrate", "ssh", str(tmp_path / "t"), *map(str, who), *ends)
        assert (done.code, "the server follows, the client leads" in done.err) == (2, True), ends
    assert not (tmp_path / "t").exists()


def test_a_short_key_and_a_folder_that_stunnel_cannot_spell_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match="256 bits or more"):
        ssh.client(tmp_path / "client", TUNNEL)(a_key(16))
    with pytest.raises(MisuseError, match="another folder"):
        ssh.client(tmp_path / "a;b", TUNNEL)
