"""The TLS of pre-shared keys alone: what it offers where, on both event loops, and the parts that are computed."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.bindings.openssl.binding import Binding
from memory_kme import LoopThread
from OpenSSL import SSL
from psk_client import Said, ask

from qanat.core.secret import SecretBits
from qanat.node.api import psk_tls
from qanat.node.api.psk import PSK_BYTES, Psk
from qanat.node.api.psk_tls import ffdhe3072_prime, psk_context
from qanat.node.api.server import HttpsServer
from qanat.node.entropy import SystemEntropy
from qanat.node.event_loop import loop_factory

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="openssl is not installed (apt install openssl)"
)
LOOPS = [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(loop_factory(), id="uvloop")]
PLAIN = ("-tls1_2", "-cipher", "PSK-AES256-GCM-SHA384")
DHE = ("-tls1_2", "-cipher", "DHE-PSK-AES256-GCM-SHA384")
SECRET = SystemEntropy().random_bytes(PSK_BYTES)
PSK = Psk(name="app", serial=-1, secret=SecretBits(SECRET))


async def who(scope: Any, _receive: Any, send: Any) -> None:
    body = f"{scope['extensions']['tls']['role']}/{scope['extensions']['tls']['name']}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


class Door:
    """One server in a loop of its own."""

    def __init__(self, factory: Any, *, is_plain: bool = True, is_pq_required: bool = False) -> None:
        self.thread = LoopThread(factory)
        context = psk_context(
            lambda identity: PSK if identity == "router" else None,
            SystemEntropy(),
            is_plain=is_plain,
            is_pq_required=is_pq_required,
        )
        self.server = HttpsServer(who, host="127.0.0.1", port=0, context=context)
        self.thread.do(self.server.start())

    def ask(self, *options: str, identity: str = "router", key: bytes = SECRET) -> Said:
        return ask(self.server.port, identity, key.hex(), "/", *options)

    def close(self) -> None:
        self.thread.do(self.server.stop())
        self.thread.close()


@pytest.fixture(params=LOOPS)
def factory(request: pytest.FixtureRequest) -> Any:
    """The event loop."""
    return request.param


@pytest.fixture
def doors() -> Iterator[list[Door]]:
    made: list[Door] = []
    yield made
    for door in made:
        door.close()


@needs_openssl
@pytest.mark.parametrize("options", [PLAIN, DHE, ("-tls1_3",)], ids=["PSK", "DHE-PSK", "TLS 1.3"])
def test_who_calls_is_whose_key_was_used(doors: list[Door], factory: Any, options: tuple[str, ...]) -> None:
    doors.append(Door(factory))
    assert "sae/app" in doors[0].ask(*options).output
    assert doors[0].ask(*options, key=bytes(32)).status == 0
    assert doors[0].ask(*options, identity="nobody").status == 0
    assert doors[0].server.turned_away == {"failed": 2}


@needs_openssl
def test_without_plain_psk_a_router_needs_an_ephemeral_exchange(doors: list[Door], factory: Any) -> None:
    doors.append(Door(factory, is_plain=False))
    refused = doors[0].ask(*PLAIN)
    assert (refused.status, refused.alert) == (0, "40")
    assert doors[0].ask(*DHE).status == 200
    assert doors[0].ask("-tls1_3").status == 200


@needs_openssl
def test_tls_1_3_has_an_ephemeral_exchange_also_with_a_router_that_would_do_without(
    doors: list[Door], factory: Any
) -> None:
    doors.append(Door(factory))
    said = doors[0].ask("-tls1_3", "-allow_no_dhe_kex")
    assert (said.status, "Server Temp Key: X25519" in said.output) == (200, True)


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_tls_is_not_spoken(doors: list[Door], factory: Any, version: str) -> None:
    doors.append(Door(factory))
    assert doors[0].ask(version, "-cipher", "ALL:@SECLEVEL=0").status == 0


def callback_of(name: bytes, secret: bytes) -> Any:
    """A client's callback for OpenSSL; keep it while the context lives."""
    ffi = Binding.ffi

    def known(_ssl: Any, _hint: Any, identity: Any, _size: int, psk: Any, _psk_size: int) -> int:
        ffi.memmove(identity, name + b"\0", len(name) + 1)
        ffi.memmove(psk, secret, len(secret))
        return len(secret)

    return ffi.callback("unsigned int (*)(SSL *, char *, char *, unsigned int, unsigned char *, unsigned int)", known)


