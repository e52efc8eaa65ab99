"""TLS 1.3 with an external PSK from 014, between the real `openssl s_server` and `s_client`."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from memory_kme import TwoKmes

from qanat.core.ids import SaeId
from qanat.sae.client import KeyDeliveryClient
from qanat.sae.integrations.openssl import write_session

ALICE, BOB = SaeId("alice"), SaeId("bob")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def said(server_options: list[str], client_options: list[str]) -> tuple[int, str]:
    """What s_client says of one connection."""
    port = str(free_port())
    server = subprocess.Popen(
        ["openssl", "s_server", "-accept", port, "-nocert", "-naccept", "1", "-quiet", *server_options],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(0.4)
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *client_options],
            input="Q\n",
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        return done.returncode, done.stdout + done.stderr
    finally:
        server.kill()
        server.wait()
        assert server.stdin is not None
        server.stdin.close()


def test_both_ends_shake_hands_with_the_key_and_with_no_other(two: TwoKmes, tmp_path: Path) -> None:
    with (
        KeyDeliveryClient(two.url("a"), **two.saes["alice"].kwargs()) as alice,
        KeyDeliveryClient(two.url("b"), **two.saes["bob"].kwargs()) as bob,
    ):
        key = alice.enc_keys(BOB, 1, 256)[0]
        other = alice.enc_keys(BOB, 1, 256)[0]
        server = write_session(tmp_path / "server.psk", bob.key_of(ALICE, key.key_id))
        client = write_session(tmp_path / "client.psk", key)
        wrong = write_session(tmp_path / "wrong.psk", other)
    assert (tmp_path / "client.psk").stat().st_mode & 0o777 == 0o600
    assert key.bits.reveal() == bytes(32)
    code, text = said(server, client)
    assert code == 0, text
    assert "Reused, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in text
    wrong[wrong.index("-psk_identity") + 1] = str(key.key_id)
    code, text = said(server, wrong)
    assert code != 0, text
    assert "Reused" not in text
