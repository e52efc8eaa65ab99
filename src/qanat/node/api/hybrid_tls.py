"""TLS of a KME by the OpenSSL of ``cryptography``, where Python's own is too old for X25519MLKEM768 or ML-DSA.

asyncio and uvloop ask a context for an object that turns bytes into bytes (``wrap_bio``) and do all the rest: buffers,
back-pressure, time limits, half-close. ``HybridContext`` gives them one made by pyOpenSSL. Nothing else changes, so
everything that is tested of the servers is tested of this too. Where ``ssl`` has OpenSSL 3.5 or newer it is used only
where hybrid key exchange is required: ``ssl`` cannot tell which was chosen.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from OpenSSL import SSL

from qanat.crypto.signing_keys import certificate_kind
from qanat.crypto.tls_bytes import TlsObject, tls_context
from qanat.node.api.client_hello import FirstWords
from qanat.node.api.handshake_told import NOT_HYBRID, Handshake, OnHandshake, refusal

_NOT_TLS = ("http request", "https proxy request", "wrong version number", "packet length too long")
# RFC 8446, 6.2: "the server requires parameters more secure than those supported by the client". Fatal, in a record.
INSUFFICIENT_SECURITY = bytes([21, 3, 3, 0, 2, 2, 71])


class HybridObject(TlsObject):
    """A ``TlsObject`` that refuses what is not hybrid where it must, says how each handshake ended, and sends its alert
    before the failure is told."""

    def __init__(
        self,
        connection: SSL.Connection,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *,
        is_required: bool,
        is_server: bool = True,
        on_handshake: OnHandshake | None = None,
    ) -> None:
        super().__init__(connection, incoming, outgoing)
        self._is_required, self._on_handshake = is_required, on_handshake
        self._hello = FirstWords() if is_server else None
        self._failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLEOFError):
            raise
        except ssl.SSLError as error:
            self._tell(refusal(error, self._hello.offer if self._hello else None))
            if any(words in str(error) for words in _NOT_TLS):
                raise  # a client that speaks plain HTTP would not understand an alert
            self._failed = error
            # As in ``alerts.py``: the loop writes the alert first, then the failure is told.
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert goes out first") from None
        if self._is_required and not self.is_hybrid:  # a server that we call; a client was told before
            late = not_hybrid(f"{self.group()} was agreed on")
            self._tell(refusal(late, None))
            raise late
        certificate = self.peer_certificate()
        kind = certificate_kind(certificate) if certificate is not None else "none"
        self._tell(Handshake(group=self.group(), certificate=kind, version=self.version()))

    def _tell(self, handshake: Handshake) -> None:
        if self._on_handshake is not None:
            self._on_handshake(handshake)

    def _before_feeding(self, data: bytes) -> None:
        """Refuse a client that offers nothing hybrid before OpenSSL answers it with something else."""
        if self._hello is None or not self._hello.take(data) or not self._is_required:
            return
        offer = self._hello.offer
        if offer is not None and not offer.is_hybrid:
            self._outgoing.write(INSUFFICIENT_SECURITY)
            raise not_hybrid(f"offered: {offer.in_words()}")


def not_hybrid(what: str) -> ssl.SSLError:
    error = ssl.SSLError(ssl.SSL_ERROR_SSL, f"no post-quantum key exchange ({what})")
    error.reason = NOT_HYBRID
    return error


class HybridContext(ssl.SSLContext):
    """A server's or client's context; make it by ``hybrid_context``."""

    _inner: SSL.Context
    _is_required: bool
    _on_handshake: OnHandshake | None = None

    def wrap_bio(self, incoming: Any, outgoing: Any, server_side: bool = False, *_: Any, **__: Any) -> Any:  # noqa: FBT001, FBT002
        connection = SSL.Connection(self._inner, None)
        if server_side:
            connection.set_accept_state()
        else:
            connection.set_connect_state()
        return HybridObject(
            connection,
            incoming,
            outgoing,
            is_required=self._is_required,
            is_server=server_side,
            on_handshake=self._on_handshake,
        )


def hybrid_context(
    *,
    certfile: Path,
    keyfile: Path,
    cafile: Path,
    is_required: bool,
    is_server: bool = True,
    is_tls13: bool = False,
    on_handshake: OnHandshake | None = None,
) -> ssl.SSLContext:
    """TLS 1.2 or higher in which both ends show certificates of this CA; hybrid key exchange where the peer can.

    Args:
        is_required: Refuse every connection whose key exchange is not hybrid.
        is_server: A client's context checks the CA only: who the server is, its caller reads from the certificate.
        is_tls13: Nothing older than TLS 1.3.
        on_handshake: Told how each handshake ended, but for clients that just hang up.

    Raises:
        ssl.SSLError, OSError: a file cannot be used.
    """
    context = HybridContext(ssl.PROTOCOL_TLS_SERVER if is_server else ssl.PROTOCOL_TLS_CLIENT)
    context._inner = tls_context(
        certfile=certfile, keyfile=keyfile, cafile=cafile, is_server=is_server, is_tls13=is_tls13
    )
    context._is_required, context._on_handshake = is_required, on_handshake
    return context
