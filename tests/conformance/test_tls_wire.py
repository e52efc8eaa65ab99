"""What a client may do to TLS: cut them, stop in the middle, close a half, ask for old things, not read."""

from __future__ import annotations

import asyncio
import json
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from memory_kme import Files, TwoKmes
from OpenSSL import SSL

from qanat.node.api import server
from qanat.node.api.protocol import PIPELINE_MAX
from qanat.node.event_loop import loop_factory

STATUS = b"GET /api/v1/keys/bob/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = STATUS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(loop_factory(), id="uvloop")]
HANDSHAKE_S = 1.5  # a busy machine needs half a second for a handshake byte by byte


@pytest.fixture(scope="module", params=LOOPS)
def factory(request: pytest.FixtureRequest) -> Any:
    """The event loop."""
    return request.param


@pytest.fixture(scope="module", params=["stdlib", "pq"])
def quick(request: pytest.FixtureRequest, factory: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoKmes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "HANDSHAKE_TIMEOUT_S", HANDSHAKE_S)
        made = TwoKmes(tmp_path_factory.mktemp("wire"), factory=factory, tls=request.param)
        made.name = request.param  # type: ignore[attr-defined]
        yield made
        made.close()


@pytest.fixture
def two(quick: TwoKmes) -> TwoKmes:
    quick.refill()
    quick.kmes["a"].delay_s = 0.0
    return quick


def client_context(files: Files, *, version: int = SSL.TLS1_3_VERSION) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.use_certificate_chain_file(str(files.cert))
    context.use_privatekey_file(str(files.key))
    context.load_verify_locations(str(files.ca))
    context.set_verify(SSL.VERIFY_PEER)
    return context


class Line:
    """A client whose TLS is in memory, so that a test decides what of it goes out, and when."""

    def __init__(self, two: TwoKmes, *, version: int = SSL.TLS1_3_VERSION, step: int = 0) -> None:
        self.tls = SSL.Connection(client_context(two.saes["alice"], version=version))
        self.tls.set_connect_state()
        self.raw = socket.create_connection(("127.0.0.1", two.servers["a"].port), 5)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw.settimeout(5)
        self.step = step

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.raw.close()

    def push(self) -> None:
        """What TLS has to say goes out, in pieces of ``step`` bytes."""
        with suppress(SSL.WantReadError):
            while data := self.tls.bio_read(65_536):
                for at in range(0, len(data), self.step or len(data)):
                    self.raw.sendall(data[at : at + (self.step or len(data))])
                    if self.step:
                        time.sleep(0.00002)

    def pull(self) -> None:
        data = self.raw.recv(65_536)
        if not data:
            raise EOFError
        self.tls.bio_write(data)

    def handshake(self) -> Line:
        while True:
            try:
                self.tls.do_handshake()
            except SSL.WantReadError:
                self.push()
                self.pull()
            else:
                self.push()
                return self

    def send(self, data: bytes) -> None:
        while data:
            data = data[self.tls.send(data) :]
        self.push()

    def everything(self) -> bytes:
        """What comes until the server says ``close_notify``."""
        data = b""
        while True:
            try:
                data += self.tls.recv(65_536)
            except SSL.WantReadError:
                self.pull()
            except SSL.ZeroReturnError:
                return data


def status_of(data: bytes) -> int:
    head, _, body = data.partition(b"\r\n\r\n")
    json.loads(body)
    return int(head.split()[1])


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
def test_tls_cut_into_single_bytes_is_the_same_tls(two: TwoKmes, version: int) -> None:
    with Line(two, version=version, step=1) as line:
        line.handshake()
        line.send(LAST)
        assert status_of(line.everything()) == 200


def test_records_of_one_byte_and_two_records_in_one_packet_are_a_request(two: TwoKmes) -> None:
    with Line(two) as line:
        line.handshake()
        for at in range(len(LAST)):
            line.tls.send(LAST[at : at + 1])
        line.push()
        assert status_of(line.everything()) == 200


def test_a_request_that_comes_with_the_last_bytes_of_the_handshake_is_answered(two: TwoKmes) -> None:
    with Line(two) as line:
        try:
            line.tls.do_handshake()
        except SSL.WantReadError:
            line.push()
        while True:
            line.pull()
            with suppress(SSL.WantReadError):
                line.tls.do_handshake()
                break
        line.tls.send(LAST)
        line.push()  # one packet: certificate, signature, finished and the request
        assert status_of(line.everything()) == 200


@pytest.mark.parametrize("size", [0, 1, 3, 5, 100])
def test_a_client_that_stops_in_the_handshake_is_dropped(two: TwoKmes, size: int) -> None:
    with Line(two) as line:
        with suppress(SSL.WantReadError):
            line.tls.do_handshake()
        line.raw.sendall(line.tls.bio_read(65_536)[:size])
        began_s = time.monotonic()
        with suppress(ConnectionResetError):
            while line.raw.recv(1000):
                pass
        assert time.monotonic() - began_s < HANDSHAKE_S + 1


def test_a_client_that_sends_its_handshake_a_byte_now_and_then_gains_no_time(two: TwoKmes) -> None:
    with Line(two) as line:
        with suppress(SSL.WantReadError):
            line.tls.do_handshake()
        hello, began_s = line.tls.bio_read(65_536), time.monotonic()
        with suppress(OSError):
            for at in range(60):
                line.raw.sendall(hello[at : at + 1])
                time.sleep(0.05)
        assert time.monotonic() - began_s < HANDSHAKE_S + 1


