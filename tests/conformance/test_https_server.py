"""The server under bad manners: slow, silent, huge, garbled; and its own start and stop. On both event loops, and
with Python's TLS and that of ``cryptography``."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from memory_kme import STOCK, Files, LoopThread, TwoKmes

from qanat.core.errors import EnvironmentProblem
from qanat.node.api import protocol
from qanat.node.api.app import create_app
from qanat.node.api.server import HttpsServer, serve
from qanat.node.event_loop import loop_factory

TLS = ("stdlib", "pq")
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(loop_factory(), id="uvloop")]
STATUS = b"GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module", params=LOOPS)
def factory(request: pytest.FixtureRequest) -> Any:
    """The event loop."""
    return request.param


@pytest.fixture(scope="module", params=TLS)
def quick(request: pytest.FixtureRequest, factory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoKmes]:
    """Both KMEs with short limits, under both implementations of TLS."""
    made = TwoKmes(
        tmp_path_factory.mktemp("quick"),
        factory=factory,
        tls=request.param,
        request_timeout_s=0.4,
        shutdown_s=0.4,
        answer_timeout_s=0.3,
    )
    yield made
    made.close()


@pytest.fixture
def two(quick: TwoKmes) -> TwoKmes:
    quick.refill()
    for kme in quick.kmes.values():
        kme.broken, kme.delay_s = None, 0.0
    return quick


def tls(two: TwoKmes, files: Files | None = None) -> ssl.SSLSocket:
    files = files or two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    made = context.wrap_socket(
        socket.create_connection(("127.0.0.1", two.servers["a"].port), 5), server_hostname="localhost"
    )
    made.settimeout(5)
    return made


def everything(sock: ssl.SSLSocket) -> bytes:
    """What comes until the server closes."""
    data = b""
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except (ssl.SSLError, ConnectionResetError):
        pass
    return data


def one_answer(sock: ssl.SSLSocket) -> tuple[int, dict[str, object]]:
    """One answer from a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(1)
    size = next(int(line.split(b":")[1]) for line in data.lower().splitlines() if line.startswith(b"content-length"))
    body = b""
    while len(body) < size:
        body += sock.recv(size - len(body))
    return answer_in(data + body)


def answer_in(data: bytes) -> tuple[int, dict[str, object]]:
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"application/json" in head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "start",
    [
        b"G",
        STATUS[:30],
        STATUS[:-2],
        b"POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{",
    ],
    ids=["first byte", "request line", "headers", "body"],
)
def test_a_slow_client_is_told_and_dropped_and_takes_no_key(two: TwoKmes, start: bytes) -> None:
    with tls(two) as sock:
        sock.sendall(start)
        status, error = answer_in(everything(sock))
    assert status == 408
    assert "0.4 s" in str(error["message"])
    assert two.pool.stock == STOCK


def test_a_client_that_sends_a_byte_now_and_then_gains_no_time(two: TwoKmes) -> None:
    began_s = time.monotonic()
    with tls(two) as sock:
        with suppress(OSError):
            while time.monotonic() - began_s < 3:
                sock.sendall(b"a")
                time.sleep(0.05)
        assert time.monotonic() - began_s < 1.5


def test_a_silent_client_is_dropped_without_a_word(two: TwoKmes) -> None:
    with tls(two) as sock:
        assert everything(sock) == b""


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01 nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        STATUS.replace(b"HTTP/1.1", b"HTTP/9.9"),
        STATUS.replace(b"Host: localhost", b"Content-Length: -1"),
        STATUS.replace(b"Host: localhost", b"Content-Length: x"),
        STATUS.replace(b"Host: localhost", b"Content-Length: 5\r\nTransfer-Encoding: chunked"),
        STATUS.replace(b"Host: localhost", b"Content-Length: 5\r\nContent-Length: 6"),
        b"POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"CONNECT bob:443 HTTP/1.1\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_not_http_gets_an_error_object(two: TwoKmes, data: bytes) -> None:
    with tls(two) as sock:
        sock.sendall(data)
        status, error = answer_in(everything(sock))
    assert status in {400, 404, 405}
    assert error["message"]
    assert two.pool.stock == STOCK


