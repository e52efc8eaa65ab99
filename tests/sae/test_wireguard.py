"""A real WireGuard tunnel (wireguard-go and wg, in two network namespaces) whose preshared key changes under ping."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from memory_kme import TwoKmes
from netns import inside, ip, two_hosts

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.errors import KeysNotFound
from qanat.sae.integrations.agree import Follower, PeerDidNotFollow, lead
from qanat.sae.integrations.wireguard import installer

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("wg", "wireguard-go", "ip", "ping"))),
    reason="needs root and wireguard-tools, wireguard-go, iproute2, iputils-ping",
)
ALICE, BOB = SaeId("alice"), SaeId("bob")


def output(*command: str, text: str | None = None) -> str:
    return subprocess.run(command, input=text, check=True, capture_output=True, text=True, timeout=20).stdout.strip()


class Tunnel:
    def __init__(self, hosts: tuple[str, str], folder: Path, stack: ExitStack) -> None:
        self.hosts, self.names = hosts, ("qtest-wga", "qtest-wgb")
        secrets = [output("wg", "genkey") for _ in hosts]
        self.public = [output("wg", "pubkey", text=secret) for secret in secrets]
        for index, host in enumerate(hosts):
            process = subprocess.Popen(
                [*inside(host), "wireguard-go", "-f", self.names[index]],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 5)
            stack.callback(process.terminate)
            self.wait_for(index)
            (folder / f"secret{index}").write_text(secrets[index])
            other = 1 - index
            self.wg(
                index, "set", self.names[index], "private-key", str(folder / f"secret{index}"), "listen-port", "51820"
            )
            self.wg(
                index,
                *("set", self.names[index], "peer", self.public[other], "endpoint", f"10.91.0.{other + 1}:51820"),
                *("allowed-ips", "10.93.0.0/24"),
            )
            ip("-n", host, "addr", "add", f"10.93.0.{index + 1}/24", "dev", self.names[index])
            ip("-n", host, "link", "set", self.names[index], "up")

    def wait_for(self, index: int) -> None:
        end_s = time.monotonic() + 5
        while time.monotonic() < end_s:
            if not subprocess.run(["wg", "show", self.names[index]], check=False, capture_output=True).returncode:
                return
            time.sleep(0.05)
        raise AssertionError("wireguard-go did not come up")

    def wg(self, index: int, *arguments: str) -> str:
        return output(*inside(self.hosts[index]), "wg", *arguments)

    def psk(self, index: int) -> str:
        return self.wg(index, "show", self.names[index], "preshared-keys").split()[1]

    def new_session(self) -> None:
        """Forget the running session at both ends, as time would after three minutes; the keys stay as they are."""
        for index in (0, 1):
            psk, peer = self.psk(index), self.public[1 - index]
            begin = (*inside(self.hosts[index]), "wg", "set", self.names[index], "peer", peer)
            output(*begin, "remove")
            rest = ("endpoint", f"10.91.0.{2 - index}:51820", "allowed-ips", "10.93.0.0/24")
            output(*begin, "preshared-key", "/dev/stdin", *rest, text=psk)

    def ping(self, count: int = 2) -> int:
        """How many came back."""
        command = [*inside(self.hosts[0]), "ping", "-q", "-c", str(count), "-i", "0.05", "-W", "2", "10.93.0.2"]
        said = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60).stdout
        return int(said.partition(" received")[0].rpartition(" ")[2])


@pytest.fixture
def tunnel(tmp_path: Path) -> Iterator[Tunnel]:
    with two_hosts("qtest-wg") as hosts, ExitStack() as stack:
        yield Tunnel(hosts, tmp_path, stack)


def test_the_preshared_key_changes_under_ping_without_loss(two: TwoKmes, tunnel: Tunnel) -> None:
    with (
        KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice,
        KeyDeliveryClient(two.url("b"), **two.saes["bob"].kwargs()) as bob,
    ):
        installs = [
            installer(tunnel.names[i], tunnel.public[1 - i], command=(*inside(tunnel.hosts[i]), "wg")) for i in (0, 1)
        ]
        follower = Follower(bob, ALICE, ("127.0.0.1", 0), installs[1], timeout_s=5)
        assert tunnel.ping() == 2
        received: list[int] = []
        pinging = threading.Thread(target=lambda: received.append(tunnel.ping(60)))
        pinging.start()
        seen = set()
        for _ in range(3):
            following = threading.Thread(target=follower.follow)
            following.start()
            lead(alice, BOB, ("127.0.0.1", follower.port), installs[0], timeout_s=5)
            following.join()
            assert tunnel.psk(0) == tunnel.psk(1) != "(none)"
            seen.add(tunnel.psk(0))
            time.sleep(0.5)
        pinging.join()
        assert received == [60]
        assert len(seen) == 3
        tunnel.new_session()
        assert tunnel.ping(3) == 3  # a handshake with the new key
        installs[0](alice.enc_keys(BOB, 1, 256)[0])  # one end alone
        tunnel.new_session()
        assert tunnel.ping(3) == 0  # the key counts: without the same one there is no tunnel
        follower.close()
    assert not list(Path("/dev/shm").glob("qanat-psk-*"))


def test_a_leader_whose_follower_cannot_have_the_key_keeps_its_own(two: TwoKmes) -> None:
    installed: list[str] = []
    with (
        KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice,
        KeyDeliveryClient(two.url("b"), **two.saes["bob"].kwargs()) as bob,
    ):
        follower = Follower(bob, ALICE, ("127.0.0.1", 0), lambda _: installed.append("follower"), timeout_s=5)
        errors: list[Exception] = []

        def follow() -> None:
            try:
                follower.follow()
            except KeysNotFound as error:
                errors.append(error)

        waiting = threading.Thread(target=follow)
        waiting.start()
        enc = alice.enc_keys

        def stolen(*arguments: object) -> object:
            keys = enc(*arguments)  # type: ignore[arg-type]
            two.pool.granted.clear()
            return keys

        alice.enc_keys = stolen  # type: ignore[method-assign, assignment]
        with pytest.raises(PeerDidNotFollow):
            lead(alice, BOB, ("127.0.0.1", follower.port), lambda _: installed.append("leader"), timeout_s=5)
        waiting.join()
        follower.close()
    assert installed == []
    assert len(errors) == 1


def test_an_interface_that_is_not_there_is_told_and_leaves_no_key_behind(two: TwoKmes) -> None:
    with KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice:
        key = alice.enc_keys(BOB, 1, 256)[0]
        with pytest.raises(EnvironmentProblem, match="wg refused"):
            installer("no-such-wg", "A" * 43 + "=")(key)
        assert key.bits.reveal() == bytes(32)
    assert not list(Path("/dev/shm").glob("qanat-psk-*"))
