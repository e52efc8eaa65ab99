"""The client's TLS by the OpenSSL of ``cryptography``, for Python whose own knows neither X25519MLKEM768 nor ML-DSA.

Both shells ask one context: asyncio for an object that turns bytes into bytes, the blocking client for a socket.
"""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from qanat.crypto.tls_bytes import TlsObject, tls_context

ResultT = TypeVar("ResultT")
# As Python's ``ssl`` chooses for TLS 1.2: a KME may be another maker's, and older than ours.
CIPHERS = b"ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
NO_PARTIAL_WILDCARDS = 4  # X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, as ``ssl`` sets it


class HybridContext(ssl.SSLContext):
    """Make it by ``hybrid_context``."""

    _inner: SSL.Context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - as in ssl.SSLContext
        server_hostname: str | bytes | None = None,
        session: Any = None,
    ) -> Any:
        del server_side, session
        connection = SSL.Connection(self._inner, None)
        expect_host(connection, str(server_hostname))
        connection.set_connect_state()
        return TlsObject(connection, incoming, outgoing)

    def wrap_socket(self, sock: socket.socket, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """A socket after its handshake."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        made = HybridSocket(
            sock, self.wrap_bio(incoming, outgoing, server_hostname=server_hostname), incoming, outgoing
        )
        made.do_handshake()
        return made


class HybridSocket:
    """What ``ssl.SSLSocket`` is, as far as our clients use it. Blocking, with a time limit."""

    def __init__(self, raw: socket.socket, tls: TlsObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._raw, self._tls, self._incoming, self._outgoing = raw, tls, incoming, outgoing
        self._timeout_s = raw.gettimeout()
        self._file_count, self._is_closed = 0, False
        self.getpeercert = tls.getpeercert
        self.version, self.group = tls.version, tls.group

    def __enter__(self) -> HybridSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def do_handshake(self) -> None:
        self._step(self._tls.do_handshake)

    def settimeout(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s

    def fileno(self) -> int:
        """Readable when the KME sent something: nothing more than a record's own bytes is ever taken ahead."""
        return self._raw.fileno()

    def recv(self, size: int) -> bytes:
        try:
            return bytes(self._step(lambda: self._tls.read(size)))
        except ssl.SSLEOFError:
            return b""  # as ``ssl`` has it; who reads knows by the length whether the answer is whole

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._step(lambda: self._tls.write(view)) :]  # noqa: B023 - called at once

    def makefile(self, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
        """For ``http.client``, which closes the socket first and reads the rest of an answer then."""
        del mode, buffering
        self._file_count += 1
        return io.BufferedReader(_File(self))

    def close(self) -> None:
        self._is_closed = True
        if not self._file_count:
            self._raw.close()

    def file_closed(self) -> None:
        self._file_count -= 1
        if self._is_closed:
            self.close()

    def _step(self, operation: Callable[[], ResultT]) -> ResultT:
        end_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while True:
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self._flush(end_s)
                self._fill(end_s)
                continue
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush(end_s)  # our alert; the failure is the news, not that it could not be sent
                raise
            self._flush(end_s)
            return result

    def _flush(self, end_s: float | None) -> None:
        if data := self._outgoing.read():
            self._raw.settimeout(_left_s(end_s))
            self._raw.sendall(data)

    def _fill(self, end_s: float | None) -> None:
        self._raw.settimeout(_left_s(end_s))
        if data := self._raw.recv(self._tls.wanted_bytes):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


class _File(io.RawIOBase):
    """What a ``HybridSocket`` receives, as a file."""

    def __init__(self, sock: HybridSocket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._sock.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._sock.file_closed()


def _left_s(end_s: float | None) -> float | None:
    return None if end_s is None else max(0.001, end_s - time.monotonic())  # 0 would mean: do not wait, but fail


def hybrid_context(certfile: Path, keyfile: Path, cafile: Path) -> ssl.SSLContext:
    """A client's context: the KME's certificate and name are checked, ours is shown.

    Raises:
        EncryptedKey: the private key wants a password.
        ssl.SSLError, OSError: a file cannot be used.
    """
    context = HybridContext(ssl.PROTOCOL_TLS_CLIENT)
    context._inner = tls_context(
        certfile=certfile, keyfile=keyfile, cafile=cafile, is_server=False, ciphers=CIPHERS, is_strict=False
    )
    return context


def expect_host(connection: SSL.Connection, host: str) -> None:
    """Let OpenSSL refuse a certificate that is not for this host name or address.

    pyOpenSSL has no name for that, so the bindings are called; ``tests/sae/test_hybrid_client.py`` breaks first when
    they change.

    Raises:
        ssl.SSLError: it does not take the name.
    """
    lib = Binding.lib
    parameters = lib.SSL_get0_param(connection._ssl)
    try:
        packed = ipaddress.ip_address(host.partition("%")[0]).packed
    except ValueError:
        name = host.encode("idna").rstrip(b".")
        lib.X509_VERIFY_PARAM_set_hostflags(parameters, NO_PARTIAL_WILDCARDS)
        is_set = bool(name) and lib.X509_VERIFY_PARAM_set1_host(parameters, name, len(name)) == 1
        connection.set_tlsext_host_name(name)
    else:
        is_set = lib.X509_VERIFY_PARAM_set1_ip(parameters, packed, len(packed)) == 1
    if not is_set:
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, f"{host!r} is no name of a host")
