"""Random requests to all interfaces of two live KMEs: prints one JSON line with the counts of answers.

Run: python bench/fuzz.py [--requests 100000] [--seconds 3600] [--seed 1]

ETSI 014, SKIP and ETSI 004, over mutual TLS, as SAEs whose certificates are accepted: requests that fit, requests with
a part that does not, and noise. ``broken`` must be 0: answers 5xx other than 503, answers that are not 200 and
no JSON Error object, 004 answers that are no frame with a known status. A server may hang up on what is no HTTP or no
frame: that is counted as ``closed``. At the end both KMEs must still deliver a key.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from support.fuzz_requests import Known, request_004, request_014, request_skip
from support.kmes import LiveKmes
from support.load import connected, context_of

from qanat.core.ids import LinkId
from qanat.km.stream_wire import HEADER_BYTES, header_from_bytes

LINK = LinkId("site0-site1")
THREADS = 24  # most of them wait: an unknown key may be on its way for half a second
Counts = collections.Counter[str]


class Closed(Exception):
    """The server hung up without an answer."""


def answer_http(line: ssl.SSLSocket, request: bytes) -> str:
    """The status code, or what is broken about the answer."""
    head, body = _http(line, is_head=request.startswith(b"HEAD "))
    code = int(head[9:12])
    if code >= 500 and code != 503:
        return f"broken: {code}"
    if b"application/json" not in head.lower():
        return f"broken: {code} is no JSON"
    if request.startswith(b"HEAD "):
        return str(code)
    try:
        found = json.loads(body)
    except ValueError:
        return f"broken: {code} is no JSON"
    is_error = isinstance(found, dict) and isinstance(found.get("message"), str)
    if code != 200 and not is_error:
        return f"broken: {code} has no message"
    if code in (429, 503) and b"retry-after:" not in head.lower():
        return f"broken: {code} without Retry-After"
    return str(code)


def _http(line: ssl.SSLSocket, *, is_head: bool) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(line)
    head, _, body = data.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 100"):  # go on; the answer follows
        data = body
        while b"\r\n\r\n" not in data:
            data += _more(line)
        head, _, body = data.partition(b"\r\n\r\n")
    length = 0 if is_head else int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    while len(body) < length:
        body += _more(line)
    return head, body


def _more(line: ssl.SSLSocket) -> bytes:
    data = line.recv(65_536)
    if not data:
        raise Closed
    return data


def answer_004(line: ssl.SSLSocket, request: bytes) -> str:
    del request
    head = b""
    while len(head) < HEADER_BYTES:
        head += _more(line)
    _, size_bytes = header_from_bytes(head[:HEADER_BYTES])
    body = head[HEADER_BYTES:]
    while len(body) < size_bytes:
        body += _more(line)
    status = int.from_bytes(body[:4])
    return f"status {status}" if status <= 8 else "broken: unknown status"


class Fuzzer:
    """Shares the numbers between threads."""

    def __init__(self, kmes: LiveKmes, requests: int, seconds: float, seed: int) -> None:
        self._kmes, self._left, self._end = kmes, requests, time.monotonic() + seconds
        self._lock, self._seed = threading.Lock(), seed
        self.counts: dict[str, Counts] = collections.defaultdict(collections.Counter)
        self.examples: dict[str, str] = {}

    def run(self) -> None:
        threads = [threading.Thread(target=self._work, args=(index,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, index: int) -> None:
        rng = random.Random(f"{self._seed}/{index}")
        is_slave, ports = index % 2 == 1, self._kmes.ports
        sae, site, other = ("s0", "site1", "m0") if is_slave else ("m0", "site0", "s0")
        doors: dict[str, tuple[int, Callable[..., bytes], Callable[..., str]]] = {
            "014": (ports.key_delivery[site], request_014, answer_http),  # type: ignore[index]
            "skip": (ports.skip[site], request_skip, answer_http),  # type: ignore[index]
            "004": (ports.streams[site], request_004, answer_004),  # type: ignore[index]
        }
        known, context = Known(sae, other), context_of(self._kmes.credentials(sae))
        lines: dict[str, ssl.SSLSocket] = {}
        while self._take():
            door = rng.choices(list(doors), (6, 3, 2))[0]
            port, make, read = doors[door]
            request = make(rng, known)
            if door not in lines:
                lines[door] = connected(port, context)
                lines[door].settimeout(12)
            self._note(door, self._asked(lines, door, request, read), request)

    def _asked(
        self, lines: dict[str, ssl.SSLSocket], door: str, request: bytes, read: Callable[[ssl.SSLSocket, bytes], str]
    ) -> str:
        try:
            lines[door].sendall(request)
            found = read(lines[door], request)
            if found not in ("400", "404", "405", "413"):
                return found  # after those the server may have closed, or bytes of the request may still wait
        except (Closed, ConnectionError, ssl.SSLError):
            found = "closed"
        except TimeoutError:
            found = "unfinished"  # our request announced more than it had
        lines.pop(door).close()
        return found

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0 and time.monotonic() < self._end

    def _note(self, door: str, found: str, request: bytes) -> None:
        with self._lock:
            self.counts[door][found] += 1
            if found.startswith(("broken", "unfinished")):
                self.examples.setdefault(f"{door} {found}", repr(request[:300]))


def still_delivers(kmes: LiveKmes) -> bool:
    for sae, site, other in (("m1", "site0", "s1"), ("s1", "site1", "m1")):
        line = connected(kmes.port(site), context_of(kmes.credentials(sae)))
        request = f"GET /api/v1/keys/{other}/enc_keys HTTP/1.1\r\nHost: kme\r\n\r\n".encode()
        line.sendall(request)
        if answer_http(line, request) != "200":
            return False
        line.close()
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    socket.setdefaulttimeout(12)
    with tempfile.TemporaryDirectory() as folder, LiveKmes(Path(folder)) as kmes:
        kmes.feed(LINK, 20)
        time.sleep(1.0)
        begin = time.monotonic()
        fuzzer = Fuzzer(kmes, words.requests, words.seconds, words.seed)
        fuzzer.run()
        wall_s = time.monotonic() - begin
        kmes.feed(LINK, 5)
        time.sleep(1.0)
        sums = {door: dict(sorted(counts.items())) for door, counts in sorted(fuzzer.counts.items())}
        row = {
            "what": "fuzz",
            "seed": words.seed,
            "requests": sum(sum(counts.values()) for counts in sums.values()),
            "wall_s": round(wall_s, 1),
            "broken": sum(n for counts in sums.values() for name, n in counts.items() if name.startswith("broken")),
            "still_delivers": still_delivers(kmes),
            "answers": sums,
            "examples": fuzzer.examples,
        }
        print(json.dumps(row))


if __name__ == "__main__":
    main()
