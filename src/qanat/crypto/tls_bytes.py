"""TLS as bytes in, bytes out, by the OpenSSL that comes with ``cryptography``: it knows X25519MLKEM768 and ML-DSA.

For Python whose own OpenSSL is older than 3.5. It opens nothing and waits for nothing: KMEs hand ``TlsObject`` to
asyncio and uvloop, which ask a context for an object like it (``wrap_bio``); the client of applications feeds it from a
socket.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from OpenSSL import SSL, crypto

from qanat.crypto.signing_keys import certificate_kind, key_from_pem

ResultT = TypeVar("ResultT")
ErrorT = TypeVar("ErrorT", bound=ssl.SSLError)
HAS_HYBRID_GROUPS = ssl.OPENSSL_VERSION_INFO >= (3, 5)  # Python's own: its default groups begin with X25519MLKEM768
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"  # TLS 1.2 with forward secrecy only; 1.3 has its own list
CHUNK_BYTES = 65_536
RECORD_BYTES_MAX = (
    16_384  # of plain text (RFC 8446, 5.1): one read gives no more, and pyOpenSSL makes room for all asked
)
RECORD_HEAD_BYTES = 5  # RFC 8446, 5.1: type, version, and in the last two bytes the length of what follows
X509_V_OK = 0
NO_AUTO_CHAIN = 8  # SSL_MODE_NO_AUTO_CHAIN


class EncryptedKey(ssl.SSLError):
    """A private key is encrypted; OpenSSL would ask for its password on the terminal and wait."""


class TlsObject:
    """What ``ssl.SSLObject`` is, as far as asyncio and uvloop use it.

    Attributes:
        verify_code: OpenSSL's X509_V_ERR of the peer's certificate, when it was refused.
    """

    def __init__(self, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._connection, self._incoming, self._outgoing = connection, incoming, outgoing
        self._head, self._missing_bytes = b"", 0  # of the record that is being fed
        self.verify_code = X509_V_OK
        self._broken: ssl.SSLError | None = None  # what ended it, told again to whoever asks again
        connection.set_app_data(self)

    def do_handshake(self) -> None:
        self._call(self._connection.do_handshake)
        self._drain()

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        if self._broken is None and not self._connection.pending() and not self._feed():
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

    def peer_certificate(self) -> x509.Certificate | None:
        found = self._connection.get_peer_certificate()
        return None if found is None else found.to_cryptography()

    def getpeercert(self, binary_form: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in ssl.SSLObject
        found = self._connection.get_peer_certificate()
        if found is None:
            return None
        if binary_form:
            return crypto.dump_certificate(crypto.FILETYPE_ASN1, found)
        return shown(found.to_cryptography())

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
        if self._broken is not None:
            raise self._broken
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
                return ssl_failure(ssl.SSLZeroReturnError, ssl.SSL_ERROR_ZERO_RETURN, "the peer has closed")
            case SSL.SysCallError():
                return _broken_off()
        self._broken = ssl_error(error, self.verify_code)
        return self._broken

    def _nothing_to_read(self) -> ssl.SSLError:
        if self._incoming.eof:
            return _broken_off()
        return ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more bytes are needed")  # no failure, and often

    @property
    def wanted_bytes(self) -> int:
        """How many bytes of the peer's record are missing: a reader that takes no more leaves the rest alone."""
        return self._missing_bytes or RECORD_HEAD_BYTES - len(self._head)

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
            self._before_feeding(head + data)
            self._connection.bio_write(head + data)
        return bool(head or data)

    def _before_feeding(self, data: bytes) -> None:
        """Whoever wants to see what the peer says first looks here. May raise: ssl.SSLError."""

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


