"""HTTPS load on one KME from one process: requests back to back on each connection, every answer read whole."""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from qanat.node.pki import Credentials


@dataclass(slots=True)
class Seen:
    """What came of one run. Latencies in seconds; status codes by number."""

    wall_s: float = 0.0
    latencies: list[float] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        return len(self.latencies) / self.wall_s

    def quantile_ms(self, part: float) -> float:
        ordered = sorted(self.latencies)
        return 1000 * ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    def add(self, code: int, latency_s: float) -> None:
        self.latencies.append(latency_s)
        self.codes[code] = self.codes.get(code, 0) + 1

    @property
    def row(self) -> dict[str, object]:
        return {
            "per_s": round(self.per_s, 1),
            "p50_ms": round(self.quantile_ms(0.5), 3),
            "p99_ms": round(self.quantile_ms(0.99), 3),
            "max_ms": round(self.quantile_ms(1.0), 3),
            "codes": self.codes,
        }


def post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: kme\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: kme\r\n\r\n".encode()


def context_of(files: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(files.certfile, files.keyfile)
    context.load_verify_locations(files.cafile)
    return context


def connected(port: int, context: ssl.SSLContext, patience_s: float = 10) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=patience_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def read_answer(line: ssl.SSLSocket) -> tuple[int, bytes]:
    """Status code and body of one answer with a content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = line.recv(65_536)
        if not more:
            raise ConnectionError("closed before an answer")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
    while len(body) < length:
        body += line.recv(65_536)
    return int(head[9:12]), body


def keep_alive(port: int, contexts: list[ssl.SSLContext], requests: list[bytes], seconds: float) -> Seen:
    """One connection per context, each with its own request, for so long."""
    seen, selector = Seen(), selectors.DefaultSelector()
    lines = [connected(port, context) for context in contexts]
    started = [0.0] * len(lines)
    for index, line in enumerate(lines):
        selector.register(line, selectors.EVENT_READ, index)
    begin = time.perf_counter()
    for index, line in enumerate(lines):
        started[index] = time.perf_counter()
        line.sendall(requests[index])
    end = begin + seconds
    while (now := time.perf_counter()) < end:
        for key, _ in selector.select(1.0):
            index = key.data
            code, _body = read_answer(lines[index])
            now = time.perf_counter()
            seen.add(code, now - started[index])
            started[index] = now
            lines[index].sendall(requests[index])
    seen.wall_s = now - begin
    for line in lines:
        line.close()
    return seen


def reconnecting(port: int, contexts: list[ssl.SSLContext], requests: list[bytes], seconds: float) -> Seen:
    """A new TLS connection for every request; one thread per context."""
    parts = [Seen() for _ in contexts]
    end = time.perf_counter() + seconds

    def work(index: int) -> None:
        begin = time.perf_counter()
        while time.perf_counter() < end:
            start = time.perf_counter()
            with connected(port, contexts[index]) as line:
                line.sendall(requests[index])
                code, _body = read_answer(line)
            parts[index].add(code, time.perf_counter() - start)
        parts[index].wall_s = time.perf_counter() - begin

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(contexts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = Seen(wall_s=max(part.wall_s for part in parts))
    for part in parts:
        whole.latencies += part.latencies
        for code, count in part.codes.items():
            whole.codes[code] = whole.codes.get(code, 0) + count
    return whole
