"""TLS in which both ends know each other by a pre-shared key instead of certificates: what routers use for SKIP.

The door has no certificate, so without a key nothing is agreed on. TLS 1.3 always adds an ephemeral exchange
(psk_dhe_ke). In TLS 1.2 ECDHE-PSK and DHE-PSK do; plain PSK does not: whoever learns the key later reads what was
recorded before, so it is offered only where ``is_plain`` says so. An identity that nobody has gets a key that nobody
has, and then fails where a wrong key fails, with the same alert (RFC 4279, section 2, allows it).

OpenSSL's own callbacks are used through the bindings of ``cryptography``: pyOpenSSL has no names for them, and Python's
``ssl`` has one only from 3.13 on. ``tests/conformance/test_skip_psk.py`` breaks first when they change.
"""

from __future__ import annotations

import hmac
import ssl
import tempfile
from functools import cache
from typing import Any
from weakref import WeakValueDictionary

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

from qanat.core.errors import EnvironmentProblem
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.node.api.hybrid_tls import HybridContext, HybridObject
from qanat.node.api.protocol import Peer
from qanat.node.api.psk import PSK_BYTES, Lookup, Psk, is_identity

# OpenSSL has no ECDHE-PSK with AES-GCM (RFC 8442), so its best forward-secret suite of AES-256 is DHE-PSK.
EPHEMERAL = "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305"
NOT_EPHEMERAL = "PSK-AES256-GCM-SHA384"
# RFC 8446, 4.2.11: a pre-shared key without an associated hash is for SHA-256. The first has a key of 256 bits.
TLS13_SUITES = b"TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
_TLS13_SUITE_ID = b"\x13\x01"  # of the session that stands for a key: only its hash counts

_lib, _ffi = Binding.lib, Binding.ffi


class PskObject(HybridObject):
    """One connection; ``peer`` is who holds the key that its handshake used."""

    peer: Peer | None = None

    def do_handshake(self) -> None:
        super().do_handshake()
        if self.peer is None or not self.peer.name:  # only by a bug: there is no certificate, and nobody has a decoy
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the handshake used no known pre-shared key")


class PskContext(HybridContext):
    """A server's context; make it by ``psk_context``."""

    _lookup: Lookup
    _decoy_key: bytes
    _open: WeakValueDictionary[int, PskObject]
    _callbacks: tuple[Any, ...]  # OpenSSL holds no reference to them

    def wrap_bio(self, incoming: Any, outgoing: Any, server_side: bool = False, *_: Any, **__: Any) -> Any:  # noqa: FBT001, FBT002
        connection = SSL.Connection(self._inner, None)
        connection.set_accept_state()
        made = PskObject(connection, incoming, outgoing, is_required=self._is_required)
        self._open[_address(connection._ssl)] = made
        return made

    def _secret_for(self, ssl_pointer: Any, identity: str) -> bytes:
        """The key of an identity, or one that nobody has, by the same steps. Notes whose it is."""
        decoy = Psk(name="", serial=0, secret=SecretBits(hmac.digest(self._decoy_key, identity.encode(), "sha256")))
        used = self._lookup(identity) or decoy
        self._open[_address(ssl_pointer)].peer = Peer("sae", used.name, float("inf"), used.serial)
        return used.secret.reveal()  # OpenSSL's from here

    def _on_tls12(self, ssl_pointer: Any, identity: Any, psk: Any, size_max: int) -> int:
        """``SSL_CTX_set_psk_server_callback``. OpenSSL asks it in TLS 1.3 too, after the other one found nothing."""
        if _lib.SSL_version(ssl_pointer) >= _lib.TLS1_3_VERSION or size_max < PSK_BYTES:
            return 0
        secret = self._secret_for(ssl_pointer, _ffi.string(identity).decode("ascii", "replace"))
        _ffi.memmove(psk, secret, len(secret))
        return len(secret)

    def _on_tls13(self, ssl_pointer: Any, identity: Any, size: int, session: Any) -> int:
        """``SSL_CTX_set_psk_find_session_callback``."""
        session[0] = _ffi.NULL
        text = bytes(_ffi.buffer(identity, size)).decode("ascii", "replace")
        if not is_identity(text):
            return 1  # none of ours: a session ticket that came with the key; the next identity has its turn
        secret = self._secret_for(ssl_pointer, text)
        made = _lib.Cryptography_SSL_SESSION_new()
        suite = _lib.SSL_CIPHER_find(ssl_pointer, _TLS13_SUITE_ID)
        if (
            made == _ffi.NULL
            or _lib.SSL_SESSION_set1_master_key(made, secret, len(secret)) != 1
            or _lib.SSL_SESSION_set_cipher(made, suite) != 1
            or _lib.SSL_SESSION_set_protocol_version(made, _lib.TLS1_3_VERSION) != 1
        ):
            _lib.SSL_SESSION_free(made)
            return 0
        session[0] = made  # OpenSSL's from here
        return 1


