"""Applications on another machine: the addresses and ports of the network file, by real processes.

There is one machine in a test, so the other addresses are further ones of its loopback network.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
from collections.abc import Iterator

import pytest
from live_network import TINY, Live, qanat, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="127.0.0.2 is no address of this machine (Linux)"),
]
NAME = "kme.moabit.example"


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    found = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return found


@pytest.fixture(scope="module")
def ports() -> list[int]:
    return free_ports(4)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, ports: list[int]) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("reach")
    text = TINY.read_text(encoding="utf-8")
    said = f'applications = {{host = "127.0.0.2", etsi014 = {ports[0]}, etsi004 = {ports[1]}, skip = {ports[2]}}}'
    text = text.replace('id = "mitte"\n', f'id = "mitte"\n{said}\n', 1)
    said = f'applications = {{host = "{NAME}", etsi014 = {ports[3]}}}'
    text = text.replace('id = "moabit"\n', f'id = "moabit"\n{said}\n', 1)
    file = folder / "network.toml"
    file.write_text(text, encoding="utf-8")
    live = Live(folder, network=file).start()
    try:
        yield live
    finally:
        live.stop()


def test_an_application_elsewhere_is_told_the_address_and_gets_keys_there(live: Live, ports: list[int]) -> None:
    folder = live.folder / "alice"
    done = live.run("sae", "enroll", "alice", "--out", str(folder))
    assert done.code == 0, done.err
    profile = folder / "application.toml"
    assert f'kmes = ["https://127.0.0.2:{ports[0]}"]' in profile.read_text()
    taken = until(
        lambda: (found := qanat("key", "get", "alice", "bob", "--profile", str(profile))).code == 0 and found,
        patience_s=60,
    )
    assert taken.out
    assert live.run("key", "get", "alice", "bob").code == 0, "this machine's own find it on loopback"


@pytest.mark.parametrize("interface", [0, 1, 2])
def test_each_door_listens_there_and_on_loopback_and_nowhere_else(live: Live, ports: list[int], interface: int) -> None:
    for host in ("127.0.0.2", "127.0.0.1"):
        assert shown(live, host, ports[interface], host)
    with pytest.raises(ConnectionRefusedError):
        shown(live, "127.0.0.3", ports[interface], "127.0.0.3")


def test_a_name_is_in_the_certificate_and_listens_at_every_address(live: Live, ports: list[int]) -> None:
    assert shown(live, "127.0.0.3", ports[3], NAME)
    with pytest.raises(ssl.SSLCertVerificationError):
        shown(live, "127.0.0.3", ports[3], "kme.other.example")


def test_the_rest_of_the_network_stays_on_loopback(live: Live, ports: list[int]) -> None:
    said = json.loads((live.state.path / "ports.json").read_text())
    inner = [said["dashboard"], said["classical"], *said["peers"].values(), said["key_delivery"]["wedding"]]
    assert not set(inner) & set(ports)
    for port in inner:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=5)


def shown(live: Live, host: str, port: int, name: str) -> str:
    """The common name of the KME that answers there, after its certificate was checked for that host."""
    context = ssl.create_default_context(cafile=live.state.ca / "cert.pem")
    context.load_cert_chain(live.state.path / "saes/alice/cert.pem", live.state.path / "saes/alice/key.pem")
    with (
        socket.create_connection((host, port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=name) as tls,
    ):
        found = tls.getpeercert()
        assert found is not None
        return str(dict(pair for part in found["subject"] for pair in part)["commonName"])  # type: ignore[misc]