def test_a_record_longer_than_tls_allows_ends_the_connection(two: TwoKmes) -> None:
    with Line(two) as line:
        line.handshake()
        with suppress(OSError):
            line.raw.sendall(b"\x17\x03\x03\xff\xff" + b"x" * 65_535)
        with suppress(ConnectionResetError):
            while line.raw.recv(65_536):
                pass
        assert two.kmes["a"].pool.stock == 400


def test_a_forged_record_ends_the_connection_and_takes_no_key(two: TwoKmes) -> None:
    with Line(two) as line:
        line.handshake()
        line.tls.send(STATUS.replace(b"status", b"enc_keys"))
        data = bytearray(line.tls.bio_read(65_536))
        data[-1] ^= 1
        line.raw.sendall(data)
        with pytest.raises((SSL.Error, EOFError, ConnectionResetError)):  # noqa: PT012 - whichever step notices
            line.everything()
    assert two.pool.stock == 400


def test_closing_is_answered_by_closing(two: TwoKmes) -> None:
    with Line(two) as line:
        line.handshake()
        line.send(STATUS)
        line.pull()
        line.tls.shutdown()
        line.push()
        assert line.everything() is not None
        assert select.select([line.raw], [], [], 3)[0]


def test_renegotiation_is_refused(two: TwoKmes) -> None:
    with Line(two, version=SSL.TLS1_2_VERSION) as line:
        line.handshake()
        assert line.tls.renegotiate()
        with pytest.raises((SSL.Error, EOFError, ConnectionResetError)):  # noqa: PT012 - whichever step notices
            line.handshake()
            line.send(LAST)
            line.everything()


@pytest.mark.parametrize("cipher", ["ECDHE-ECDSA-AES128-SHA256", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA"])
def test_tls_1_2_without_forward_secrecy_or_authenticated_encryption_is_refused(two: TwoKmes, cipher: str) -> None:
    files = two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(cipher)
    raw = socket.create_connection(("127.0.0.1", two.servers["a"].port), 5)
    with raw, pytest.raises((ssl.SSLError, ConnectionResetError)):
        context.wrap_socket(raw, server_hostname="localhost")


def test_a_client_without_a_certificate_gets_an_alert_and_no_answer(two: TwoKmes) -> None:
    context = ssl.create_default_context(cafile=two.saes["alice"].ca)
    raw = socket.create_connection(("127.0.0.1", two.servers["a"].port), 5)
    with (  # noqa: PT012 - TLS 1.3 tells it at the first read
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
        context.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        sock.sendall(STATUS)
        sock.recv(1)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_still_the_same_application(two: TwoKmes, version: ssl.TLSVersion) -> None:
    """Either the server makes a new handshake or it remembers the certificate: nobody comes in without."""
    files = two.saes["alice"]
    context = ssl.create_default_context(cafile=files.ca)
    context.load_cert_chain(files.cert, files.key)
    context.minimum_version = context.maximum_version = version
    session = None
    for _ in range(2):
        raw = socket.create_connection(("127.0.0.1", two.servers["a"].port), 5)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as sock:
            sock.sendall(LAST)
            data = b""
            while chunk := sock.recv(65_536):
                data += chunk
            session = sock.session
        assert status_of(data) == 200


def test_a_client_that_never_reads_is_not_served_without_end(two: TwoKmes) -> None:
    """Its answers fill the kernel's buffers and 64 KiB here; then its next request waits."""
    kme, two.pool.stock = two.kmes["a"], 10**6
    with Line(two) as line:
        line.handshake()
        for count in range(1, 2000):  # noqa: B007 - looked at after it; 40 MB of answers
            before = kme.calls
            line.send(STATUS.replace(b"status", b"enc_keys?number=128"))
            end_s = time.monotonic() + 1.0
            while kme.calls == before and time.monotonic() < end_s:
                time.sleep(0.0005)
            if kme.calls == before:
                break
        assert count < 1999


def test_requests_without_end_before_the_first_answer_are_cut_off(two: TwoKmes) -> None:
    two.kmes["a"].delay_s = 0.01
    before = two.kmes["a"].calls
    with Line(two) as line:
        line.handshake()
        line.send(STATUS * 1000)
        answers = line.everything()
    assert two.kmes["a"].calls - before == answers.count(b"HTTP/1.1 200")
    assert 1 <= answers.count(b"HTTP/1.1 200") <= PIPELINE_MAX + 1


def test_several_heads_in_one_packet_are_not_one_long_head(two: TwoKmes) -> None:
    padded = [request.replace(b"\r\n\r\n", b"\r\nX: " + b"a" * 3000 + b"\r\n\r\n") for request in (STATUS, LAST)]
    data = padded[0] * 9 + padded[1]
    with Line(two) as line:
        line.handshake()
        line.send(data[:100])  # the middle of a head
        time.sleep(0.05)
        line.send(data[100:-100])  # to the middle of another
        time.sleep(0.05)
        line.send(data[-100:])
        assert line.everything().count(b"HTTP/1.1 200") == 10