def tls_context(
    *,
    certfile: Path,
    keyfile: Path,
    cafile: Path,
    is_server: bool = True,
    is_tls13: bool = False,
    ciphers: bytes = CIPHERS,
    is_strict: bool = True,
) -> SSL.Context:
    """TLS 1.2 or higher in which both ends show certificates of this CA; hybrid key exchange where the peer can.

    Args:
        is_server: A client's context checks the CA only: who the server is, its caller reads from the certificate.
        is_tls13: Nothing older than TLS 1.3.
        ciphers: For TLS 1.2.
        is_strict: Certificates keep RFC 5280 to the letter, as ours do.

    Raises:
        EncryptedKey: the private key wants a password.
        ssl.SSLError, OSError: a file cannot be used.
    """
    inner = SSL.Context(SSL.TLS_SERVER_METHOD if is_server else SSL.TLS_CLIENT_METHOD)
    inner.set_min_proto_version(SSL.TLS1_3_VERSION if is_tls13 else SSL.TLS1_2_VERSION)
    inner.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    inner.set_cipher_list(ciphers)
    inner.set_session_id(b"qanat")
    # Only what the file holds is sent: whoever verifies has our CA. With it, an ML-DSA server's first flight would
    # have 16 kB and not fit into the 14.6 kB that TCP sends before it waits (RFC 6928).
    inner.set_mode(NO_AUTO_CHAIN)
    for path in (cafile, certfile, keyfile):
        path.read_bytes()  # an OSError that names the file
    _check_is_open(keyfile)
    try:
        inner.load_verify_locations(str(cafile))
        inner.use_certificate_chain_file(str(certfile))
        inner.use_privatekey_file(str(keyfile))
        inner.check_privatekey()
    except SSL.Error as error:
        raise ssl_error(error) from None
    if is_server and kind_in_file(certfile).startswith("ml-dsa"):
        # A ticket holds the client's certificate: two would be 12 kB after each handshake, and nobody resumes.
        inner.set_options(SSL.OP_NO_TICKET)
        inner.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    store = inner.get_cert_store()
    if store is not None and is_strict:
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    inner.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verified)
    return inner


def _check_is_open(keyfile: Path) -> None:
    """Raises: EncryptedKey. Whatever else is wrong with it, OpenSSL says."""
    with suppress(ValueError, UnsupportedAlgorithm):
        try:
            key_from_pem(keyfile.read_bytes())
        except TypeError:
            raise ssl_failure(EncryptedKey, ssl.SSL_ERROR_SSL, "the private key is encrypted") from None


def _verified(connection: SSL.Connection, _shown: crypto.X509, code: int, _depth: int, is_good: int) -> bool:
    """Remember why not; OpenSSL's own judgement stands."""
    found = connection.get_app_data()
    if not is_good and isinstance(found, TlsObject):
        found.verify_code = code
    return bool(is_good)


def ssl_error(error: SSL.Error, verify_code: int = X509_V_OK) -> ssl.SSLError:
    """The same failure as Python's ``ssl`` would raise it: ``reason`` is OpenSSL's, ``CERTIFICATE_VERIFY_FAILED``."""
    rows = error.args[0] if error.args else []
    words = "; ".join(str(row[-1]) for row in rows) if isinstance(rows, list) and rows else "TLS failed"
    if verify_code == X509_V_OK:
        return ssl_failure(ssl.SSLError, ssl.SSL_ERROR_SSL, words)
    refused = ssl_failure(ssl.SSLCertVerificationError, ssl.SSL_ERROR_SSL, words)
    refused.verify_code, refused.verify_message = verify_code, words
    return refused


def ssl_failure(kind: type[ErrorT], code: int, words: str) -> ErrorT:
    """An error of ``ssl``, with the ``reason`` that only those which Python's own OpenSSL raises have by themselves."""
    made = kind(code, words)
    made.reason = words.upper().replace(" ", "_").replace("/", "_")
    return made


def _broken_off() -> ssl.SSLEOFError:
    return ssl_failure(ssl.SSLEOFError, ssl.SSL_ERROR_EOF, "the peer closed without saying so")


def shown(certificate: x509.Certificate) -> dict[str, Any]:
    """As far as ours are concerned, what ``ssl.SSLSocket.getpeercert`` gives."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    return {
        "notAfter": f"{certificate.not_valid_after_utc:%b %d %H:%M:%S %Y} GMT",
        "serialNumber": f"{certificate.serial_number:X}",
        "subjectAltName": tuple(("URI", uri) for uri in uris),
    }


def kind_in_file(certfile: Path) -> str:
    """What key a certificate on the disk holds, as ``key_kind`` names it. Raises: OSError; ValueError: no PEM."""
    return certificate_kind(x509.load_pem_x509_certificate(certfile.read_bytes()))