def hybrid_client(port: int, groups: bytes) -> tuple[str, bytes]:
    """TLS 1.3 with the key, by the OpenSSL of ``cryptography``: the machine's own may be too old for hybrid groups."""
    lib, callback = Binding.lib, callback_of(b"router", SECRET)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    assert lib.SSL_CTX_set1_curves_list(context._context, groups) == 1
    lib.SSL_CTX_set_psk_client_callback(context._context, callback)
    line = SSL.Connection(context, socket.create_connection(("127.0.0.1", port), timeout=10))
    line.setblocking(True)
    line.set_connect_state()
    try:
        line.do_handshake()
        group = line.get_group_name() or ""
        line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while not answer.endswith(b"sae/app"):
            answer += line.recv(65_536)
        return group, answer
    finally:
        line.close()


@needs_openssl
def test_post_quantum_exchange_is_agreed_where_the_client_can_and_required_where_asked(
    doors: list[Door], factory: Any
) -> None:
    doors += [Door(factory), Door(factory, is_pq_required=True)]
    for door in doors:
        group, answer = hybrid_client(door.server.port, b"X25519MLKEM768:X25519")
        assert (group, answer[-7:]) == ("X25519MLKEM768", b"sae/app")
    assert hybrid_client(doors[0].server.port, b"X25519")[0].lower() == "x25519"
    with pytest.raises((SSL.Error, OSError)):
        hybrid_client(doors[1].server.port, b"X25519")
    assert doors[1].ask(*DHE).status == 0


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["1.2", "1.3"])
def test_no_first_message_stops_the_door_or_lets_anybody_in(
    doors: list[Door], factory: Any, version: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """A true ClientHello with an identity in it, changed at random places; the seed is in the failure."""
    doors.append(Door(factory))
    port = doors[0].server.port
    hello = first_message(version)
    for seed in range(200):
        chance, data = random.Random(seed), bytearray(hello)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(5, len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            data = data[: chance.randrange(1, len(data))]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            with suppress(ConnectionResetError):
                while chunk := sock.recv(65_536):
                    answer += chunk
        assert b"HTTP" not in answer, seed
    assert hybrid_client(port, b"X25519")[1].endswith(b"sae/app")
    assert "Traceback" not in capfd.readouterr().err, "a callback failed"


def first_message(version: int) -> bytes:
    callback = callback_of(b"router", SECRET)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    context.set_cipher_list(b"PSK:@SECLEVEL=0")
    Binding.lib.SSL_CTX_set_psk_client_callback(context._context, callback)
    line = SSL.Connection(context)
    line.set_connect_state()
    with suppress(SSL.WantReadError):
        line.do_handshake()
    return line.bio_read(65_536)


def test_what_we_use_of_the_bindings_is_still_there() -> None:
    """Breaks first when ``cryptography`` changes: see node/api/psk_tls.py."""
    lib, ffi = Binding.lib, Binding.ffi
    for name, kind in {
        "SSL_CTX_set_psk_server_callback": "unsigned int(*)(SSL *, char *, unsigned char *, unsigned int)",
        "SSL_CTX_set_psk_find_session_callback": "int(*)(SSL *, unsigned char *, size_t, SSL_SESSION * *)",
    }.items():
        assert kind in str(ffi.typeof(getattr(lib, name)))
    for name in (
        "Cryptography_SSL_SESSION_new",
        "SSL_CIPHER_find",
        "SSL_SESSION_free",
        "SSL_SESSION_set1_master_key",
        "SSL_SESSION_set_cipher",
        "SSL_SESSION_set_protocol_version",
        "SSL_version",
    ):
        assert hasattr(lib, name), name


@needs_openssl
def test_the_group_of_dhe_is_ffdhe3072_of_rfc_7919() -> None:
    shown = subprocess.run(
        ["openssl", "pkeyparam", "-text", "-noout"],
        input=psk_tls._ffdhe3072().encode(),
        capture_output=True,
        check=True,
    )
    assert b"ffdhe3072" in shown.stdout  # openssl knows the group by its prime


def test_the_prime_is_a_safe_one() -> None:
    prime = ffdhe3072_prime()
    assert prime.bit_length() == 3072
    half = (prime - 1) // 2
    assert all(pow(base, number - 1, number) == 1 for number in (prime, half) for base in (3, 5, 7))
    assert pow(2, half, prime) == 1, "2 generates the subgroup of prime order"
    assert math.gcd(prime, math.factorial(1000)) == 1
