"""A router gets its pre-shared key by the command line, fetches keys of the running network by it, and loses it."""

from __future__ import annotations

import shutil
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_network import TINY, Live, until

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from psk_client import Said, ask

CISCO = ("-tls1_2", "-cipher", "PSK-AES256-GCM-SHA384")

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed (apt install openssl)"
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The tiny network with doors for pre-shared keys."""
    folder = tmp_path_factory.mktemp("live-psk")
    file = folder / "tiny.toml"
    file.write_text(TINY.read_text().replace("[policy]", '[policy]\nskip_psk = "plain"'))
    network = Live(folder, (), file)
    try:
        network.start()
        until(lambda: all(pair["state"] == "served" for pair in network.snapshot()["pairs"]), patience_s=60)
        yield network
    finally:
        network.stop()


def fetched(live: Live, site: str, identity: str, key: str, path: str, *options: str) -> Said:
    return ask(live.state.read_ports()["skip_psk"][site], identity, key, path, *options)


def test_two_routers_get_one_key_by_keys_from_the_command_line(live: Live, tmp_path: Path) -> None:
    printed = live.run("skip", "psk", "add", "alice", "--identity", "edge-mitte", "--json")
    assert printed.code == 0, printed.err
    assert (printed.json["site"], printed.json["port"]) == ("mitte", live.state.read_ports()["skip_psk"]["mitte"])
    secret = printed.json["key"]
    assert len(secret) == 64
    file = tmp_path / "bob.psk"
    written = live.run("skip", "psk", "add", "bob", "--out", str(file))
    assert (written.code, file.stat().st_mode & 0o777) == (0, 0o600)
    other = file.read_text().strip()
    assert other not in written.out
    shown = live.run("skip", "psk", "list")
    assert "edge-mitte" in shown.out
    assert "bob" in shown.out
    assert secret not in shown.out
    assert other not in shown.out

    until(lambda: fetched(live, "mitte", "edge-mitte", secret, "/capabilities").status == 200, patience_s=2)
    until(lambda: fetched(live, "moabit", "bob", other, "/capabilities").status == 200, patience_s=2)
    local = fetched(live, "mitte", "edge-mitte", secret, "/capabilities", *CISCO).json
    remote = fetched(live, "moabit", "bob", other, "/capabilities").json["localSystemID"]
    assert remote in local["remoteSystemID"]
    sent = fetched(live, "mitte", "edge-mitte", secret, f"/key?remoteSystemID={remote}&size=256", *CISCO).json
    path = f"/key/{sent['keyId']}?remoteSystemID={local['localSystemID']}"
    assert fetched(live, "moabit", "bob", other, path, "-tls1_3").json == sent


def test_wrong_words_are_told_and_make_nothing(live: Live, tmp_path: Path) -> None:
    before = live.run("skip", "psk", "list", "--json").json
    (tmp_path / "there").write_text("mine")
    for words, says in {
        ("add", "alise"): "did you mean 'alice'?",
        ("add", "alice", "--identity", "two words"): "printable ASCII",
        ("add", "alice", "--out", str(tmp_path / "there")): "is there already",
        ("add", "alice", "--out", str(tmp_path / "no" / "folder")): "No such file",
        ("remove", "nobody"): "qanat skip psk list",
    }.items():
        done = live.run("skip", "psk", *words)
        assert done.code in {2, 3}, done
        assert says in done.err
    assert live.run("skip", "psk", "list", "--json").json == before
    assert (tmp_path / "there").read_text() == "mine"


def test_removing_a_key_and_revoking_an_application_both_end_it(live: Live) -> None:
    keys = {name: live.run("skip", "psk", "add", "carol", "--identity", name, "--json").json["key"] for name in "xy"}
    until(lambda: fetched(live, "wedding", "x", keys["x"], "/capabilities").status == 200, patience_s=2)
    until(lambda: fetched(live, "wedding", "y", keys["y"], "/capabilities").status == 200, patience_s=2)
    assert live.run("skip", "psk", "remove", "x").code == 0
    time.sleep(1)
    assert fetched(live, "wedding", "x", keys["x"], "/capabilities").status == 0
    assert fetched(live, "wedding", "y", keys["y"], "/capabilities").status == 200
    revoked = live.run("sae", "revoke", "carol", "--json")
    assert (revoked.code, revoked.json["psks_removed"]) == (0, ["y"])
    time.sleep(1)
    assert fetched(live, "wedding", "y", keys["y"], "/capabilities").status == 0
    assert live.run("sae", "revoke", "carol").code == 2, "nothing is left to revoke"


def test_sockets_that_were_turned_away_are_in_the_metrics(live: Live) -> None:
    fetched(live, "mitte", "nobody", "00" * 32, "/capabilities")

    def failed() -> bool:
        with urllib.request.urlopen(live.told["page"].rstrip("/") + "/metrics", timeout=5) as answer:
            lines = str(answer.read().decode()).splitlines()
        labels = 'qanat_kme_handshakes_turned_away_total{door="skip-psk",reason="failed",site="mitte"} '
        return any(line.startswith(labels) and float(line.split()[-1]) >= 1 for line in lines)

    until(failed, patience_s=10)
