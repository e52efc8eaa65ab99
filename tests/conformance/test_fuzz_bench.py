"""The fuzzer of bench/ against two live KMEs, in short: nothing is broken, and it can tell what would be."""

from __future__ import annotations

import ssl
from typing import cast

import pytest
from fuzz import Fuzzer, answer_http, still_delivers
from live_pair import LivePair


def test_a_thousand_random_requests_break_nothing(live: LivePair) -> None:
    fuzzer = Fuzzer(live.kmes, 1_000, 60.0, seed=5)
    fuzzer.run()
    assert set(fuzzer.counts) == {"014", "skip", "004"}
    assert not {name for counts in fuzzer.counts.values() for name in counts if name.startswith("broken")}
    assert fuzzer.counts["014"]["200"]
    assert fuzzer.counts["004"]["status 1"]
    live.kmes.feed(next(iter(live.kmes.network.links)), 1)
    live.wait_for_keys()
    assert still_delivers(live.kmes)


class Said:
    """A connection that says one thing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        found, self._data = self._data[:size], self._data[size:]
        return found


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ('500 X\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"message": "a"}', "500"),
        ("404 X\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno", "no JSON"),
        ("400 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "no message"),
        ('503 X\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"message": "a"}', "Retry-After"),
    ],
)
def test_what_would_be_broken_is_counted_as_broken(answer: str, word: str) -> None:
    line = cast("ssl.SSLSocket", Said(f"HTTP/1.1 {answer}".encode()))
    found = answer_http(line, b"GET / HTTP/1.1\r\n\r\n")
    assert found.startswith("broken")
    assert word in found
