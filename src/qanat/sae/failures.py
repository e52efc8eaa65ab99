"""From what the socket says to what a person reads. Both clients share these sentences."""

from __future__ import annotations

import ssl

from qanat.core.errors import QanatError
from qanat.sae.errors import AnswerLost, KmeNotTrusted, KmeUnreachable, OurCertificateRefused

# OpenSSL's X509_V_ERR codes, in words.
_UNTRUSTED = {
    10: "has expired",
    9: "is not valid yet",
    18: "is signed by itself",
    19: "comes from another CA",
    20: "comes from another CA",
    62: "is for another host name",
    64: "is for another address",
}


def failed_start(address: str, error: OSError, timeout_s: float) -> QanatError:
    """Why there is no connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        what = _UNTRUSTED.get(error.verify_code, f"was refused: {error.verify_message}")
        return KmeNotTrusted(f"The certificate of {address} {what}.")
    if isinstance(error, ssl.SSLError):
        unspoken = KmeUnreachable(f"{address} answers, but not with TLS ({error.reason or error}).")
        return _alert(address, error) or unspoken
    if isinstance(error, ConnectionRefusedError):
        return KmeUnreachable(f"Nothing listens on {address}.")
    if isinstance(error, TimeoutError):
        return KmeUnreachable(f"{address} did not answer within {timeout_s:g} s.")
    return KmeUnreachable(f"{address}: {error.strerror or error}.")


def lost_answer(address: str, error: OSError | EOFError, timeout_s: float) -> QanatError:
    """Why a request that went out has no whole answer."""
    if isinstance(error, ssl.SSLError) and (refused := _alert(address, error)) is not None:
        return refused
    if isinstance(error, TimeoutError):
        return AnswerLost(f"{address} did not answer within {timeout_s:g} s.")
    return AnswerLost(f"{address} closed the connection ({type(error).__name__}).")


def _alert(address: str, error: ssl.SSLError) -> QanatError | None:
    """The TLS alert that the KME sent, if it is one."""
    reason = (error.reason or "").upper()
    if "ALERT" not in reason:
        return None
    if "INSUFFICIENT_SECURITY" in reason:
        return KmeUnreachable(
            f"{address} demands post-quantum key exchange (X25519MLKEM768), which this client did not offer; it takes "
            "OpenSSL 3.5, or the package pyopenssl."
        )
    if "EXPIRED" in reason:
        return OurCertificateRefused(f"{address} says that our certificate has expired.")
    if "UNKNOWN_CA" in reason:
        return OurCertificateRefused(f"{address} says that our certificate comes from another CA.")
    if "CERTIFICATE" in reason or "DECRYPT" in reason:
        return OurCertificateRefused(f"{address} refuses our certificate ({reason}).")
    return KmeUnreachable(f"{address} refuses the TLS connection ({reason}).")
