"""One TLS connection to a KME, kept alive, whose failures are sentences. Blocks; the other shell is ``pool.py``."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress

from qanat.sae.failures import failed_start, lost_answer
from qanat.sae.http import Answer, AnswerReader
from qanat.sae.tls import check_is_kme, kme_id_of

RECEIVE_BYTES = 65_536


class KmeConnection:
    """Not for several threads at once; each takes its own."""

    def __init__(
        self, *, host: str, port: int, context: ssl.SSLContext, timeout_s: float, connect_s: float | None = None
    ) -> None:
        self.host, self.port = host, port
        self._context, self._timeout_s = context, timeout_s
        self._connect_s = timeout_s if connect_s is None else connect_s
        self._sock: ssl.SSLSocket | None = None

    @property
    def address(self) -> str:
        return address_of(self.host, self.port)

    def open(self) -> bool:
        """Be connected. True when the connection had served before.

        Raises:
            KmeUnreachable, KmeNotTrusted, OurCertificateRefused
        """
        if self._is_usable():
            return True
        self.close()
        try:
            raw = socket.create_connection((self.host, self.port), self._connect_s)
        except OSError as error:
            raise failed_start(self.address, error, self._connect_s) from None
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock = self._context.wrap_socket(raw, server_hostname=self.host)
            check_is_kme(self._sock.getpeercert(), self.address)
        except OSError as error:
            raw.close()
            raise failed_start(self.address, error, self._connect_s) from None
        except BaseException:
            self.close()
            raise
        return False

    def exchange(self, request: bytes) -> Answer:
        """Send one request over the open connection and read its answer.

        Raises:
            AnswerLost, OurCertificateRefused, KmeSpokeNonsense: the connection is closed then.
        """
        assert self._sock is not None
        try:
            answer = self._sent_and_read(request)
        except (OSError, EOFError) as error:
            reason = error if isinstance(error, TimeoutError) else self._alert() or error
            self.close()
            raise lost_answer(self.address, reason, self._timeout_s) from None
        except BaseException:
            self.close()  # a half-read answer must not be taken for the next one's
            raise
        if answer.is_last:
            self.close()
        return answer

    def _sent_and_read(self, request: bytes) -> Answer:
        assert self._sock is not None
        end_s = time.monotonic() + self._timeout_s
        self._sock.settimeout(self._timeout_s)
        self._sock.sendall(request)
        reader = AnswerReader(self.address)
        while True:
            self._sock.settimeout(max(0.001, end_s - time.monotonic()))
            data = self._sock.recv(RECEIVE_BYTES)
            if not data:
                raise EOFError
            if (answer := reader.feed(data)) is not None:
                return answer

    def kme_id(self) -> str | None:
        """Who the KME is by its verified certificate; connects if need be. None: not one of qanat's."""
        self.open()
        assert self._sock is not None
        return kme_id_of(self._sock.getpeercert())

    def close(self) -> None:
        if self._sock is not None:
            with suppress(OSError):
                self._sock.close()
            self._sock = None

    def _is_usable(self) -> bool:
        """False when there is none, or the KME has closed it: an idle connection has nothing to read."""
        if self._sock is None:
            return False
        readable, _, _ = select.select([self._sock], [], [], 0)
        return not readable

    def _alert(self) -> ssl.SSLError | None:
        """The TLS alert that a KME sent before it closed. In TLS 1.3 it refuses our certificate only after our
        side of the handshake is done, so the news may come while we are writing."""
        if self._sock is None:
            return None
        try:
            self._sock.settimeout(0.5)
            self._sock.recv(1)
        except ssl.SSLError as error:
            return error
        except OSError:
            return None
        return None


def address_of(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"
