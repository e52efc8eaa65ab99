"""Reads answers and says what is broken about them."""

from __future__ import annotations

import json
import ssl
from typing import Protocol

from fuzzing.http_shapes import Asked
from qanat.km.stream_wire import HEADER_BYTES, header_from_bytes


class Closed(Exception):
    """The server hung up without an answer."""


class Line(Protocol):
    """A TLS connection: a socket of ``ssl``, or one by a pre-shared key."""

    def sendall(self, data: bytes, /) -> object: ...
    def recv(self, size: int, /) -> bytes: ...
    def settimeout(self, limit_s: float, /) -> None: ...
    def close(self) -> None: ...


def more(line: Line) -> bytes:
    data = line.recv(65_536)
    if not data:
        raise Closed
    return data


def read_http(line: Line, *, is_head: bool) -> tuple[bytes, bytes, bytes]:
    """Head, body, and what came after the answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += more(line)
    head, _, body = data.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):  # go on; the answer follows
        data = body
        while b"\r\n\r\n" not in data:
            data += more(line)
        head, _, body = data.partition(b"\r\n\r\n")
    length = 0 if is_head else int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += more(line)
    return head, body[:length], body[length:]


def answer_http(line: ssl.SSLSocket, request: bytes) -> str:
    """The status code, or what is broken about the answer."""
    asked = Asked(request)
    head, body, _ = read_http(line, is_head=asked.is_head)
    return judged(head, body, is_head=asked.is_head)


def judged(head: bytes, body: bytes, *, is_head: bool) -> str:
    code = int(head[9:12])
    if code >= 500 and code != 503:
        return f"broken: {code}"
    if code < 300 and not body:  # 204, 202, and an acknowledgement of ETSI 020
        return str(code)
    if b"application/json" not in head.lower() and b"application/problem+json" not in head.lower():
        return f"broken: {code} is no JSON"
    if code in (429, 503) and b"retry-after:" not in head.lower() and b"connection: close" not in head.lower():
        return f"broken: {code} without Retry-After"
    if is_head:
        return str(code)
    try:
        found = json.loads(body)
    except ValueError:
        return f"broken: {code} is no JSON"
    if code >= 300 and not _says_why(found):
        return f"broken: {code} has no message"
    return str(code)


def _says_why(found: object) -> bool:
    """An Error object of ETSI 014, or a problem document of ETSI 020."""
    return isinstance(found, dict) and any(isinstance(found.get(name), str) for name in ("message", "details"))


def answer_ambiguous(line: Line) -> str:
    """Of a request that hides another one: refused and hung up on, the hidden one unanswered."""
    head, body, rest = read_http(line, is_head=False)
    found = judged(head, body, is_head=False)
    line.settimeout(2)
    try:
        while data := line.recv(65_536):
            rest += data
    except TimeoutError:
        return f"broken: {found} to an ambiguous request, and the connection stays open"
    except (OSError, ssl.SSLError):
        pass
    if rest or not found.startswith(("4", "broken")):
        return f"broken: {found} to an ambiguous request, {rest.count(b'HTTP/1.1 ')} more answers"
    return found


def answer_004(line: Line) -> str:
    head = b""
    while len(head) < HEADER_BYTES:
        head += more(line)
    _, size_bytes = header_from_bytes(head[:HEADER_BYTES])
    body = head[HEADER_BYTES:]
    while len(body) < size_bytes:
        body += more(line)
    status = int.from_bytes(body[:4])
    return f"status {status}" if status <= 8 else "broken: unknown status"
