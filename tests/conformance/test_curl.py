"""The standard exchanges by curl: two KMEs, two SAEs and a third that tries what is not its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
from memory_kme import STOCK, Files, TwoKmes

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed (apt install curl)")
NOT_FOUND = "one or more keys specified are not found on KME"


def curl(files: Files | list[str], *arguments: str) -> tuple[int, Any]:
    """Status and JSON body; (0, what curl says) when there was no HTTP answer."""
    who = files.curl() if isinstance(files, Files) else files
    marked = ["-w", "\n%{http_code}"]
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "10", "--path-as-is", *marked, *who, *arguments],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return 0, done.stderr
    body, _, code = done.stdout.rpartition("\n")
    return int(code), json.loads(body)


def post(document: Any) -> list[str]:
    return ["-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(document)]


@pytest.mark.parametrize("tls", [["--tlsv1.3"], ["--tls-max", "1.2"]], ids=["TLS 1.3", "TLS 1.2"])
def test_alice_and_bob_get_the_same_keys_each_from_its_own_kme(two: TwoKmes, tls: list[str]) -> None:
    alice, bob = two.saes["alice"], two.saes["bob"]
    to_bob, to_alice = f"{two.url('a')}/api/v1/keys/bob", f"{two.url('b')}/api/v1/keys/alice"
    code, status = curl(alice, *tls, f"{to_bob}/status")
    assert (code, status["source_KME_ID"], status["target_KME_ID"]) == (200, "a", "b")
    assert (status["master_SAE_ID"], status["slave_SAE_ID"]) == ("alice", "bob")
    assert status["stored_key_count"] <= status["max_key_count"]
    code, sent = curl(alice, *tls, *post({"number": 3, "size": 512}), f"{to_bob}/enc_keys")
    assert (code, len(sent["keys"])) == (200, 3)
    wanted = {"key_IDs": [{"key_ID": key["key_ID"]} for key in reversed(sent["keys"])]}
    code, got = curl(bob, *tls, *post(wanted), f"{to_alice}/dec_keys")
    assert code == 200
    assert got["keys"] == sent["keys"][::-1]
    assert curl(bob, *tls, *post(wanted), f"{to_alice}/dec_keys") == (400, {"message": NOT_FOUND})


def test_the_get_forms_carry_a_key_too(two: TwoKmes) -> None:
    code, sent = curl(two.saes["alice"], f"{two.url('a')}/api/v1/keys/bob/enc_keys?number=1&size=128")
    assert code == 200
    key = sent["keys"][0]
    code, got = curl(two.saes["bob"], f"{two.url('b')}/api/v1/keys/alice/dec_keys?key_ID={key['key_ID']}")
    assert (code, got["keys"]) == (200, [key])


def test_an_sae_paired_with_itself_makes_a_round_trip(two: TwoKmes) -> None:
    url = f"{two.url('a')}/api/v1/keys/alice"
    code, sent = curl(two.saes["alice"], f"{url}/enc_keys")
    assert code == 200
    code, got = curl(two.saes["alice"], f"{url}/dec_keys?key_ID={sent['keys'][0]['key_ID']}")
    assert (code, got["keys"]) == (200, sent["keys"])


def test_a_third_sae_gets_no_key_of_theirs_and_spoils_none(two: TwoKmes) -> None:
    code, sent = curl(two.saes["alice"], f"{two.url('a')}/api/v1/keys/bob/enc_keys")
    key_id = sent["keys"][0]["key_ID"]
    code, error = curl(two.saes["carol"], f"{two.url('b')}/api/v1/keys/alice/dec_keys?key_ID={key_id}")
    assert code == 401
    assert "keys" not in error
    assert curl(two.saes["bob"], f"{two.url('b')}/api/v1/keys/alice/dec_keys?key_ID={key_id}")[0] == 200


def test_one_bad_id_in_a_list_spends_none_of_it(two: TwoKmes) -> None:
    _, sent = curl(two.saes["alice"], f"{two.url('a')}/api/v1/keys/bob/enc_keys")
    good = {"key_ID": sent["keys"][0]["key_ID"]}
    bad = {"key_ID": "550e8400-e29b-41d4-a716-446655440000"}
    url = f"{two.url('b')}/api/v1/keys/alice/dec_keys"
    assert curl(two.saes["bob"], *post({"key_IDs": [good, bad]}), url) == (400, {"message": NOT_FOUND})
    assert curl(two.saes["bob"], *post({"key_IDs": [good]}), url)[0] == 200


def test_an_empty_pool_says_when_to_come_back(two: TwoKmes) -> None:
    two.pool.stock = 1
    url = f"{two.url('a')}/api/v1/keys/bob/enc_keys?number=2"
    code, error = curl(two.saes["alice"], url)
    assert code == 503
    assert error["details"] == [{"available": 1, "requested": 2, "retry_after_ms": 1500}]
    head = subprocess.run(
        ["curl", "-sS", "-D", "-", "-o", "/dev/null", *two.saes["alice"].curl(), url],
        check=False,
        capture_output=True,
        text=True,
    ).stdout.lower()
    assert "retry-after: 2" in head


def test_without_a_certificate_of_this_ca_there_is_no_answer_at_all(two: TwoKmes) -> None:
    url = f"{two.url('a')}/api/v1/keys/bob/enc_keys"
    ca = ["--cacert", str(two.saes["alice"].ca)]
    stranger = [*ca, "--cert", str(two.stranger.cert), "--key", str(two.stranger.key)]
    for files, reason in ((ca, "certificate required"), (two.expired, "certificate expired"), (stranger, "unknown ca")):
        code, said = curl(files, url)
        assert code == 0
        assert reason in said
    code, _ = curl(["-k"], url)
    assert code == 0
    assert two.pool.stock == STOCK


@pytest.mark.parametrize("role", ["kme", "controller", "admin"])
def test_a_certificate_of_another_role_may_not_call(two: TwoKmes, role: str) -> None:
    files = two.authority.files(role, "alice", now=None, days=3600, label="-other-role")
    for method in ("status", "enc_keys", "dec_keys"):
        code, error = curl(files, f"{two.url('a')}/api/v1/keys/bob/{method}")
        assert code == 401
        assert role in error["message"]
    assert two.pool.stock == STOCK


def test_no_header_changes_who_calls(two: TwoKmes) -> None:
    claims = ["X-SAE-ID", "X-Forwarded-Client-Cert", "X-SSL-Client-S-DN", "X-Client-DN", "SSL_CLIENT_S_DN", "Forwarded"]
    spoofed = [part for name in claims for part in ("-H", f"{name}: CN=alice;for=alice")]
    code, _ = curl(
        two.saes["carol"], *spoofed, "-H", "X-Forwarded-For: 127.0.0.1", f"{two.url('b')}/api/v1/keys/alice/status"
    )
    assert code == 401
    code, status = curl(
        two.saes["alice"], "-H", "X-SAE-ID: bob", "-H", "Host: bob", f"{two.url('a')}/api/v1/keys/bob/status"
    )
    assert (code, status["master_SAE_ID"]) == (200, "alice")


def test_several_urls_travel_on_one_connection(two: TwoKmes) -> None:
    url = f"{two.url('a')}/api/v1/keys/bob/status"
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "-w",
            "%{num_connects}\n",
            "-o",
            "/dev/null",
            *two.saes["alice"].curl(),
            url,
            "-o",
            "/dev/null",
            url,
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "0"]


def test_a_body_sent_in_chunks_is_read_and_a_huge_one_is_refused(two: TwoKmes) -> None:
    chunked = ["-H", "Transfer-Encoding: chunked"]
    url = f"{two.url('a')}/api/v1/keys/bob/enc_keys"
    code, sent = curl(two.saes["alice"], *chunked, *post({"number": 2}), url)
    assert (code, len(sent["keys"])) == (200, 2)
    huge = subprocess.run(
        [
            "curl",
            "-sS",
            "-w",
            "\n%{http_code}",
            *two.saes["alice"].curl(),
            *chunked,
            "-X",
            "POST",
            "--data-binary",
            "@-",
            url,
        ],
        input=b"x" * 3_000_000,
        check=False,
        capture_output=True,
    ).stdout.decode()
    body, _, code_text = huge.rpartition("\n")
    assert code_text == "413"
    assert "65536" in json.loads(body)["message"]
