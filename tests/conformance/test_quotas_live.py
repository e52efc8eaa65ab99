"""Quotas of the network file at the doors of two live KMEs: 014 and SKIP answer with a status and a time to wait."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from live_pair import LINK, LiveKmes, LivePair, context_of, network_text
from support.load import connected

CALLS_PER_S = 40


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LivePair]:
    text = network_text(2, 2).replace('id = "m1"', 'id = "m1"\nrate_bits_per_s_max = 64\nburst_bits = 512')
    text += f"\ncalls_per_s = {CALLS_PER_S}\nreserve_keys = 100"
    with LiveKmes(tmp_path_factory.mktemp("limited"), text=text) as kmes:
        kmes.feed(LINK, 1)
        pair = LivePair(kmes)
        pair.wait_for_keys()
        yield pair


def test_an_sae_that_used_its_bits_is_told_when_to_come_back(limited: LivePair) -> None:
    answers = [limited.etsi014("m1", "/api/v1/keys/s1/enc_keys") for _ in range(3)]
    assert [code for code, _, _ in answers] == [200, 200, 503]
    _, headers, found = answers[-1]
    assert "bits per second" in found["message"]
    wait_ms = found["details"][0]["retry_after_ms"]
    assert 3000 < wait_ms <= 4000  # 256 bits at 64 bits per second
    assert int(headers["retry-after"]) == -(-wait_ms // 1000)


def test_a_pair_cannot_take_what_is_reserved_for_the_other(limited: LivePair) -> None:
    codes, message = [], ""
    while 503 not in codes:
        code, _, found = limited.etsi014("m0", "/api/v1/keys/s0/enc_keys", {"number": 128, "size": 256})
        if code != 429:
            codes.append(code)
            message = found.get("message", "")
    assert 200 in codes
    assert "reserved for other pairs" in message or "not enough keys" in message
    left = limited.etsi014("s1", "/api/v1/keys/m1/status")  # the other direction was not touched
    assert left[2]["stored_key_count"] > 100
    stored = limited.etsi014("m0", "/api/v1/keys/s0/status")[2]["stored_key_count"]
    assert 100 <= stored < 100 + 128


@pytest.mark.parametrize("door", ["014", "skip"])
def test_an_sae_that_calls_too_often_gets_429(limited: LivePair, door: str) -> None:
    """Three times the calls that are free at once, on one connection."""
    port = limited.kmes.port("site1") if door == "014" else limited.kmes.ports.skip[limited.site("s0")]
    path = "/openapi.json" if door == "014" else "/capabilities"
    line = connected(port, context_of(limited.kmes.credentials("s0")))
    file = line.makefile("rb")
    found = []
    for _ in range(3 * CALLS_PER_S):
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: kme\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += file.readline()
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        found.append((int(head[9:12]), head.lower(), json.loads(file.read(size))))
    line.close()
    refused = [(head, body) for code, head, body in found if code == 429]
    assert len(refused) >= CALLS_PER_S
    assert all(b"retry-after: 1\r\n" in head and body["details"][0]["retry_after_ms"] <= 25 for head, body in refused)
