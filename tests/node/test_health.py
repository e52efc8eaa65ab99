"""The door for load balancers: one word, no certificate, and nothing that helps a stranger."""

from __future__ import annotations

import asyncio
import json

import pytest

from qanat.node.processes.health import Health, answer_to, health_door
from qanat.node.supervisor import free_ports


@pytest.mark.parametrize(
    ("health", "code"), [(Health.SERVING, 200), (Health.STANDBY, 503), (Health.SEALED, 503), (Health.UNABLE, 503)]
)
def test_only_the_instance_that_serves_is_well(health: Health, code: int) -> None:
    head, _, body = answer_to(b"GET /health HTTP/1.1\r\n\r\n", health).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % code)
    assert (b"Retry-After" in head) == (code == 503)
    assert json.loads(body) == {"state": health.value}


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.1", b"POST /health HTTP/1.1", b"GET /healthy HTTP/1.1", b""])
def test_nothing_else_is_there(request_line: bytes) -> None:
    head, _, body = answer_to(request_line + b"\r\n\r\n", Health.SERVING).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert body == b"{}"


def test_head_has_no_body() -> None:
    assert answer_to(b"HEAD /health HTTP/1.1\r\n\r\n", Health.STANDBY).endswith(b"\r\n\r\n")


def test_the_door_answers_and_closes_and_what_is_no_request_gets_nothing() -> None:
    async def asked(port: int, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        writer.write_eof()
        found = await asyncio.wait_for(reader.read(), 5)
        writer.close()
        return found

    async def run() -> list[bytes]:
        port = next(free_ports())
        async with health_door(port, lambda: Health.STANDBY), health_door(None, lambda: Health.SERVING):
            return [
                await asked(port, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
                await asked(port, b"x" * 100_000),
                await asked(port, b"GET /health"),
            ]

    answers = asyncio.run(run())
    assert answers[0].startswith(b"HTTP/1.1 503 ")
    assert answers[1:] == [b"", b""]
