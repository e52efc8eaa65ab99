"""Hostile certificates at every door of live KMEs: over real TLS, and each beside a good one made the same way."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hostile import hostile
from live_pair import LINK, LiveKmes, LivePair, context_of, network_text
from test_access import Open, doors, shaken, within_a_second
from test_etsi004 import stream_of

from qanat.core.ids import SaeId, SiteId
from qanat.crypto.pki import make_ca
from qanat.crypto.signing_keys import KEY_KINDS, KeyKind
from qanat.node.enrolment import revoke
from qanat.node.pki import Credentials
from qanat.sae.errors import AnswerLost
from qanat.sae.streams import KeyStream, StreamEnded

HERE = SiteId("site0")
DOORS = ("014", "SKIP", "004", "peers")


@pytest.fixture(scope="module", params=KEY_KINDS)
def gate(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePair]:
    text = network_text(2, 3).replace("[policy]", f'[policy]\npki = "{request.param}"')
    with LiveKmes(tmp_path_factory.mktemp("hostile"), text=text) as kmes:
        kmes.feed(LINK, 2)
        pair = LivePair(kmes)
        pair.wait_for_keys()
        yield pair
        assert all(popen.poll() is None for popen in kmes.popens.values()), "a KME ended"


def kind_of(gate: LivePair) -> KeyKind:
    return "ml-dsa-65" if gate.kmes.network.policy.pki == "ml-dsa-65" else "ecdsa-p256"


def port_of(gate: LivePair, door: str) -> int:
    return gate.kmes.ports.peers[HERE] if door == "peers" else doors(gate)[door]


def ca_of(gate: LivePair, door: str) -> Path:
    return gate.kmes.state.ca if door == "peers" else gate.kmes.state.sae_ca


def urn_of(door: str) -> str:
    return "urn:qanat:kme:site1" if door == "peers" else "urn:qanat:sae:m0"


def held(gate: LivePair, folder: Path, **options: Any) -> Credentials:
    made = hostile(folder, **{"kind": kind_of(gate)} | options)
    return Credentials(*made, gate.kmes.state.ca / "cert.pem")


def leaf_of(gate: LivePair, door: str) -> Path:
    """A good leaf of the CA that this door trusts, which tries to be a CA itself."""
    return gate.kmes.state.node(SiteId("site1")) if door == "peers" else gate.kmes.state.sae(SaeId("m0"))


def twin_of(ca: Path, folder: Path, kind: KeyKind) -> Path:
    """A CA of the same name with a key of its own."""
    name = x509.load_pem_x509_certificate((ca / "cert.pem").read_bytes()).subject.rfc4514_string().removeprefix("CN=")
    folder.mkdir()
    for file, data in zip(
        ("cert.pem", "key.pem"), make_ca(common_name=name, now=datetime.now(UTC), days=30, kind=kind), strict=True
    ):
        (folder / file).write_bytes(data)
    return folder


@pytest.mark.parametrize("door", DOORS)
def test_no_certificate_with_the_right_name_alone_passes_the_handshake(
    gate: LivePair, door: str, tmp_path: Path
) -> None:
    port, ca, urns, leaf = port_of(gate, door), ca_of(gate, door), [urn_of(door)], leaf_of(gate, door)
    twins = {kind: twin_of(ca, tmp_path / kind, kind) for kind in KEY_KINDS}
    assert shaken(port, held(gate, tmp_path / "good", urns=urns, signer=ca))
    bad: dict[str, dict[str, Any]] = {
        "expired": {"signer": ca, "age_days": 2, "left_days": -0.01},
        "not yet good": {"signer": ca, "age_days": -0.5},
        "signed by itself": {"signer": None},
        "issued by a leaf": {"signer": leaf, "chain": [leaf / "cert.pem"]},
        **{
            f"issued by a {kind} CA of the same name": {"signer": twin, "chain": [twin / "cert.pem"], "kind": kind}
            for kind, twin in twins.items()
        },
        "made for servers": {"signer": ca, "purpose": "server"},
    }
    passed = [why for why, how in bad.items() if shaken(port, held(gate, tmp_path / why, urns=urns, **how))]
    assert passed == []


@pytest.mark.parametrize(
    "urns",
    [
        ["urn:qanat:kme:site0"],
        ["urn:qanat:admin:admin"],
        ["urn:qanat:controller:controller"],
        ["urn:qanat:sae:m0", "urn:qanat:sae:s0"],
        ["urn:qanat:sae:stranger"],
        ["urn:other:sae:m0"],
        [],
    ],
)
def test_the_right_ca_and_another_role_or_no_name_get_no_key(gate: LivePair, urns: list[str], tmp_path: Path) -> None:
    files = held(gate, tmp_path, urns=urns, signer=gate.kmes.state.sae_ca)
    for door, path in (("014", "/api/v1/keys/s0/enc_keys"), ("SKIP", "/key?remoteSystemID=s0"), ("SKIP", "/entropy")):
        status, _headers, found = gate.call(doors(gate)[door], files, "GET", path)
        assert (status, list(found)) == (401, ["message"]), door
    with pytest.raises((StreamEnded, AnswerLost)):
        stream_with(gate, files, "m0", "s0").chunk()
    assert Open(gate, gate.kmes.credentials("m0"), "s0").code() == 200


def stream_with(gate: LivePair, files: Credentials, me: str, peer: str) -> KeyStream:
    return KeyStream(
        me=SaeId(me),
        peer=SaeId(peer),
        host="127.0.0.1",
        port=doors(gate)["004"],
        certfile=files.certfile,
        keyfile=files.keyfile,
        cafile=files.cafile,
        bps_max=1_000_000,
    )


@pytest.mark.parametrize(
    ("urns", "is_ended"),
    [
        (["urn:qanat:sae:m0"], True),
        (["urn:qanat:admin:admin"], True),
        ([], True),
        (["urn:qanat:kme:nowhere"], False),  # a KME it is; the engine knows no such site and counts it
        (["urn:qanat:kme:site0"], False),
    ],
)
def test_a_certificate_of_the_kmes_ca_that_names_no_peer_is_not_heard(
    gate: LivePair, urns: list[str], is_ended: bool, tmp_path: Path
) -> None:
    files = held(gate, tmp_path, urns=urns, signer=gate.kmes.state.ca)
    line = Frames(gate, files)
    line.send(b"let me in")
    assert line.is_ended() is is_ended
    assert Open(gate, gate.kmes.credentials("m0"), "s0").code() == 200
    assert gate.kmes.popens[HERE].poll() is None


class Frames:
    """A line to the port where KMEs talk."""

    def __init__(self, gate: LivePair, files: Credentials) -> None:
        plain = socket.create_connection(("127.0.0.1", port_of(gate, "peers")), timeout=5)
        self._line = context_of(files).wrap_socket(plain, server_hostname="127.0.0.1")

    def send(self, frame: bytes) -> None:
        self._line.sendall(len(frame).to_bytes(4) + frame)

    def is_ended(self) -> bool:
        self._line.settimeout(1.0)
        try:
            return self._line.recv(1) == b""
        except TimeoutError:
            return False


def test_a_call_that_waits_while_its_certificate_is_revoked_gets_no_key(gate: LivePair) -> None:
    state, got = gate.kmes.state, []
    seen = Open(gate, gate.kmes.credentials("m1"), "s1")
    assert seen.code() == 200
    waiting = stream_of(gate, "m1", "s1", timeout_ms=5000)

    def wait() -> None:
        try:
            got.append(waiting.chunk())
        except (StreamEnded, AnswerLost) as error:
            got.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    assert got == []  # the other end is not there yet: the call waits
    revoke(state, SaeId("m1"))
    assert within_a_second(seen, 401)
    with stream_of(gate, "s1", "m1", stream=waiting.stream):
        thread.join(10)
    assert len(got) == 1
    assert isinstance(got[0], (StreamEnded, AnswerLost)), "a revoked application got a key"
