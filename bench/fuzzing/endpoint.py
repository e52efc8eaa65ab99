"""Hostile places to which a KME sends, chunks or a partner's keys, until they turn honest."""

from __future__ import annotations

import collections
import contextlib
import random
import socket
import ssl
import threading
import time

from qanat.node.pki import Credentials

DEEP = b'{"status":0,"a":' + b"[" * 8000 + b"]" * 8000 + b"}"


def _said(code: int, body: bytes = b'{"status":0}', *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


ANSWERS: dict[str, bytes] = {
    "200": _said(200),
    "201 in words": _said(201, b"thank you"),
    "201 deep": _said(201, DEEP[:16_000]),
    "201 deep, whole": _said(201, DEEP[:16] + b"[" * 4000 + b"]" * 4000 + b"}"),
    "201 and no": _said(201, b'{"status":2}'),
    "201 of another type": _said(201, b'{"status":"' + b"9" * 400 + b'"}'),
    "201 large number": _said(201, b'{"status":' + b"9" * 5000 + b"}"),
    "201 no UTF-8": _said(201, b'{"status":0,"\xff\xfe":"\xc0\x80"}'),
    "201 surrogate": _said(201, b'{"status":0,"a":"\\ud800"}'),
    "201 twice": _said(201) * 2,
    "201 and 500": _said(500) + _said(201),
    "204": b"HTTP/1.1 204 X\r\n\r\n",
    "301": _said(301, b"", "Location: https://127.0.0.1:9/"),
    "307": _said(307, b"", "Location: file:///etc/passwd"),
    "401": _said(401, b"", "WWW-Authenticate: Basic"),
    "429": _said(429, b"", "Retry-After: 1e99"),
    "500": _said(500),
    "999": _said(999),
    "code 0": _said(0),
    "code of ten digits": b"HTTP/1.1 9999999999 X\r\n\r\n",
    "101": b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
    "100 for ever": b"HTTP/1.1 100 Continue\r\n\r\n" * 1500,
    "version 9": b"HTTP/9.9 201 X\r\n\r\n",
    "no version": b"201\r\n\r\n",
    "noise": bytes(range(256)),
    "negative length": b"HTTP/1.1 201 X\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"HTTP/1.1 201 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks": b"HTTP/1.1 201 X\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "large length": b"HTTP/1.1 201 X\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "large chunk": b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
    "cut": b"HTTP/1.1 201 X\r\nContent-Length: 12\r\n\r\n{",
    "huge body": _said(201, b"x" * 3_000_000),
    "huge header": b"HTTP/1.1 201 X\r\nX: " + b"x" * 3_000_000,
    "many headers": b"HTTP/1.1 201 X\r\n" + b"X: y\r\n" * 200_000 + b"\r\n",
    "zero in a header": b"HTTP/1.1 201 X\r\nX: a\0b\r\n\r\n",
    "nothing": b"",
}
SLOW, SILENT = "slow", "silent"
KINDS = [*ANSWERS] * 6 + [SLOW, SILENT]  # a stream waits for its answer, so these are rare
GREETINGS = ["TLS"] * 80 + ["stranger", "plain", "closed"] * 2 + ["half a handshake"]


class Endpoint:
    """One of them.

    Args:
        files: Its certificate; it is as hostile with the right one as it can be.
        stranger: A certificate that is not its own.
    """

    def __init__(self, port: int, files: Credentials, stranger: Credentials, seed: int) -> None:
        self._contexts = {"TLS": _context(files), "stranger": _context(stranger)}
        self._rng, self.is_honest = random.Random(seed), False
        self.counts: collections.Counter[str] = collections.Counter()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._listener.settimeout(None)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(plain,), daemon=True).start()

    def _greet(self, plain: socket.socket) -> None:
        greeting = "TLS" if self.is_honest else self._rng.choice(GREETINGS)
        with plain, contextlib.suppress(OSError, ValueError):
            plain.settimeout(20)
            if greeting in self._contexts:
                line = self._contexts[greeting].wrap_socket(plain, server_side=True)
                if greeting != "TLS":
                    self.counts[greeting] += 1
                while self._answer(line):
                    pass
                return
            self.counts[greeting] += 1
            if greeting == "plain":
                plain.sendall(_said(201))
            elif greeting == "half a handshake":
                plain.recv(10)
                time.sleep(6)

    def _answer(self, line: ssl.SSLSocket) -> bool:
        """Read a request and answer it; False when the connection is over."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := line.recv(65_536)):
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        while len(body) < size:
            body += line.recv(65_536)
        if self.is_honest:
            self.counts["honest"] += 1
            line.sendall(_said(201))
            return True
        kind = self._rng.choice(KINDS)
        self.counts[kind] += 1
        if kind == SILENT:
            time.sleep(7)  # the KME waits for five
        elif kind == SLOW:
            for byte in _said(201):
                line.sendall(bytes([byte]))
                time.sleep(0.05)
        else:
            line.sendall(ANSWERS[kind])
        return kind in ("200", "500", SLOW) or kind.startswith("201")


def _context(files: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certfile, files.keyfile)
    return context
