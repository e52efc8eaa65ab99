"""Sockets that never finish their handshake: they are bounded, in all and by source, and others are served meanwhile.

Clients of several addresses of this machine (127.0.0.0/8 is all its own) against the real server, on both event loops.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import ssl
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from memory_kme import TwoKmes

from qanat.node.api import entrance, server
from qanat.node.api.handshakes import HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX, Handshakes, source_of
from qanat.node.event_loop import loop_factory

STATUS = b"GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(loop_factory(), id="uvloop")]
HANDSHAKE_S = 3.0


@pytest.fixture(params=LOOPS)
def factory(request: pytest.FixtureRequest) -> Any:
    """The event loop."""
    return request.param


@pytest.fixture(params=["stdlib", "pq"])
def two(request: pytest.FixtureRequest, factory: Any, tmp_path: Path) -> Iterator[TwoKmes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "HANDSHAKE_TIMEOUT_S", HANDSHAKE_S)
        made = TwoKmes(tmp_path, factory=factory, tls=request.param)
        yield made
        made.close()


def raw(two: TwoKmes, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", two.servers["a"].port), 5, source_address=(address, 0))


def tls(two: TwoKmes, address: str) -> ssl.SSLSocket:
    files = two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    return context.wrap_socket(raw(two, address), server_hostname="localhost")


def is_served(line: ssl.SSLSocket) -> bool:
    line.settimeout(5)
    line.sendall(STATUS)
    answer = b""
    while not answer.endswith(b"}"):
        answer += line.recv(65_536)
    return answer.startswith(b"HTTP/1.1 200")


def is_open(sock: socket.socket) -> bool:
    sock.settimeout(0)
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


def settled(two: TwoKmes, count: int) -> Counter[str]:
    """What was turned away, once it is so many."""
    found = two.servers["a"].turned_away
    end_s = time.monotonic() + 5
    while sum(found.values()) < count and time.monotonic() < end_s:
        time.sleep(0.01)
    return Counter(found)


def test_half_open_sockets_of_one_address_leave_service_to_all_others(two: TwoKmes) -> None:
    with ExitStack() as stack:
        standing = stack.enter_context(tls(two, "127.0.0.2"))
        assert is_served(standing)
        flood = [stack.enter_context(raw(two, "127.0.0.2")) for _ in range(HANDSHAKES_PER_SOURCE_MAX + 70)]
        assert settled(two, 70) == {"source": 70}
        time.sleep(0.1)
        assert [is_open(sock) for sock in flood] == [False] * 70 + [True] * HANDSHAKES_PER_SOURCE_MAX
        began_s = time.monotonic()
        assert is_served(standing), "a connection that stands is not touched"
        assert is_served(stack.enter_context(tls(two, "127.0.0.3"))), "another address"
        assert is_served(stack.enter_context(tls(two, "127.0.0.2"))), "an honest client of the same address"
        assert time.monotonic() - began_s < HANDSHAKE_S / 2, "nobody waited for the flood's deadline"


def test_half_open_sockets_of_many_addresses_push_out_their_own(two: TwoKmes) -> None:
    each = HANDSHAKES_MAX // 8
    with ExitStack() as stack:
        waiting = stack.enter_context(raw(two, "127.0.0.200"))  # older than the flood, and alone
        for index in range(10):
            for _ in range(each):
                stack.enter_context(raw(two, f"127.0.0.{10 + index}"))
        assert settled(two, 2 * each + 1) == {"all": 2 * each + 1}
        assert is_open(waiting)
        assert is_served(stack.enter_context(tls(two, "127.0.0.3")))


def test_a_silent_socket_goes_at_its_deadline_and_is_counted(two: TwoKmes) -> None:
    with raw(two, "127.0.0.2") as sock:
        sock.settimeout(HANDSHAKE_S + 2)
        began_s = time.monotonic()
        with suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        assert HANDSHAKE_S - 0.5 < time.monotonic() - began_s < HANDSHAKE_S + 1
    assert settled(two, 1) == {"timeout": 1}


def test_wrong_tls_is_counted_as_failed(two: TwoKmes) -> None:
    with raw(two, "127.0.0.2") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            sock.recv(100)
    assert settled(two, 1) == {"failed": 1}


def test_what_is_turned_away_leaves_nothing_open(two: TwoKmes) -> None:
    with tls(two, "127.0.0.2") as line:
        assert is_served(line)
    time.sleep(0.3)
    before = len(os.listdir("/proc/self/fd"))
    flood = [raw(two, "127.0.0.2") for _ in range(HANDSHAKES_PER_SOURCE_MAX + 100)]
    settled(two, 100)
    for sock in flood:
        sock.close()
    settled(two, HANDSHAKES_PER_SOURCE_MAX + 100)
    time.sleep(0.3)
    assert len(os.listdir("/proc/self/fd")) == before


def test_stopping_ends_handshakes_too(two: TwoKmes) -> None:
    with raw(two, "127.0.0.2") as sock:
        time.sleep(0.1)
        assert is_open(sock)
        began_s = time.monotonic()
        two.thread.do(two.servers["a"].stop())
        assert time.monotonic() - began_s < HANDSHAKE_S - 0.5
        sock.settimeout(5)
        with suppress(ConnectionResetError):
            assert sock.recv(1) == b""


class ShortOfDescriptors(socket.socket):
    """A listener in a process that has too many files open, for a while."""

    left = 2

    def accept(self) -> tuple[socket.socket, Any]:
        if self.left:
            self.left -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


def test_a_process_without_descriptors_pauses_and_takes_connections_again(
    factory: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[ShortOfDescriptors] = []

    def listener(family: int, address: Any) -> socket.socket:
        plain = entrance_listener(family, address)
        made.append(ShortOfDescriptors(fileno=plain.detach()))
        return made[-1]

    entrance_listener = entrance._listener
    monkeypatch.setattr(entrance, "_listener", listener)
    monkeypatch.setattr(entrance, "NO_DESCRIPTORS_PAUSE_S", 0.2)
    two = TwoKmes(tmp_path, factory=factory)
    try:
        began_s = time.monotonic()
        with tls(two, "127.0.0.2") as line:
            assert is_served(line)
        assert 0.3 < time.monotonic() - began_s < 3
        assert caplog.text.count("no connection can be taken") == 2, "paused, not spun"
    finally:
        two.close()


def test_an_address_that_fails_leaves_no_listener_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    def listener(family: int, address: Any) -> socket.socket:
        if made:
            raise OSError(errno.EADDRINUSE, "taken")
        made.append(entrance_listener(family, address))
        return made[0]

    async def opened() -> None:
        loop = asyncio.get_running_loop()
        rows = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{index}", 0)) for index in (1, 2)]
        monkeypatch.setattr(loop, "getaddrinfo", lambda *_args, **_more: asyncio.sleep(0, rows))
        door = entrance.Entrance(make_protocol=asyncio.Protocol, context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        with pytest.raises(OSError, match="taken"):
            await door.open("two", 0)

    entrance_listener = entrance._listener
    monkeypatch.setattr(entrance, "_listener", listener)
    asyncio.run(opened())
    assert made[0].fileno() == -1


def test_the_one_that_goes_is_the_oldest_of_the_source_that_holds_the_most() -> None:
    """Against a plain list, with the seed in the failure."""
    for seed in range(50):
        chance, book = random.Random(seed), Handshakes[int](in_all=12, per_source=5)
        plain: list[tuple[str, int]] = []
        for entry in range(400):
            if plain and chance.random() < 0.3:
                gone = chance.choice(plain)
                plain.remove(gone)
                book.leave(*gone)
                book.leave(*gone)
                continue
            source = f"s{min(chance.randrange(8), chance.randrange(8))}"
            plain.append((source, entry))
            found = book.enter(source, entry)
            held: defaultdict[str, list[int]] = defaultdict(list)
            for name, number in plain:
                held[name].append(number)
            if len(held[source]) > 5:
                assert found == ("source", held[source][0]), seed
            elif len(plain) > 12:
                assert found is not None, seed
                most = max(len(numbers) for numbers in held.values())
                assert found in [("all", numbers[0]) for numbers in held.values() if len(numbers) == most], seed
            else:
                assert found is None, seed
            plain = [row for row in plain if found is None or row[1] != found[1]]
            assert sorted(book.entries()) == sorted(number for _, number in plain), seed
            assert len(book) == len(plain), seed


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_a_source_is_an_ipv4_address_or_a_network_of_ipv6(address: str, source: str) -> None:
    assert source_of(address) == source


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_an_ipv6_door_counts_too(factory: Any, tmp_path: Path) -> None:
    made = TwoKmes(tmp_path, factory=factory)
    try:
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", 0))
            except OSError:
                pytest.skip("no IPv6 loopback address")
        second = server.HttpsServer(
            lambda *_: None,  # type: ignore[arg-type, return-value]
            host="::1",
            port=0,
            context=made.servers["a"]._context,
        )
        made.thread.do(second.start())
        with ExitStack() as stack:
            for _ in range(HANDSHAKES_PER_SOURCE_MAX + 3):
                stack.enter_context(socket.create_connection(("::1", second.port), 5))
            end_s = time.monotonic() + 5
            while second.turned_away["source"] < 3 and time.monotonic() < end_s:
                time.sleep(0.01)
            assert second.turned_away == {"source": 3}
        made.thread.do(second.stop())
    finally:
        made.close()
