"""The client from PyPI, etsi-qkd-014-client, unchanged: as a library and as a command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from memory_kme import TwoKmes

etsi_qkd_014_client = pytest.importorskip("etsi_qkd_014_client", reason="pip install etsi-qkd-014-client")


def client(two: TwoKmes, sae: str):  # type: ignore[no-untyped-def]
    files = two.saes[sae]
    host = f"localhost:{two.server_of(sae).port}"
    return etsi_qkd_014_client.QKD014Client(host, str(files.cert), str(files.key), str(files.ca))


def test_the_library_carries_keys_from_alice_to_bob(two: TwoKmes) -> None:
    alice, bob = client(two, "alice"), client(two, "bob")
    code, status = alice.get_status("bob")
    assert (code, status.source_kme_id, status.slave_sae_id, status.key_size) == (200, "a", "bob", 256)
    code, sent = alice.get_key("bob", number=3, size=512)
    assert code == 200
    code, got = bob.get_key_with_key_IDs("alice", [key.key_id for key in sent.keys])
    assert code == 200
    assert [(key.key_id, key.key) for key in got.keys] == [(key.key_id, key.key) for key in sent.keys]
    code, error = bob.get_key_with_key_IDs("alice", [sent.keys[0].key_id])
    assert (code, error.message) == (400, "one or more keys specified are not found on KME")


def test_the_library_understands_every_refusal(two: TwoKmes) -> None:
    alice = client(two, "alice")
    assert alice.get_status("carol")[0] == 401
    assert alice.get_key("bob", number=129)[0] == 400
    assert alice.get_key("bob", size=7)[1].message == "size shall be a multiple of 8"
    two.pool.stock = 0
    code, error = alice.get_key("bob")
    assert (code, error.details[0]["available"]) == (503, 0)
    assert alice.get_status("bob/../../x")[0] == 404


def test_the_command_carries_a_key_from_alice_to_bob(two: TwoKmes, tmp_path: Path) -> None:
    command = shutil.which("qkd014-client", path=str(Path(sys.executable).parent))
    assert command is not None

    def run(sae: str, *arguments: str) -> str:
        files, host = two.saes[sae], f"localhost:{two.server_of(sae).port}"
        ini = tmp_path / f"{sae}.ini"
        ini.write_text(
            f"[etsi_qkd_014_client]\nhostname={host}\ncert={files.cert}\nkey={files.key}\nca={files.ca}\nforce=false\n"
        )
        # Its parser wants the SAE ID before the sub-command although its manual shows it after.
        done = subprocess.run(
            [command, "-C", str(ini), *arguments], check=False, capture_output=True, text=True, timeout=30
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "source_KME_ID : a" in run("alice", "get_status", "bob")
    sent = run("alice", "get_key", "bob")
    key_id = next(line for line in sent.splitlines() if line.startswith("Key id")).split(" : ")[1]
    key = next(line for line in sent.splitlines() if line.startswith("Key : "))
    assert key in run("bob", "get_key_with_id", key_id, "alice")
    assert "Response code : 400" in run("bob", "get_key_with_id", key_id, "alice")
