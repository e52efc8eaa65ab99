"""What half-open sockets cost others at a TLS door, and whether an unknown identity can be told from a wrong key.

The numbers of docs/decisions/0069. The first part floods a server from 127.0.0.2 with sockets that say nothing, and
measures new connections from 127.0.0.3 and 127.0.0.2 and requests on one that stands. The second measures the time to
the alert for wrong keys and unknown identities, in random order, and the processor time of whole handshakes.

Run: python design/strangers_at_the_doors.py        (about half a minute; Linux, whose 127.0.0.0/8 is all its own)
"""

from __future__ import annotations

import os
import random
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "conformance"))

from cryptography.hazmat.bindings.openssl.binding import Binding
from memory_kme import TwoKmes
from OpenSSL import SSL
from test_psk_tls import SECRET, Door, callback_of

from qanat.node.event_loop import loop_factory

FLOOD_S, MEASURE_S = 6.0, 5.0
STATUS = b"GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
HANDSHAKES = 3000


def flood(port: int) -> None:
    held, end_s = [], time.monotonic() + FLOOD_S
    while time.monotonic() < end_s:
        sock = socket.socket()
        sock.settimeout(2)
        sock.bind(("127.0.0.2", 0))
        sock.connect(("127.0.0.1", port))
        held.append(sock)
    print(f"{len(held)} silent sockets in {FLOOD_S:g} s")


def connected(two: TwoKmes, address: str) -> ssl.SSLSocket:
    files = two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    raw = socket.create_connection(("127.0.0.1", two.servers["a"].port), 10, source_address=(address, 0))
    return context.wrap_socket(raw, server_hostname="localhost")


def asked(line: ssl.SSLSocket) -> None:
    line.sendall(STATUS)
    answer = b""
    while not answer.endswith(b"}"):
        chunk = line.recv(65_536)
        if not chunk:
            raise ConnectionError("closed")
        answer += chunk


def once(two: TwoKmes, address: str) -> None:
    with connected(two, address) as line:
        asked(line)


def timed_s(work: Callable[[], None]) -> float:
    """Seconds, or infinity where the door hung up: an honest client of the flood's address may be pushed out."""
    begin_s = time.perf_counter()
    try:
        work()
    except OSError:  # ssl.SSLError is one
        return float("inf")
    return time.perf_counter() - begin_s


def served(two: TwoKmes, label: str) -> None:
    times: dict[str, list[float]] = {"another address": [], "the same address": [], "a standing connection": []}
    end_s = time.monotonic() + MEASURE_S
    with connected(two, "127.0.0.3") as standing:
        while time.monotonic() < end_s:
            times["another address"].append(timed_s(lambda: once(two, "127.0.0.3")))
            times["the same address"].append(timed_s(lambda: once(two, "127.0.0.2")))
            times["a standing connection"].append(timed_s(lambda: asked(standing)))
    resident_mb = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6
    for who, found in times.items():
        found.sort()
        lost, slow_ms = found.count(float("inf")), found[-len(found) // 100] * 1e3
        middle_ms = statistics.median(found) * 1e3
        print(f"{label}: {who}: median {middle_ms:.1f} ms, p99 {slow_ms:.1f} ms, {lost} of {len(found)} pushed out")
    print(f"{label}: {resident_mb:.0f} MB resident")


def half_open() -> None:
    two = TwoKmes(Path(tempfile.mkdtemp()))
    served(two, "quiet")
    child = subprocess.Popen([sys.executable, __file__, str(two.servers["a"].port)])
    time.sleep(0.7)
    served(two, "flood")
    child.wait()
    time.sleep(0.5)
    print(f"turned away: {dict(two.servers['a'].turned_away)}")
    two.close()


def shaken(door: Door, version: int, ciphers: bytes, identity: bytes, key: bytes) -> float:
    """One handshake; seconds until its end or the alert."""
    context, callback = SSL.Context(SSL.TLS_CLIENT_METHOD), callback_of(identity, key)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(ciphers)
    Binding.lib.SSL_CTX_set_psk_client_callback(context._context, callback)
    with socket.create_connection(("127.0.0.1", door.server.port)) as sock:
        line = SSL.Connection(context, sock)
        line.set_connect_state()
        begin_s = time.perf_counter()
        with suppress(SSL.Error):
            line.do_handshake()
        return time.perf_counter() - begin_s


def alike() -> None:
    door = Door(loop_factory())
    for version, label in ((SSL.TLS1_2_VERSION, "TLS 1.2"), (SSL.TLS1_3_VERSION, "TLS 1.3")):
        times: dict[bytes, list[float]] = {b"router": [], b"routes": []}  # the second is nobody's
        for _ in range(HANDSHAKES):
            identity = random.choice(list(times))
            times[identity].append(shaken(door, version, b"PSK-AES256-GCM-SHA384", identity, os.urandom(32)) * 1e6)
        for identity, found in times.items():
            middle = sorted(found)[len(found) // 10 : -len(found) // 10]
            error = statistics.stdev(middle) / len(middle) ** 0.5
            print(f"{label}, {identity.decode()}: mean of the middle {statistics.mean(middle):.1f} +- {error:.1f} us")
    for ciphers in (b"PSK-AES256-GCM-SHA384", b"DHE-PSK-AES256-GCM-SHA384", b"ECDHE-PSK-CHACHA20-POLY1305"):
        begin_s = time.process_time()
        for _ in range(200):
            shaken(door, SSL.TLS1_2_VERSION, ciphers, b"router", SECRET)
        print(f"{ciphers.decode()}: {(time.process_time() - begin_s) / 0.2:.1f} ms of processor time at both ends")
    door.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        flood(int(sys.argv[1]))
    else:
        half_open()
        alike()
