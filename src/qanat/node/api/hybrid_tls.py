"""TLS by the OpenSSL that comes with ``cryptography``, for Python whose own is too old for X25519MLKEM768.

asyncio and uvloop ask a context for an object that turns bytes into bytes (``wrap_bio``) and do all the rest: buffers,
back-pressure, time limits, half-close. ``HybridContext`` gives them one made by pyOpenSSL. Nothing else changes, so
everything that is tested of the servers is tested of this too. Where ``ssl`` has OpenSSL 3.5 or newer it is not used.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from OpenSSL import SSL, crypto

ResultT = TypeVar("ResultT")
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # TLS 1.2 with forward secrecy only; 1.3 has its own list
CHUNK_BYTES = 65_536
RECORD_HEAD_BYTES = 5  # RFC 8446, 5.1: type, version, and in the last two bytes the length of what follows
_NOT_TLS = ("http request", "https proxy request", "wrong version number", "packet length too long")


class HybridObject:
    """What ``ssl.SSLObject`` is, as far as asyncio and uvloop use it."""

    def __init__(
        self, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, is_required: bool
    ) -> None:
        self._connection, self._incoming, self._outgoing = connection, incoming, outgoing
        self._is_required = is_required
        self._failed: ssl.SSLError | None = None
        self._head, self._missing_bytes = b"", 0  # of the record that is being fed

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            self._call(self._connection.do_handshake)
        except (ssl.SSLWantReadError, ssl.SSLEOFError):
            raise
        except ssl.SSLError as error:
            if any(words in str(error) for words in _NOT_TLS):
                raise  # a client that speaks plain HTTP would not understand an alert
            self._failed = error
            # As in ``alerts.py``: the loop writes the alert first, then the failure is told.
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert goes out first") from None
        if self._is_required and not self.is_hybrid:
            raise ssl.SSLError(
                ssl.SSL_ERROR_SSL, f"key exchange {self.group()} is not post-quantum; it is required here"
            )

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        try:
            data = self._call(self._connection.recv, size)
        except ssl.SSLZeroReturnError:
            data = b""
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return self._call(self._connection.send, bytes(data[:CHUNK_BYTES]))

    def unwrap(self) -> None:
        if not self._call(self._connection.shutdown):
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the peer has not closed yet")

    def pending(self) -> int:
        return self._connection.pending()

    def getpeercert(self, binary_form: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in ssl.SSLObject
        found = self._connection.get_peer_certificate()
        if found is None:
            return None
        if binary_form:
            return crypto.dump_certificate(crypto.FILETYPE_ASN1, found)
        certificate = found.to_cryptography()
        ends = certificate.not_valid_after_utc
        return {"notAfter": f"{ends:%b %d %H:%M:%S %Y} GMT", "serialNumber": f"{certificate.serial_number:X}"}

    def cipher(self) -> tuple[str | None, str | None, int | None]:
        connection = self._connection
        return connection.get_cipher_name(), connection.get_cipher_version(), connection.get_cipher_bits()

    def compression(self) -> None:
        return None

    def selected_alpn_protocol(self) -> None:
        return None

    def version(self) -> str:
        return self._connection.get_protocol_version_name()

    def group(self) -> str:
        """The key exchange in use, as OpenSSL names it."""
        return self._connection.get_group_name() or "unknown"

    @property
    def is_hybrid(self) -> bool:
        return "MLKEM" in self.group().upper()

    def _call(self, operation: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """One step, fed record by record as it asks for more, and what it wants to send after it.

        What it does not ask for stays in ``incoming``: loops look there to see whether there is more to read.
        """
        try:
            while True:
                try:
                    return operation(*arguments)
                except SSL.WantReadError:
                    if not self._feed():
                        raise
        except SSL.WantReadError:
            if self._incoming.eof:
                raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the peer closed without saying so") from None
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more bytes are needed") from None
        except SSL.ZeroReturnError:
            raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "the peer has closed") from None
        except SSL.SysCallError:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the peer closed without saying so") from None
        except SSL.Error as error:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, _words(error)) from None
        finally:
            self._drain()

    def _feed(self) -> bool:
        """Give the connection the next bytes of one record; False when none are here."""
        if not self._missing_bytes:
            self._head += self._incoming.read(RECORD_HEAD_BYTES - len(self._head))
            if len(self._head) < RECORD_HEAD_BYTES:
                return False
            self._connection.bio_write(self._head)
            self._missing_bytes, self._head = int.from_bytes(self._head[3:]), b""
            return True
        data = self._incoming.read(self._missing_bytes)
        if not data:
            return False
        self._connection.bio_write(data)
        self._missing_bytes -= len(data)
        return True

    def _drain(self) -> None:
        while True:
            try:
                self._outgoing.write(self._connection.bio_read(CHUNK_BYTES))
            except (SSL.WantReadError, SSL.Error):
                return


class HybridContext(ssl.SSLContext):
    """A server's or client's context; make it by ``hybrid_context``."""

    _inner: SSL.Context
    _is_required: bool

    def wrap_bio(self, incoming: Any, outgoing: Any, server_side: bool = False, *_: Any, **__: Any) -> Any:  # noqa: FBT001, FBT002
        connection = SSL.Connection(self._inner, None)
        if server_side:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        return HybridObject(connection, incoming, outgoing, is_required=self._is_required)


def hybrid_context(
    *, certfile: Path, keyfile: Path, cafile: Path, is_required: bool, is_server: bool = True, is_tls13: bool = False
) -> ssl.SSLContext:
    """TLS 1.2 or higher in which both ends show certificates of this CA; hybrid key exchange where the peer can.

    Args:
        is_required: Close every connection whose key exchange is not hybrid.
        is_server: A client's context checks the CA only: who the server is, its caller reads from the certificate.
        is_tls13: Nothing older than TLS 1.3.

    Raises:
        ssl.SSLError, OSError: a file cannot be used.
    """
    inner = SSL.Context(SSL.TLS_SERVER_METHOD if is_server else SSL.TLS_CLIENT_METHOD)
    inner.set_min_proto_version(SSL.TLS1_3_VERSION if is_tls13 else SSL.TLS1_2_VERSION)
    inner.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    inner.set_cipher_list(CIPHERS)
    inner.set_session_id(b"qanat")
    for path in (cafile, certfile, keyfile):
        path.read_bytes()  # an OSError that names the file
    try:
        inner.load_verify_locations(str(cafile))
        inner.use_certificate_chain_file(str(certfile))
        inner.use_privatekey_file(str(keyfile))
        inner.check_privatekey()
    except SSL.Error as error:
        raise ssl.SSLError(ssl.SSL_ERROR_SSL, _words(error)) from None
    store = inner.get_cert_store()
    if store is not None:
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    inner.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *found: bool(found[-1]))
    context = HybridContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context._inner, context._is_required = inner, is_required
    return context


def _words(error: SSL.Error) -> str:
    """OpenSSL's reason: ``certificate verify failed``."""
    rows = error.args[0] if error.args else []
    return "; ".join(str(row[-1]) for row in rows) if isinstance(rows, list) and rows else "TLS failed"
