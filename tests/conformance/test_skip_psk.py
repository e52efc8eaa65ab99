"""SKIP by pre-shared key against two live KMEs; the client is OpenSSL's own, as a router's would be."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from live_pair import LINK, LiveKmes, LivePair, network_text
from psk_client import REQUEST, Said, ask, command

from qanat.core.ids import SaeId, SiteId
from qanat.node.access import ALLOWED
from qanat.node.entropy import SystemEntropy
from qanat.node.privatefile import private_folder
from qanat.node.skip_psk import FILE, Enrolled, add, remove

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed (apt install openssl)"
)
CISCO = ("-tls1_2", "-cipher", "PSK-AES256-GCM-SHA384")
DHE = ("-tls1_2", "-cipher", "DHE-PSK-AES256-GCM-SHA384")
TLS13 = ("-tls1_3",)
SECOND_S = 1.0


@dataclass
class Routers:
    """Two live KMEs, and routers with pre-shared keys."""

    live: LivePair
    made: dict[str, Enrolled] = field(default_factory=dict)
    count: int = 0

    def port(self, sae: str) -> int:
        return self.live.kmes.ports.skip_psk[self.live.site(sae)]

    def add(self, sae: str, identity: str | None = None) -> Enrolled:
        """A new identity, known to the KME when this returns."""
        self.count += 1
        name = identity or f"router-{self.count}"
        made = add(self.live.kmes.state, self.live.site(sae), SaeId(sae), name, entropy=SystemEntropy())
        self.made[name] = made
        end_s = time.monotonic() + SECOND_S
        while ask(self.port(sae), name, made.secret.hex(), "/capabilities").status != 200:
            assert time.monotonic() < end_s + 0.5, "not known within a second"
        return made

    def call(self, made: Enrolled, path: str, *options: str) -> Said:
        return ask(self.port(made.sae), made.identity, made.secret.hex(), path, *options)


@pytest.fixture(scope="module")
def routers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Routers]:
    text = network_text(2, 2).replace("[policy]", '[policy]\nskip_psk = "plain"')
    with LiveKmes(tmp_path_factory.mktemp("psk"), text=text) as kmes:
        kmes.feed(LINK, 4)
        live = LivePair(kmes)
        live.wait_for_keys()
        yield Routers(live)


@pytest.fixture(scope="module")
def m0(routers: Routers) -> Enrolled:
    return routers.add("m0")


@pytest.fixture(scope="module")
def s0(routers: Routers) -> Enrolled:
    return routers.add("s0")


@pytest.mark.parametrize("options", [CISCO, DHE, TLS13], ids=["PSK", "DHE-PSK", "TLS 1.3"])
def test_both_routers_get_the_same_key_once(
    routers: Routers, m0: Enrolled, s0: Enrolled, options: tuple[str, ...]
) -> None:
    local = routers.call(m0, "/capabilities", *options).json["localSystemID"]
    remote = routers.call(s0, "/capabilities", *options).json["localSystemID"]
    sent = routers.call(m0, f"/key?remoteSystemID={remote}&size=256", *options)
    assert sent.status == 200, sent.output
    key = sent.json
    assert (len(key["keyId"]), len(key["key"])) == (32, 64)
    path = f"/key/{key['keyId']}?remoteSystemID={local}"
    assert routers.call(s0, path, *options).json == key
    assert routers.call(s0, path, *options).status == 400
    assert len(routers.call(m0, "/entropy?minentropy=256", *options).json["randomStr"]) == 64


@pytest.mark.parametrize(
    ("options", "cipher"),
    [
        (CISCO, "PSK-AES256-GCM-SHA384"),
        (DHE, "DHE-PSK-AES256-GCM-SHA384"),
        (("-tls1_2", "-cipher", "PSK-AES256-GCM-SHA384:DHE-PSK-AES256-GCM-SHA384"), "DHE-PSK-AES256-GCM-SHA384"),
        (("-tls1_2", "-cipher", "PSK"), "ECDHE-PSK-CHACHA20-POLY1305"),
        (TLS13, "TLS_CHACHA20_POLY1305_SHA256"),
        (("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"), "TLS_AES_128_GCM_SHA256"),
        ((), "TLS_CHACHA20_POLY1305_SHA256"),
    ],
)
def test_forward_secrecy_is_taken_where_the_router_offers_it(
    routers: Routers, m0: Enrolled, options: tuple[str, ...], cipher: str
) -> None:
    said = routers.call(m0, "/capabilities", *options)
    assert (said.status, said.cipher) == (200, cipher)


@pytest.mark.parametrize(
    "cipher", ["PSK-AES256-CBC-SHA", "PSK-AES128-GCM-SHA256", "PSK-NULL-SHA256", "ECDHE-PSK-AES256-CBC-SHA384", "aNULL"]
)
def test_weaker_suites_are_refused(routers: Routers, m0: Enrolled, cipher: str) -> None:
    said = routers.call(m0, "/capabilities", "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
    assert (said.status, said.alert) == (0, "40"), said.output


@pytest.mark.parametrize("options", [CISCO, DHE, TLS13], ids=["PSK", "DHE-PSK", "TLS 1.3"])
def test_a_wrong_key_an_unknown_and_a_removed_identity_look_alike(
    routers: Routers, m0: Enrolled, options: tuple[str, ...]
) -> None:
    gone = routers.add("m1")
    assert remove(routers.live.kmes.state, identity=gone.identity) == [gone.identity]
    time.sleep(SECOND_S)
    port, secret = routers.port("m0"), m0.secret.hex()
    tried = {
        "wrong key": ask(port, m0.identity, bytes(32).hex(), "/capabilities", *options),
        "short key": ask(port, m0.identity, secret[:32], "/capabilities", *options),
        "unknown": ask(port, "router-0", secret, "/capabilities", *options),
        "long": ask(port, "x" * 128, secret, "/capabilities", *options),
        "one letter off": ask(port, m0.identity + "x", secret, "/capabilities", *options),
        "removed": routers.call(gone, "/capabilities", *options),
        "of another site": ask(routers.port("s0"), m0.identity, secret, "/capabilities", *options),
    }
    assert {name: said.status for name, said in tried.items()} == dict.fromkeys(tried, 0)
    assert len({said.alert for said in tried.values()}) == 1, {name: said.alert for name, said in tried.items()}
    assert tried["unknown"].alert in {"20", "51"}  # bad_record_mac in TLS 1.2, decrypt_error in 1.3: as for a wrong key


@pytest.mark.parametrize("identity", ["x" * 129, "x" * 255, "två", "a b", "\x01\x02\x03"])
@pytest.mark.parametrize("options", [CISCO, TLS13], ids=["1.2", "1.3"])
def test_an_identity_that_cannot_be_ours_gets_no_answer(
    routers: Routers, m0: Enrolled, identity: str, options: tuple[str, ...]
) -> None:
    assert ask(routers.port("m0"), identity, m0.secret.hex(), "/capabilities", *options).status == 0
    assert routers.call(m0, "/capabilities", *options).status == 200


class Open:
    """A connection that a router keeps."""

    def __init__(self, routers: Routers, made: Enrolled, *options: str) -> None:
        self.popen = subprocess.Popen(
            command(routers.port(made.sae), made.identity, made.secret.hex(), "-quiet", *options),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Open:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            assert stream is not None
            stream.close()

    def ask(self) -> bytes:
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.popen.stdin.write(REQUEST.format(path="/capabilities").replace("Connection: close\r\n", "").encode())
        self.popen.stdin.flush()
        data = b""
        while not data.endswith(b"}"):
            assert select.select([self.popen.stdout], [], [], 5)[0]
            found = os.read(self.popen.stdout.fileno(), 65_536)
            if not found:
                break
            data += found
        return data


@pytest.mark.parametrize("options", [CISCO, TLS13], ids=["1.2", "1.3"])
def test_removing_an_identity_cuts_its_open_connections_and_no_others(
    routers: Routers, m0: Enrolled, options: tuple[str, ...]
) -> None:
    leaving = routers.add("m0")
    with Open(routers, leaving, *options) as one, Open(routers, m0, *options) as other:
        assert one.ask().startswith(b"HTTP/1.1 200")
        assert other.ask().startswith(b"HTTP/1.1 200")
        remove(routers.live.kmes.state, identity=leaving.identity)
        assert one.popen.wait(SECOND_S + 0.5) is not None
        assert other.popen.poll() is None
        assert other.ask().startswith(b"HTTP/1.1 200")


def test_an_identity_that_comes_back_has_another_key_and_old_connections_stay_cut(routers: Routers) -> None:
    before = routers.add("m1", "turncoat")
    with Open(routers, before) as old:
        assert old.ask().startswith(b"HTTP/1.1 200")
        remove(routers.live.kmes.state, identity="turncoat")
        after = routers.add("m1", "turncoat")  # both changes may fall between two looks of the KME
        assert after.secret != before.secret
        assert old.popen.wait(SECOND_S + 0.5) is not None
    assert routers.call(before, "/capabilities").status == 0
    assert routers.call(after, "/capabilities").status == 200


def test_the_certificate_door_knows_no_pre_shared_keys_and_serves_beside(routers: Routers, m0: Enrolled) -> None:
    kmes = routers.live.kmes
    for options in (CISCO, TLS13):
        said = ask(kmes.ports.skip[SiteId("site0")], m0.identity, m0.secret.hex(), "/capabilities", *options)
        assert said.status == 0
    by_key = routers.call(m0, "/capabilities").json
    assert routers.live.skip("m0", "/capabilities")[::2] == (200, by_key)


def test_a_certificate_opens_no_door_of_pre_shared_keys(routers: Routers) -> None:
    files = routers.live.kmes.credentials("m0")
    shown = ("-cert", str(files.certfile), "-key", str(files.keyfile), "-CAfile", str(files.cafile))
    for options in (("-tls1_2",), TLS13):
        assert ask(routers.port("m0"), None, None, "/capabilities", *shown, *options).status == 0


def test_a_ticket_lets_nobody_in_without_the_key(routers: Routers, m0: Enrolled, tmp_path: Path) -> None:
    for options in (CISCO, TLS13):
        ticket = str(tmp_path / f"{len(options)}.pem")
        assert routers.call(m0, "/capabilities", "-sess_out", ticket, *options).status == 200
        if not Path(ticket).exists():
            continue  # TLS 1.2 gives none
        port = routers.port("m0")
        assert ask(port, None, None, "/capabilities", "-sess_in", ticket, "-tls1_3").status == 0
        with_key = routers.call(m0, "/capabilities", "-sess_in", ticket, *options)
        assert with_key.status == 200, "a router that shows its ticket first is still known by its key"


def test_the_allow_list_holds_for_pre_shared_keys_too(routers: Routers, m0: Enrolled) -> None:
    state = routers.live.kmes.state
    private_folder(state.access)
    (state.access / ALLOWED).write_text("s0\n")
    try:
        time.sleep(SECOND_S)
        assert routers.call(m0, "/capabilities").status in {0, 401}  # cut, or told so where its request was faster
    finally:
        (state.access / ALLOWED).unlink()
        time.sleep(SECOND_S)
    assert routers.call(m0, "/capabilities").status == 200


def test_no_secret_is_in_any_log_report_or_audit(routers: Routers, m0: Enrolled) -> None:
    ask(routers.port("m0"), m0.identity, bytes(32).hex(), "/capabilities")
    state, looked_at = routers.live.kmes.state.path, 0
    for path in state.rglob("*"):
        if not path.is_file() or path.name == FILE:
            continue
        data, looked_at = path.read_bytes(), looked_at + 1
        for made in routers.made.values():
            assert made.secret not in data, path
            assert made.secret.hex().encode() not in data.lower(), path
    assert looked_at > 10
    assert (state / "nodes" / "site0" / FILE).stat().st_mode & 0o777 == 0o600
    assert m0.secret.hex() not in repr(m0)


def test_a_router_gets_only_keys_that_its_application_may_have(routers: Routers, m0: Enrolled) -> None:
    stranger = routers.live.skip("s1", "/capabilities")[2]["localSystemID"]
    said = routers.call(m0, f"/key?remoteSystemID={stranger}")
    assert (said.status, "capabilities" in said.output) == (400, True)
