"""The fuzzer of bench/, in short: it breaks nothing at any door of a live network, and it can tell what would be."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import cast

import live_pair  # noqa: F401 - finds bench/
import pytest
from fuzzing.after import After
from fuzzing.answers import answer_ambiguous, answer_http
from fuzzing.doors import WEIGHTS
from fuzzing.fuzzer import Fuzzer
from fuzzing.stage import LINK, Stage


def test_a_thousand_random_requests_break_nothing(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.kmes.feed(LINK, 4)
        after = After(stage)
        fuzzer = Fuzzer(stage, 800, 60.0, seed=5)
        fuzzer.run()
        assert fuzzer.broken == [], fuzzer.examples
        assert {door for door in WEIGHTS if not fuzzer.counts[door]} == set()
        assert fuzzer.counts["014"]["200"]
        assert fuzzer.counts["004"]["status 1"]
        assert fuzzer.counts["push"]["201"]
        assert sum(sum(endpoint.counts.values()) for endpoint in stage.endpoints.values()) > 5
        assert after.failures() == {}


class Said:
    """A connection that says one thing."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        found, self._data = self._data[:size], self._data[size:]
        return found

    def sendall(self, data: bytes) -> None: ...

    def settimeout(self, limit_s: float) -> None: ...

    def close(self) -> None: ...


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


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("200 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", "200 to an ambiguous"),
        ('404 X\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{"message": "a"}HTTP/1.1 404', "1 more"),
    ],
)
def test_an_ambiguous_request_that_is_answered_is_broken(answer: str, word: str) -> None:
    found = answer_ambiguous(Said(f"HTTP/1.1 {answer}".encode()))
    assert found.startswith("broken")
    assert word in found