def psk_context(lookup: Lookup, entropy: Entropy, *, is_plain: bool, is_pq_required: bool) -> PskContext:
    """TLS 1.2 or higher in which both ends show a key of ``PSK_BYTES``.

    Args:
        lookup: The key of an identity; asked in every handshake.
        is_plain: Offer PSK without an ephemeral exchange in TLS 1.2.
        is_pq_required: Close connections whose key exchange is not hybrid, which leaves TLS 1.3 alone.

    Raises:
        EnvironmentProblem: the OpenSSL of ``cryptography`` was built without pre-shared keys.
    """
    if not (_lib.Cryptography_HAS_PSK and _lib.Cryptography_HAS_PSK_TLSv1_3):
        raise EnvironmentProblem(
            "The OpenSSL of the package cryptography knows no pre-shared keys here. Use the package's own wheel, or "
            'skip_psk = "off" in the network file.'
        )
    inner = SSL.Context(SSL.TLS_SERVER_METHOD)
    inner.set_min_proto_version(SSL.TLS1_2_VERSION)
    inner.set_options(
        SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_TICKET
    )
    inner.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # each connection shows its key: a removed one is out at once
    inner.set_cipher_list((EPHEMERAL + (":" + NOT_EPHEMERAL if is_plain else "")).encode())
    inner.set_tls13_ciphersuites(TLS13_SUITES)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # pyOpenSSL reads parameters from files only
        file.write(_ffdhe3072().encode())
        file.flush()
        inner.load_tmp_dh(file.name)
    context = PskContext(ssl.PROTOCOL_TLS_SERVER)
    context._inner, context._is_required = inner, is_pq_required
    context._lookup, context._decoy_key = lookup, entropy.random_bytes(PSK_BYTES)
    context._open = WeakValueDictionary()
    context._callbacks = (
        _ffi.callback("unsigned int (*)(SSL *, char *, unsigned char *, unsigned int)", context._on_tls12, error=0),
        _ffi.callback("int (*)(SSL *, unsigned char *, size_t, SSL_SESSION **)", context._on_tls13, error=0),
    )
    _lib.SSL_CTX_set_psk_server_callback(inner._context, context._callbacks[0])
    _lib.SSL_CTX_set_psk_find_session_callback(inner._context, context._callbacks[1])
    return context


def _address(pointer: Any) -> int:
    return int(_ffi.cast("uintptr_t", pointer))


def ffdhe3072_prime() -> int:
    """The prime of ffdhe3072, computed from e rather than copied.

    Source: RFC 7919, appendix A.2: 2^3072 - 2^3008 + ([2^2942 * e] + 2625351) * 2^64 - 1.
    """
    guard_bits = 64
    term = total = 1 << (2942 + guard_bits)
    for divisor in range(1, 500):  # 1/500! is below 2**-3700
        term //= divisor
        total += term
    return (1 << 3072) - (1 << 3008) + ((total >> guard_bits) + 2_625_351) * (1 << 64) - 1


@cache
def _ffdhe3072() -> str:
    """PKCS #3 parameters in PEM: SEQUENCE { INTEGER p, INTEGER 2 }."""
    prime = ffdhe3072_prime().to_bytes(385)  # a leading zero: DER integers have a sign
    rows = b"\x02\x82" + len(prime).to_bytes(2) + prime + b"\x02\x01\x02"
    return ssl.DER_cert_to_PEM_cert(b"\x30\x82" + len(rows).to_bytes(2) + rows).replace("CERTIFICATE", "DH PARAMETERS")
