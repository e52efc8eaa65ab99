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
RECORD_BYTES_MAX = (
    16_384  # of plain text (RFC 8446, 5.1): one read gives no more, and pyOpenSSL makes room for all asked
)
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
            self._drain()
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
        if not self._connection.pending() and not self._feed():
            raise self._nothing_to_read()  # asking OpenSSL in vain costs more than reading
        try:
            data = self._call(self._connection.recv, min(size, RECORD_BYTES_MAX))
        except ssl.SSLZeroReturnError:
            data = b""
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        size = self._call(self._connection.send, bytes(data[:CHUNK_BYTES]))
        self._drain()
        return size

    def unwrap(self) -> None:
        is_closed = self._call(self._connection.shutdown)
        self._drain()
        if not is_closed:
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
        """One step, fed record by record as it asks for more.

        What it does not ask for stays in ``incoming``: loops look there to see whether there is more to read. What a
        step that failed has to say (an alert) is in ``outgoing`` then; after one that succeeded the caller looks.
        """
        try:
            while True:
                try:
                    return operation(*arguments)
                except SSL.WantReadError:
                    if not self._feed():
                        raise
        except SSL.Error as error:
            self._drain()
            raise self._as_ssl_error(error) from None

    def _as_ssl_error(self, error: SSL.Error) -> ssl.SSLError:
        match error:
            case SSL.WantReadError():
                return self._nothing_to_read()
            case SSL.ZeroReturnError():
                return ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "the peer has closed")
            case SSL.SysCallError():
                return _broken_off()
        return ssl.SSLError(ssl.SSL_ERROR_SSL, _words(error))

    def _nothing_to_read(self) -> ssl.SSLError:
        if self._incoming.eof:
            return _broken_off()
        return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more bytes are needed")

    def _feed(self) -> bool:
        """Give the connection what is here of one record; False when nothing is."""
        head = b""
        if not self._missing_bytes:
            self._head += self._incoming.read(RECORD_HEAD_BYTES - len(self._head))
            if len(self._head) < RECORD_HEAD_BYTES:
                return False
            self._missing_bytes, head, self._head = int.from_bytes(self._head[3:]), self._head, b""
        data = self._incoming.read(self._missing_bytes)
        self._missing_bytes -= len(data)
        if head or data:
            self._connection.bio_write(head + data)
        return bool(head or data)

    def _drain(self) -> None:
        """Hand on what the connection wants to send. A KeyUpdate that a read asks for may wait for the next write."""
        is_more = True
        while is_more:
            try:
                data = self._connection.bio_read(CHUNK_BYTES)
            except SSL.Error:  # nothing there
                return
            self._outgoing.write(data)
            is_more = len(data) == CHUNK_BYTES


def _broken_off() -> ssl.SSLError:
    return ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the peer closed without saying so")


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
