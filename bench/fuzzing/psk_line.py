"""A TLS connection by a pre-shared key, from the client's side; Python's ``ssl`` has it only from 3.13 on."""

from __future__ import annotations

import socket
import struct
from functools import lru_cache
from typing import Any

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

_lib, _ffi = Binding.lib, Binding.ffi


@lru_cache(maxsize=64)
def _context(identity: bytes, secret: bytes) -> tuple[SSL.Context, Any]:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(b"ECDHE-PSK-CHACHA20-POLY1305:PSK-AES256-GCM-SHA384")

    def shown(_ssl: Any, _hint: Any, place: Any, place_size: int, key: Any, key_size: int) -> int:
        if len(identity) >= place_size or len(secret) > key_size:
            return 0
        _ffi.memmove(place, identity + b"\0", len(identity) + 1)
        _ffi.memmove(key, secret, len(secret))
        return len(secret)

    kind = "unsigned int (*)(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)"
    callback = _ffi.callback(kind, shown, error=0)
    _lib.SSL_CTX_set_psk_client_callback(context._context, callback)
    return context, callback  # OpenSSL holds no reference to it


class PskLine:
    """What ``ssl.SSLSocket`` is with a certificate.

    Raises:
        ConnectionError: the key is not accepted.
    """

    def __init__(self, port: int, identity: bytes, secret: bytes, limit_s: float = 12) -> None:
        self._plain = socket.create_connection(("127.0.0.1", port), timeout=limit_s)
        self.settimeout(limit_s)
        context, self._kept = _context(identity, secret)
        self._tls = SSL.Connection(context, self._plain)
        self._tls.set_connect_state()
        try:
            self._done(self._tls.do_handshake)
        except BaseException:
            self._plain.close()
            raise

    def settimeout(self, limit_s: float) -> None:
        """By the kernel: a socket that Python limits is one that does not block, which pyOpenSSL cannot wait for."""
        self._plain.setblocking(True)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._plain.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(limit_s), 0))

    def sendall(self, data: bytes) -> None:
        self._done(self._tls.sendall, data)

    def recv(self, size: int) -> bytes:
        return bytes(self._done(self._tls.recv, size))

    def close(self) -> None:
        self._plain.close()

    def _done(self, call: Any, *words: Any) -> Any:
        try:
            return call(*words)
        except SSL.WantReadError:
            raise TimeoutError from None
        except SSL.ZeroReturnError:
            return b""
        except SSL.Error as error:  # SysCallError too
            raise ConnectionError(type(error).__name__) from None
