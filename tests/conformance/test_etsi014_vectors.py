"""Table-driven exchanges of ETSI GS QKD 014 over real TLS. The tables are tests/vectors/etsi014/*.json."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_kme import STOCK, TwoKmes
from real_kmes import RealKmes

TABLES = Path(__file__).parents[1] / "vectors" / "etsi014"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name'][:60]}")
    for path in sorted(TABLES.glob("*.json"))
    for case in json.loads(path.read_text())["cases"]
]


@pytest.fixture(scope="session")
def connection(running: TwoKmes) -> Iterator[http.client.HTTPSConnection]:
    """Alice's one connection through all cases: none of them may end it."""
    context = ssl.create_default_context(cafile=running.saes["alice"].ca)
    context.load_cert_chain(running.saes["alice"].cert, running.saes["alice"].key)
    made = http.client.HTTPSConnection("localhost", running.servers["a"].port, context=context, timeout=10)
    made.connect()
    made.auto_open = 0
    yield made
    made.close()


def request_headers(case: dict[str, Any]) -> dict[str, str]:
    content_type = case.get("content_type", "application/json" if case["verb"] == "POST" else None)
    return {} if content_type is None else {"Content-Type": content_type}


def body_of(case: dict[str, Any]) -> bytes | None:
    if "body_hex" in case:
        return bytes.fromhex(case["body_hex"])
    if "body_repeat" in case:
        text, times = case["body_repeat"]
        return (text * times).encode()
    return None if case.get("body") is None else case["body"].encode()


@pytest.mark.parametrize("case", [case for case in CASES if case.values[0].get("gateway") != "kme"])
def test_the_answer_is_the_one_in_the_table(
    case: dict[str, Any], two: TwoKmes, connection: http.client.HTTPSConnection
) -> None:
    connection.request(case["verb"], case["path"], body_of(case), request_headers(case))
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == case["status"], body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    for name, value in case.get("headers", {}).items():
        assert answer.headers[name] == value
    if answer.status == 200:
        check_keys(json.loads(body)["keys"], case)
        assert two.pool.stock == STOCK - case["keys"]
        return
    assert two.pool.stock == STOCK
    assert not two.pool.granted
    if case["verb"] != "HEAD":
        check_error(json.loads(body), case)


@pytest.fixture(scope="session")
def real_connection(real_running: RealKmes) -> Iterator[http.client.HTTPSConnection]:
    made = real_running.connect("alice")
    made.connect()
    made.auto_open = 0
    yield made
    made.close()


def link_account(real: RealKmes) -> Any:
    """Not the local one: its buffer grows by itself, every ten seconds."""
    return next(account for account in real.report("a").accounts if account.account == "a-b")


@pytest.mark.parametrize("case", CASES)
def test_two_real_kmes_answer_the_same(
    case: dict[str, Any], real: RealKmes, real_connection: http.client.HTTPSConnection
) -> None:
    before = link_account(real)
    real_connection.request(case["verb"], case["path"], body_of(case), request_headers(case))
    answer = real_connection.getresponse()
    body = answer.read()
    assert answer.status == case["status"], body
    assert answer.headers["content-type"] == "application/json"
    for name, value in case.get("headers", {}).items():
        assert answer.headers[name] == value
    if answer.status == 200:
        container = json.loads(body)
        check_keys(container["keys"], case)
        told = container.get("key_container_extension", {}).get("qanat_ignored_optional", [])
        assert told == case.get("ignored", told)
        return
    assert link_account(real) == before
    if case["verb"] != "HEAD":
        check_error(json.loads(body), case)


def test_there_are_enough_vectors_and_none_twice() -> None:
    keys = [json.dumps({k: v for k, v in c.values[0].items() if k != "name"}, sort_keys=True) for c in CASES]
    assert len(set(keys)) == len(keys) >= 250


def check_keys(keys: list[dict[str, Any]], case: dict[str, Any]) -> None:
    assert len(keys) == len({key["key_ID"] for key in keys}) == case["keys"]
    assert {len(base64.b64decode(key["key"], validate=True)) * 8 for key in keys} == {case["size_bits"]}
    assert all(None not in key.values() for key in keys)


def check_error(error: dict[str, Any], case: dict[str, Any]) -> None:
    assert set(error) <= {"message", "details"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert "Traceback" not in error["message"]
    if "message" in case:
        assert error["message"] == case["message"]
    assert all(isinstance(entry, dict) for entry in error.get("details", []))
