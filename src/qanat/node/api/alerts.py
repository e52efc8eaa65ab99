"""A failed handshake that tells the client why.

asyncio and uvloop close the connection when a handshake fails, before OpenSSL's alert ("certificate expired",
"unknown CA") has left the buffer: the client only sees an empty answer. Here the failure is reported one step
later, so that the loop writes the alert first.
"""

from __future__ import annotations

import ssl

# A client that speaks plain HTTP would not understand an alert.
_NOT_TLS = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER"}


class AlertingObject(ssl.SSLObject):
    """Set as ``SSLContext.sslobject_class``."""

    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if error.reason in _NOT_TLS:
                raise
            self._failed = error
            # The loop now writes what is pending and waits for the client, which hangs up on the alert. One that
            # does not is ended by its next byte or by the handshake's time limit.
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert goes out first") from None