@pytest.mark.parametrize("where", ["path", "one header", "many headers"])
def test_a_head_without_end_is_cut_off(two: TwoKmes, where: str) -> None:
    head = {
        "path": b"GET /" + b"a" * 40_000,
        "one header": STATUS[:-2] + b"X: " + b"a" * 40_000,
        "many headers": STATUS[:-2] + b"X: a\r\n" * 20_000,
    }[where]
    with tls(two) as sock:
        sock.sendall(head[:20_000])
        time.sleep(0.05)
        with suppress(OSError):  # the server may have heard enough
            sock.sendall(head[20_000:])
        status, _ = answer_in(everything(sock))
    assert status == 431


def test_nonsense_after_a_request_does_not_overtake_its_answer(two: TwoKmes) -> None:
    two.kmes["a"].delay_s = 0.1
    with tls(two) as sock:
        sock.sendall(STATUS + b"\x00\x01nonsense")
        status, body = answer_in(everything(sock))
    assert (status, body.get("source_KME_ID")) == (200, "a")


def test_two_requests_sent_at_once_are_answered_in_order(two: TwoKmes) -> None:
    with tls(two) as sock:
        sock.sendall(STATUS + STATUS.replace(b"bob", b"nobody").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data = everything(sock)
    first, second = data.index(b"HTTP/1.1 200"), data.index(b"HTTP/1.1 400")
    assert first < second


def test_a_client_that_leaves_in_the_middle_of_its_body_takes_no_key(two: TwoKmes) -> None:
    with tls(two) as sock:
        sock.sendall(b'POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"number": 3}')
    time.sleep(0.1)
    assert two.pool.stock == STOCK


def test_keys_whose_caller_has_hung_up_are_counted_as_burned(two: TwoKmes) -> None:
    two.kmes["a"].delay_s, before = 0.2, two.kmes["a"].burned
    with tls(two) as sock:
        sock.sendall(STATUS.replace(b"status", b"enc_keys?number=3"))
        time.sleep(0.05)
    for _ in range(100):
        if two.kmes["a"].burned > before:
            break
        time.sleep(0.02)
    assert two.kmes["a"].burned == before + 3
    assert two.pool.stock == STOCK - 3


def test_a_client_that_offers_no_tls_gets_nothing(two: TwoKmes) -> None:
    with socket.create_connection(("127.0.0.1", two.servers["a"].port), 5) as sock:
        sock.sendall(STATUS)
        sock.settimeout(5)
        assert b"HTTP" not in sock.recv(1000)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_1_is_not_spoken(two: TwoKmes) -> None:
    files = two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    raw = socket.create_connection(("127.0.0.1", two.servers["a"].port), 5)
    with raw, pytest.raises(ssl.SSLError, match=r"(?i)version"):
        context.wrap_socket(raw, server_hostname="localhost")


def test_a_refused_certificate_is_told_why(two: TwoKmes) -> None:
    stranger = Files(two.stranger.cert, two.stranger.key, two.saes["alice"].ca)
    for files, reason in ((two.expired, "EXPIRED"), (stranger, "UNKNOWN_CA")):
        with tls(two, files) as sock:
            sock.sendall(STATUS)
            with pytest.raises(ssl.SSLError, match=reason):
                sock.recv(1)


def test_a_connection_does_not_outlive_its_certificate(two: TwoKmes, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls(two) as sock:
        sock.sendall(STATUS)
        assert one_answer(sock)[0] == 200
        in_a_century = time.time() + 100 * 365 * 86400
        monkeypatch.setattr(protocol.time, "time", lambda: in_a_century)
        sock.sendall(STATUS)
        assert one_answer(sock)[0] == 401


def fetch(
    two: TwoKmes, path: str = "/api/v1/keys/bob/status"
) -> tuple[int, dict[str, object], http.client.HTTPMessage]:
    files = two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    made = http.client.HTTPSConnection("localhost", two.servers["a"].port, context=context, timeout=5)
    made.request("GET", path)
    answer = made.getresponse()
    body = json.loads(answer.read())
    made.close()
    return answer.status, body, answer.headers


def test_a_gateway_that_breaks_is_a_503_that_gives_nothing_away(two: TwoKmes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    two.kmes["a"].broken = RuntimeError("inner detail")
    status, error, headers = fetch(two)
    assert (status, headers["retry-after"]) == (503, "1")
    assert "inner" not in json.dumps(error)


def test_a_gateway_that_hangs_is_a_503_in_time(two: TwoKmes) -> None:
    two.kmes["a"].delay_s = 30
    began_s = time.monotonic()
    assert fetch(two)[0] == 503
    assert time.monotonic() - began_s < 2


def test_two_clients_keep_their_connections_and_no_key_is_given_twice(two: TwoKmes) -> None:
    keys: list[list[str]] = [[], []]

    def take(index: int) -> None:
        files = two.saes["alice"]
        context = ssl.create_default_context(cafile=files.ca)
        context.load_cert_chain(files.cert, files.key)
        made = http.client.HTTPSConnection("localhost", two.servers["a"].port, context=context, timeout=5)
        made.connect()
        made.auto_open = 0
        for _ in range(60):
            made.request("GET", "/api/v1/keys/bob/enc_keys?number=3")
            keys[index] += [key["key"] for key in json.loads(made.getresponse().read())["keys"]]
        made.close()

    threads = [threading.Thread(target=take, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(found) for found in keys] == [180, 180]
    assert len({*keys[0], *keys[1]}) == 360
    assert two.pool.stock == STOCK - 360


@pytest.mark.parametrize("tls_name", TLS)
def test_stopping_lets_a_request_finish_and_ends_one_that_takes_too_long(
    tmp_path: Path, factory: Any, tls_name: Any
) -> None:
    for delay_s, expected in ((0.2, 200), (30.0, 503)):
        made = TwoKmes(tmp_path / f"{delay_s}", factory=factory, shutdown_s=0.5, answer_timeout_s=60, tls=tls_name)
        made.kmes["a"].delay_s = delay_s
        with tls(made) as idle, tls(made) as busy:
            idle.sendall(STATUS.replace(b"bob", b"no/path"))
            assert one_answer(idle)[0] == 404
            busy.sendall(STATUS)
            while not made.kmes["a"].calls:
                time.sleep(0.01)
            began_s = time.monotonic()
            made.close()
            assert time.monotonic() - began_s < 4
            assert answer_in(everything(busy))[0] == expected
            assert everything(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", made.servers["a"].port), 1)


def test_a_port_in_use_is_named_with_the_remedy(two: TwoKmes) -> None:
    files = two.kme_files["a"]
    taken = two.servers["a"].port
    second = serve(create_app(two.kmes["a"], kme_id="a"), host="127.0.0.1", port=taken, **files.kwargs())
    with pytest.raises(EnvironmentProblem, match=rf"Port {taken} on 127\.0\.0\.1 is in use"):
        two.thread.do(second.start())
    two.thread.do(second.stop())  # stopping what never started is no error
    assert fetch(two)[0] == 200


def test_an_address_that_is_not_ours_is_named(two: TwoKmes) -> None:
    for host, port in (("192.0.2.1", 0), ("no-such-host.invalid", 0), ("127.0.0.1", 70000)):
        server = serve(create_app(two.kmes["a"], kme_id="a"), host=host, port=port, **two.kme_files["a"].kwargs())
        with pytest.raises(EnvironmentProblem, match=host.replace(".", r"\.")):
            two.thread.do(server.start())


def test_unusable_certificate_files_are_named(two: TwoKmes, tmp_path: Path) -> None:
    files = two.kme_files["a"]
    app = create_app(two.kmes["a"], kme_id="a")
    with pytest.raises(EnvironmentProblem, match=r"absent\.pem is not there"):
        serve(app, host="127.0.0.1", port=0, certfile=tmp_path / "absent.pem", keyfile=files.key, cafile=files.ca)
    with pytest.raises(EnvironmentProblem, match="cannot be used for TLS"):
        serve(app, host="127.0.0.1", port=0, certfile=files.cert, keyfile=two.kme_files["b"].key, cafile=files.ca)


def test_one_sae_cannot_keep_the_others_from_being_served(tmp_path: Path) -> None:
    made = TwoKmes(tmp_path / "limited", calls_per_s=3)
    try:
        codes = [fetch(made)[0] for _ in range(5)]
        assert codes[:3] == [200] * 3
        assert 429 in codes
        status, error, headers = fetch(made)
        assert (status, headers["retry-after"]) == (429, "1")
        assert 0 < error["details"][0]["retry_after_ms"] <= 1000  # type: ignore[index]
    finally:
        made.close()


def test_what_we_use_of_uvicorns_insides_is_still_there() -> None:
    """Breaks first when uvicorn changes: see node/api/protocol.py."""
    base = protocol.HttpToolsProtocol
    for name in (
        "connection_made",
        "connection_lost",
        "on_message_begin",
        "on_url",
        "on_header",
        "on_message_complete",
        "send_400_response",
        "shutdown",
    ):
        assert callable(getattr(base, name)), name
    server = HttpsServer(lambda *_: None, host="", port=0, context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # type: ignore[arg-type, return-value]
    thread = LoopThread(asyncio.new_event_loop)
    try:

        async def make() -> protocol.IdentifyingProtocol:
            server._config.load()
            return server._protocol(server._config, server._state, {})

        made = thread.do(make())
    finally:
        thread.close()
    for name in ("transport", "cycle", "headers", "scope", "loop", "timeout_keep_alive"):
        assert hasattr(made, name), name


def test_a_certificate_taken_back_while_the_body_comes_takes_no_key(two: TwoKmes) -> None:
    kind, stock = two.servers["a"]._protocol, two.pool.stock
    body = b'{"number": 1}'
    head = f"POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    before = kind.admits
    with tls(two) as sock:
        sock.sendall(head + body[:5])
        time.sleep(0.2)
        kind.admits = staticmethod(lambda _name, _serial: False)
        try:
            sock.sendall(body[5:])
            assert one_answer(sock)[0] == 401
        finally:
            kind.admits = staticmethod(before)
    assert two.pool.stock == stock


def test_who_is_cut_off_gets_no_key_that_was_on_its_way_and_it_is_counted_as_burned(two: TwoKmes) -> None:
    server = two.servers["a"]
    kind, kme = server._protocol, two.kmes["a"]
    kme.delay_s, burned, calls, before = 0.2, kme.burned, kme.calls, kind.admits
    with tls(two) as leaving:
        leaving.sendall(STATUS.replace(b"status", b"enc_keys"))
        while kme.calls == calls:
            time.sleep(0.005)
        two.thread.loop.call_soon_threadsafe(server.close_refused)  # admitted still: nothing happens
        kind.admits = staticmethod(lambda _name, _serial: False)
        try:
            two.thread.loop.call_soon_threadsafe(server.close_refused)
            assert everything(leaving) == b""
            time.sleep(0.3)
        finally:
            kind.admits = staticmethod(before)
    assert kme.burned == burned + 1


def test_one_application_cannot_hold_all_connections(two: TwoKmes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS_PER_NAME_MAX", 3)
    mine = [tls(two) for _ in range(3)]
    for line in mine:
        assert fetched(line).startswith(b"HTTP/1.1 200")
    one_more = tls(two)
    answer = b""
    while data := one_more.recv(65_536):
        answer += data
    assert answer.startswith(b"HTTP/1.1 429")
    assert b"application/json" in answer
    assert fetched(mine[0]).startswith(b"HTTP/1.1 200")
    for line in mine:
        line.close()


def fetched(line: ssl.SSLSocket) -> bytes:
    """One whole answer."""
    line.sendall(STATUS)
    answer = b""
    while not answer.endswith(b"}"):
        answer += line.recv(65_536)
    return answer
