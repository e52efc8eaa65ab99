"""One live network, as its users meet it: keys, pages, strangers, a killed KME, a full disk, Eve."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from live_load import ALICE, BOB, Load, pair_of
from live_network import TINY, Done, Live, qanat_here, until

from qanat.cli.check import load_network
from qanat.core.errors import QanatError
from qanat.core.ids import KeyId, SaeId
from qanat.crypto.tls_bytes import HAS_HYBRID_GROUPS
from qanat.node.demo.applications import Pair, Record
from qanat.node.pki import provision, sae_credentials
from qanat.node.statedir import StateDir
from qanat.sae.errors import KeysNotFound

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc (Linux)"),
]


def test_two_applications_get_the_same_key_by_the_command_line(live: Live) -> None:
    got = live.run("key", "get", "alice", "bob", "--number", "2", "--size", "512", "--json")
    assert (got.code, len(got.json)) == (0, 2)
    ids = [key["key_ID"] for key in got.json]
    taken = live.run("key", "take", "bob", "alice", *ids, "--json")
    assert taken.code == 0
    assert taken.json == got.json  # IDs, sizes, digests and provenance
    assert "direct QKD link mitte-moabit" in taken.json[0]["provenance"]
    assert "SIMULATED" in taken.json[0]["provenance"]
    assert "key" not in taken.json[0]  # not without --reveal
    again = live.run("key", "take", "bob", "alice", *ids)
    assert again.code == 1
    assert "each SAE gets a key once" in " ".join(again.err.lower().replace("sae", "SAE").split())


def test_the_key_exchange_of_every_connection_can_be_looked_up(live: Live) -> None:
    live.run("key", "get", "alice", "bob")

    def shown() -> dict[str, Any]:
        return dict(live.run("kme", "status", "--json").json)

    until(lambda: any(row[0] == "etsi014" for row in shown()["mitte"]["done"]))
    mitte = shown()["mitte"]
    is_told = not HAS_HYBRID_GROUPS or hasattr(ssl.SSLObject, "group")
    group = "X25519MLKEM768" if is_told else "unknown"
    assert mitte["peers"]["moabit"] == {"group": group, "certificate": "ecdsa-p256", "version": "TLSv1.3"}
    assert all(row[2] == "ecdsa-p256" for row in mitte["done"])
    table = live.run("kme", "status", "mitte").out
    assert "Lines to other KMEs" in table
    assert group in table
    wrong = live.run("kme", "status", "nowhere")
    assert (wrong.code, "no KME of site nowhere" in wrong.err) == (2, True)
    page = urllib.request.urlopen(f"http://127.0.0.1:{live.state.read_ports()['dashboard']}/metrics").read().decode()
    assert f'qanat_kme_handshakes_total{{certificate="ecdsa-p256",door="peers",group="{group}"' in page


def test_every_question_has_an_answer_in_json(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    def ask(*words: str) -> Done:
        return qanat_here(capsys, *words, "--state", str(live.state.path))

    status = ask("status", "--json").json
    assert status["network"] == {"name": "tiny", "is_simulation": True}
    assert {pair["state"] for pair in status["pairs"]} == {"served"}
    links = {link["id"]: link for link in ask("link", "list", "--json").json}
    assert sorted(links) == ["mitte-moabit", "mitte-wedding", "moabit-wedding"]
    shown = ask("link", "show", "mitte-moabit", "--json").json
    block = next(block for block in shown["blocks"] if block["aborted"] is None)
    assert 0 < block["secret_bits"] < block["sifted_bits"]
    assert ask("alarms", "--json").json == []
    for words in (("status",), ("link", "list"), ("link", "show", "mitte-moabit"), ("alarms",)):
        done = ask(*words)
        assert done.code == 0, (words, done)
        assert done.out.strip()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("link", "show", "mitte-moabi"), 2, "did you mean 'mitte-moabit'?"),
        (("attack", "start", "mitte-moabit", "intercept"), 2, "intercept-resend"),
        (("attack", "start", "mitte-moabit", "tap", "--fraction", "0.5"), 2, "does not take fraction"),
        (("attack", "stop", "moabit"), 2, "no link is called"),
        (("fault", "cut", "duct-mitte-moabitt"), 2, "did you mean 'duct-mitte-moabit'?"),
        (("key", "get", "alise", "bob"), 2, "did you mean 'alice'?"),
        (("key", "get", "alice", "bbo"), 1, "not known"),
        (("key", "get", "bob", "carol"), 1, ""),
        (("key", "get", "alice", "bob", "--size", "7"), 1, "multiple of 8"),
        (("key", "get", "alice", "bob", "--number", "1000000"), 1, ""),
        (("key", "take", "bob", "alice", "550e8400-e29b-41d4-a716-446655440000"), 1, "not found"),
    ],
)
def test_a_wrong_word_gets_one_sentence_and_its_exit_code(
    live: Live, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, says: str
) -> None:
    done = qanat_here(capsys, *words, "--json", "--state", str(live.state.path))
    assert done.code == code, done
    assert says in done.err
    assert done.err.startswith("qanat: ")
    assert done.out == ""


def test_page_and_metrics_answer(live: Live) -> None:
    def get(path: str) -> str:
        with urllib.request.urlopen(live.told["page"].rstrip("/") + path, timeout=5) as answer:
            assert answer.status == 200
            return str(answer.read().decode())

    assert "<html" in get("/").lower()
    metrics = get("/metrics")
    assert 'link="mitte-moabit"' in metrics
    assert not [line for line in metrics.splitlines() if line and not line.startswith("#") and " " not in line]


def files_of(live: Live, sae: str) -> list[str]:
    files = sae_credentials(live.state, SaeId(sae))
    return [str(files.certfile), str(files.keyfile), str(files.cafile)]


def url_of(live: Live, site: str, path: str) -> str:
    return f"https://localhost:{live.state.read_ports()['key_delivery'][site]}/api/v1/keys/{path}"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt install curl)")
def test_curl_carries_a_key_between_two_live_kmes(live: Live) -> None:
    def curl(sae: str, url: str, *more: str) -> Any:
        cert, key, ca = files_of(live, sae)
        who = ["--cert", cert, "--key", key, "--cacert", ca]
        done = subprocess.run(["curl", "-sS", "--fail-with-body", *who, *more, url], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    assert curl("alice", url_of(live, "mitte", "bob/status"))["source_KME_ID"] == "mitte"  # as in its certificate
    sent = curl("alice", url_of(live, "mitte", "bob/enc_keys"), "--json", '{"number": 2, "size": 256}')["keys"]
    wanted = json.dumps({"key_IDs": [{"key_ID": key["key_ID"]} for key in sent]})
    got = curl("bob", url_of(live, "moabit", "alice/dec_keys"), "--json", wanted)["keys"]
    assert [(key["key_ID"], key["key"]) for key in got] == [(key["key_ID"], key["key"]) for key in sent]
    assert len({key["key"] for key in sent}) == 2


def test_the_client_from_pypi_carries_a_key_between_two_live_kmes(live: Live) -> None:
    client = pytest.importorskip("etsi_qkd_014_client", reason="pip install etsi-qkd-014-client")
    ports = live.state.read_ports()["key_delivery"]
    alice = client.QKD014Client(f"localhost:{ports['mitte']}", *files_of(live, "alice"))
    bob = client.QKD014Client(f"localhost:{ports['moabit']}", *files_of(live, "bob"))
    code, sent = alice.get_key("bob", number=3)
    assert code == 200
    code, got = bob.get_key_with_key_IDs("alice", [key.key_id for key in sent.keys])
    assert code == 200
    assert [(key.key_id, key.key) for key in got.keys] == [(key.key_id, key.key) for key in sent.keys]
    assert bob.get_key_with_key_IDs("alice", [sent.keys[0].key_id])[0] == 400


def test_a_certificate_of_another_ca_is_refused_in_a_sentence(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = StateDir(tmp_path)
    stranger.prepare()
    provision(stranger, load_network(TINY), datetime.now(UTC))
    folder = live.state.sae(ALICE)
    own = {name: (folder / name).read_bytes() for name in ("cert.pem", "key.pem")}
    try:
        for name in own:
            (folder / name).write_bytes((stranger.sae(ALICE) / name).read_bytes())
        done = qanat_here(capsys, "key", "get", "alice", "bob", "--state", str(live.state.path))
    finally:
        for name, data in own.items():
            (folder / name).write_bytes(data)
    assert (done.code, done.out) == (3, "")
    assert "certificate" in done.err
    assert qanat_here(capsys, "key", "get", "alice", "bob", "--state", str(live.state.path)).code == 0


NONSENSE = (b"\xff" * 4096, b"\x00\x00\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x00\x00\x00", b"")


def test_strangers_and_nonsense_on_every_door_disturb_nobody(live: Live) -> None:
    ports = live.state.read_ports()
    tcp = [ports["dashboard"], ports["classical"], *ports["key_delivery"].values(), *ports["peers"].values()]
    before = {link["id"]: link["blocks_made"] for link in live.snapshot()["links"]}
    silent = [socket.create_connection(("127.0.0.1", port), 5) for port in tcp]  # connect and say nothing
    for data in NONSENSE:
        for port in tcp:
            with socket.create_connection(("127.0.0.1", port), 5) as door:
                door.sendall(data)
        for path in live.state.run.glob("*.sock"):
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(str(path))
                door.sendall(data)
    a_kme_with_a_certificate_talks_nonsense(live, ports["peers"]["moabit"])
    assert live.run("key", "get", "alice", "bob", "--json").code == 0
    until(lambda: all(link["blocks_made"] > before[link["id"]] for link in live.snapshot()["links"]))
    for door in silent:
        door.close()
    assert not [pid for pid, name in live.children().items() if not Path(f"/proc/{pid}").exists()]
    assert "ended" not in live.err()  # no process fell
    for log in live.state.logs.glob("*.log"):
        assert "Traceback" not in log.read_text(), log.read_text()


def a_kme_with_a_certificate_talks_nonsense(live: Live, port: int) -> None:
    folder = live.state.path / "nodes" / "mitte"
    context = ssl.create_default_context(cafile=files_of(live, "alice")[2])
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    for data in NONSENSE:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as door,
        ):
            door.sendall(data)


def test_kill_9_of_kmes_under_load_gives_no_key_twice_and_none_that_differs(live: Live) -> None:
    seed = int(os.environ.get("QANAT_TEST_SEED", random.SystemRandom().randrange(2**32)))
    chance = random.Random(seed)
    print(f"rerun with QANAT_TEST_SEED={seed}")
    with Load(live) as load:
        for number in range(4):
            load.wait_for(3)
            time.sleep(chance.random() * 0.3)
            os.kill(live.kme(("mitte", "moabit")[number % 2]), signal.SIGKILL)
        load.wait_for(20)
    record = load.record
    pair = pair_of(live, record)
    late = 0
    for key_id in load.waiting:  # a grant that was not fetched is fetched now, or its answer was lost on the way
        try:
            pair.take(key_id)
            late += 1
        except KeysNotFound:
            pass
    for key_id in chance.sample(list(record.as_slave), 40):
        with pytest.raises(KeysNotFound):
            pair._clients[1].dec_keys(ALICE, [key_id])
    assert record.doubled == 0
    assert record.different == 0
    assert record.compared == len(record.as_slave) > 40
    assert len(set(record.as_master.values())) == len(record.as_master)  # no two IDs with one key
    print(f"{len(record.as_master)} keys, {len(load.waiting)} interrupted, {late} of them fetched later")


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit (Linux)")
def test_a_full_disk_is_a_503_and_nothing_is_lost(live: Live) -> None:
    record = Record()
    pair = pair_of(live, record)
    kept = pair._clients[0].enc_keys(BOB)[0]  # granted, not fetched, before the disk is full
    record.note("master", kept)
    until(lambda: live.snapshot()["pairs"][0]["stored_keys"] > 0)
    limits = {}
    for site in ("mitte", "moabit"):
        pid = live.kme(site)
        limits[pid] = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, limits[pid][1]))  # every write beyond one byte fails
    try:
        done = live.run("key", "get", "alice", "bob")
        assert done.code in (1, 3), done
        assert "503" in done.err or "cannot answer now" in done.err
        for _ in range(3):
            assert pair.try_exchange() is None
        time.sleep(1.5)  # modules go on handing in blocks that cannot be stored
        assert all(Path(f"/proc/{pid}").exists() for pid in limits)  # no KME fell
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    got = until(lambda: taken(pair, kept.key_id), patience_s=10)
    assert got.bits == kept.bits
    for _ in range(5):
        assert until(pair.try_exchange, patience_s=10).is_equal
    assert (record.doubled, record.different) == (0, 0)
    block = live.snapshot()["links"][0]["blocks_made"]
    until(lambda: live.snapshot()["links"][0]["blocks_made"] > block)


def taken(pair: Pair, key_id: KeyId) -> Any:
    try:
        return pair.take(key_id)
    except QanatError:
        return None


def test_eve_is_noticed_her_keys_are_quarantined_and_traffic_goes_round(live: Live) -> None:
    link = "mitte-wedding"
    before = live.snapshot()["totals"]["bits_quarantined"]
    done = live.run("attack", "start", link, "intercept-resend", "--json")
    assert (done.code, done.json["attacks"]) == (0, [{"name": "intercept-resend"}])
    raised = until(lambda: alarmed(live, link), patience_s=10)
    assert raised["severity"] in ("warning", "critical")
    assert live.run("alarms").code == 1
    until(lambda: live.snapshot()["totals"]["bits_quarantined"] > before, patience_s=5)
    pair = next(pair for pair in live.snapshot()["pairs"] if (pair["source"], pair["target"]) == ("mitte", "wedding"))
    assert (pair["links"], pair["trusted_nodes"]) == (["mitte-moabit", "moabit-wedding"], ["moabit"])
    around = pair_of(live, Record(), (ALICE, SaeId("carol")))
    assert until(around.try_exchange, patience_s=20).is_equal  # older key of the link is not suspect, and serves
    assert live.run("attack", "stop", link).code == 0


def alarmed(live: Live, link: str) -> dict[str, Any] | None:
    return next((alarm for alarm in live.snapshot()["alarms"] if alarm["link"] == link and alarm["raised"]), None)
