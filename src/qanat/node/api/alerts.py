"""A failed handshake that tells the client why.

asyncio and uvloop close the connection when a handshake fails, before OpenSSL's alert ("certificate expired",
"unknown CA") has left the buffer: the client only sees an empty answer. Here the failure is reported one step
later, so that the loop writes the alert first.
"""

from __future__ import annotations

import ssl

from cryptography import x509

from qanat.crypto.signing_keys import certificate_kind
from qanat.node.api.handshake_told import Handshake, OnHandshake, refusal

# A client that speaks plain HTTP would not understand an alert.
_NOT_TLS = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "WRONG_VERSION_NUMBER"}


class AlertingObject(ssl.SSLObject):
    """Set a class of ``alerting`` as ``SSLContext.sslobject_class``."""

    _failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self._failed is not None:
            raise self._failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLEOFError:
            raise
        except ssl.SSLError as error:
            self._tell(refusal(error, None))
            if error.reason in _NOT_TLS:
                raise
            self._failed = error
            # The loop now writes what is pending and waits for the client, which hangs up on the alert. One that
            # does not is ended by its next byte or by the handshake's time limit.
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert goes out first") from None
        else:
            self._tell(handshake_of(self))

    def _tell(self, handshake: Handshake) -> None:
        """Say how it ended; nobody listens here."""


def alerting(on_handshake: OnHandshake | None) -> type[AlertingObject]:
    """Objects that tell how each handshake ended."""

    class Told(AlertingObject):
        def _tell(self, handshake: Handshake) -> None:
            if on_handshake is not None:
                on_handshake(handshake)

    return Told


def handshake_of(made: ssl.SSLObject) -> Handshake:
    """How a finished handshake came out. Python's ``ssl`` tells the group from 3.15 on."""
    der = made.getpeercert(binary_form=True)
    kind = certificate_kind(x509.load_der_x509_certificate(der)) if der else "none"
    group = getattr(made, "group", lambda: None)()
    return Handshake(group=group or "unknown", certificate=kind, version=made.version() or "")
