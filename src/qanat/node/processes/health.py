"""A door for load balancers: does this instance serve? Plain HTTP on a port of its own, without names or numbers.

Key delivery itself ends in the KME by mutual TLS, so a balancer can only pass connections on, and a check that needs
a client certificate is one that few of them can make. This one needs none and tells nothing worth hiding.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum

from qanat.node.wire import served

HEAD_BYTES_MAX = 4096
PATIENCE_S = 2.0
_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}


class Health(Enum):
    """What an instance says of itself; why it is unable stands in its log."""

    SERVING = "serving"
    STANDBY = "standby"  # could take over now
    SEALED = "sealed"  # shares of its key encryption key are missing
    UNABLE = "unable"  # could not take over now

    @property
    def status_code(self) -> int:
        return 200 if self is Health.SERVING else 503


@asynccontextmanager
async def health_door(port: int | None, health: Callable[[], Health]) -> AsyncIterator[None]:
    """Listens while the context lasts; nothing at all without a port."""
    if port is None:
        yield
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        writer.write(answer_to(head, health()))
        await writer.drain()

    server = await asyncio.start_server(served(serve), "127.0.0.1", port, limit=HEAD_BYTES_MAX)
    async with server:
        yield


def answer_to(head: bytes, health: Health) -> bytes:
    """The whole answer to one request; the connection ends with it."""
    verb, _, rest = head.partition(b" ")
    is_known = verb in (b"GET", b"HEAD") and rest.partition(b" ")[0] == b"/health"
    code = health.status_code if is_known else 404
    body = json.dumps({"state": health.value} if is_known else {}).encode()
    lines = [
        f"HTTP/1.1 {code} {_REASONS[code]}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if code == 503:
        lines.append("Retry-After: 1")
    text = "\r\n".join([*lines, "", ""]).encode()
    return text if verb == b"HEAD" else text + body
