"""Two real charons (strongSwan) in two network namespaces: IKEv2 that insists on a PPK, whose PPK then changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from memory_kme import TwoKmes
from netns import inside, ip, two_hosts

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import SaeId
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.integrations import vici
from qanat.sae.integrations.strongswan import initiator, load_ppk, ppk_id, responder
from qanat.sae.integrations.vici import CharonRefused, ask, encoded, top_values

ALICE, BOB = SaeId("alice"), SaeId("bob")
CONF = """charon-systemd {{
  load = random nonce openssl pem pkcs1 x509 pubkey aes sha1 sha2 hmac kdf gmp curve25519 ctr cmac drbg \
kernel-libipsec kernel-netlink socket-default vici updown
  filelog {{
    log {{
      path = {folder}/log
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{folder}/vici
    }}
    kernel-libipsec {{
      load = yes
    }}
  }}
}}
"""


def connection(index: int) -> dict[str, Any]:
    """What swanctl.conf would say at this end."""
    here, there = index + 1, 2 - index
    return {
        "version": "2",
        "local_addrs": [f"10.91.0.{here}"],
        "remote_addrs": [f"10.91.0.{there}"],
        "unique": "replace",
        "ppk_required": "yes",
        "local": {"auth": "psk", "id": "ab"[index]},
        "remote": {"auth": "psk", "id": "ba"[index]},
        "children": {
            "net": {
                "local_ts": [f"10.92.{here}.1/32"],
                "remote_ts": [f"10.92.{there}.1/32"],
                "esp_proposals": ["aes128-sha256"],
            }
        },
    }


class Charons:
    def __init__(self, hosts: tuple[str, str], folder: Path, stack: ExitStack) -> None:
        self.hosts = hosts
        self.folders = [folder / "a", folder / "b"]
        self.sockets = [str(place / "vici") for place in self.folders]
        for index, host in enumerate(hosts):
            place = self.folders[index]
            place.mkdir()
            (place / "strongswan.conf").write_text(CONF.format(folder=place))
            ip("-n", host, "addr", "add", f"10.92.{index + 1}.1/32", "dev", "lo")
            # charon-systemd asks for no system bus; its variable names the file to read.
            process = subprocess.Popen(
                [*inside(host), "env", f"STRONGSWAN_CONF={place / 'strongswan.conf'}", "charon-systemd"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        for index in (0, 1):
            self.wait_for(index)
            ask(self.sockets[index], "load-shared", {"id": "ike", "type": "IKE", "data": "for the test"})
            ask(self.sockets[index], "load-conn", {"net": connection(index)})

    def wait_for(self, index: int) -> None:
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            try:
                ask(self.sockets[index], "version", {})
            except CharonRefused:
                time.sleep(0.1)
            else:
                return
        raise AssertionError("charon did not come up")

    def log(self, index: int) -> str:
        return (self.folders[index] / "log").read_text()

    def ping(self, count: int = 2) -> int:
        command = [*inside(self.hosts[0]), "ping", "-q", "-c", str(count), "-i", "0.2", "-W", "2"]
        said = subprocess.run(
            [*command, "-I", "10.92.1.1", "10.92.2.1"], check=False, capture_output=True, text=True, timeout=60
        ).stdout
        return int(said.partition(" received")[0].rpartition(" ")[2])

    def ike_sas(self, index: int) -> int:
        command = ["swanctl", "--list-sas", "--uri", f"unix://{self.sockets[index]}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.count("ESTABLISHED")


@pytest.fixture
def charons(tmp_path: Path) -> Iterator[Charons]:
    with two_hosts("qtest-ss") as hosts, ExitStack() as stack:
        yield Charons(hosts, tmp_path, stack)


@pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("charon-systemd", "swanctl", "ip", "ping"))),
    reason="needs root and charon-systemd, strongswan-swanctl, libcharon-extra-plugins, iproute2, iputils-ping",
)
def test_a_tunnel_comes_up_with_a_delivered_ppk_and_changes_to_the_next(two: TwoKmes, charons: Charons) -> None:
    with (
        KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice,
        KeyDeliveryClient(two.url("b"), **two.saes["bob"].kwargs()) as bob,
    ):
        begin = initiator(charons.sockets[0], "net", connection(0), "net")
        answer = responder(charons.sockets[1])
        for turn in range(3):
            key = alice.enc_keys(BOB, 1, 256)[0]
            answer(bob.key_of(ALICE, key.key_id))
            begin(key)
            for index in (0, 1):
                assert f"using PPK for PPK_ID '{ppk_id(key.key_id)}'" in charons.log(index), turn
            assert charons.ping() == 2
        assert charons.ike_sas(0) == charons.ike_sas(1) == 1

        lonely = alice.enc_keys(BOB, 1, 256)[0]  # the other end does not have it
        with pytest.raises(CharonRefused, match="initiate"):
            begin(lonely)
        assert f"using PPK for PPK_ID '{ppk_id(lonely.key_id)}'" not in charons.log(1)
        liar = alice.enc_keys(BOB, 2, 256)  # same ID, other bits
        load_ppk(charons.sockets[1], liar[0])
        with pytest.raises(CharonRefused, match="initiate"):
            begin(type(key)(**{**{n: getattr(liar[1], n) for n in liar[1].__slots__}, "key_id": liar[0].key_id}))


def test_no_charon_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(CharonRefused, match="No such file"):
        ask(str(tmp_path / "vici"), "version", {})


def test_messages_nest_and_answers_are_read_with_suspicion() -> None:
    data = encoded({"a": "1", "s": {"b": b"\x00\xff", "l": ["x", "y"]}, "success": "no"})
    assert top_values(data) == {"a": "1", "success": "no"}
    assert data.startswith(bytes([vici.KEY_VALUE, 1]) + b"a\x00\x011")
    for broken in (b"\x09", b"\x03", data[:-1], b"\x03\x01a\xff\xffx"):
        with pytest.raises(RemoteProtocolError):
            top_values(broken)
