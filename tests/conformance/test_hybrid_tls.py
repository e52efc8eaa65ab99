"""Post-quantum key exchange at the KMEs' doors: agreed where the peer can, demanded where the network file says so."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_pair import LINK, LiveKmes, LivePair, network_text
from OpenSSL import SSL

from qanat.core.ids import SiteId
from qanat.node.pki import Credentials, kme_credentials

HYBRID = "X25519MLKEM768"


@pytest.fixture(scope="module", params=["preferred", "required"])
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePair]:
    text = network_text(2, 1).replace("[policy]", f'[policy]\npq_tls = "{request.param}"')
    with LiveKmes(tmp_path_factory.mktemp("hybrid"), text=text) as kmes:
        kmes.feed(LINK, 1)
        yield LivePair(kmes)


def ports(gate: LivePair) -> dict[str, int]:
    site, known = SiteId("site0"), gate.kmes.ports
    return {"014": known.key_delivery[site], "SKIP": known.skip[site], "004": known.streams[site]}


def connected(port: int, files: Credentials) -> SSL.Connection:
    """A client that can do both, as a new OpenSSL does by itself."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_certificate_chain_file(str(files.certfile))
    context.use_privatekey_file(str(files.keyfile))
    context.load_verify_locations(str(files.cafile))
    context.set_verify(SSL.VERIFY_PEER, lambda *found: bool(found[-1]))
    line = SSL.Connection(context, socket.create_connection(("127.0.0.1", port), timeout=10))
    line.setblocking(True)
    line.set_connect_state()
    line.do_handshake()
    return line


@pytest.mark.parametrize("door", ["014", "SKIP", "004"])
def test_a_client_that_can_gets_the_hybrid_group(gate: LivePair, door: str) -> None:
    line = connected(ports(gate)[door], gate.kmes.credentials("m0"))
    assert line.get_group_name() == HYBRID
    line.close()


def test_key_managers_agree_their_keys_the_same_way(gate: LivePair) -> None:
    gate_files = kme_credentials(gate.kmes.state, SiteId("site1"))
    line = connected(gate.kmes.ports.peers[SiteId("site0")], gate_files)
    assert line.get_group_name() == HYBRID
    line.close()
    line = connected(ports(gate)["014"], gate.kmes.credentials("m0"))
    for _ in range(100):  # keys flow between the two: their own line stands
        line.sendall(b"GET /api/v1/keys/s0/status HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b"}" not in answer:
            answer += line.recv(65_536)
        if b'"stored_key_count":0' not in answer:
            break
    line.close()
    assert b"HTTP/1.1 200" in answer


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed (apt install openssl)")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_client_that_cannot_is_served_unless_it_is_required(gate: LivePair, version: str, tmp_path: Path) -> None:
    """The machine's own openssl is older than 3.5, or is told to offer classical groups alone."""
    files = gate.kmes.credentials("m0")
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{ports(gate)['014']}", "-cert", str(files.certfile),
         "-key", str(files.keyfile), "-CAfile", str(files.cafile), "-groups", "X25519:P-256", version, "-quiet"],
        input=b"GET /api/v1/keys/s0/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    is_required = gate.kmes.network.policy.pq_tls == "required"
    assert (b"HTTP/1.1 200" in done.stdout) is not is_required
    assert (b"alert insufficient security" in done.stderr) is is_required
