"""How a TLS handshake ended, in few words of our own: for counters, the audit and the log."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from qanat.node.api.client_hello import Offer

NOT_HYBRID = "not-post-quantum"
# Why a handshake was refused; the label of a metric, so there is no other.
REASONS = {
    NOT_HYBRID: 'the client offers no post-quantum key exchange, and policy.pq_tls is "required"',
    "old-tls": "the client offers no version of TLS that is spoken here",
    "no-ml-dsa": "the client cannot verify our ML-DSA certificate",
    "no-certificate": "the client showed no certificate",
    "expired": "the client's certificate has ended",
    "not-yet-good": "the client's certificate is not good yet",
    "other-ca": "the client's certificate comes from another CA",
    "wrong-certificate": "the client's certificate is not fit for this",
    "refused-by-peer": "the client refused our certificate or our offer",
    "no-agreement": "client and KME have no key exchange, cipher or signature in common",
    "not-tls": "the client does not speak TLS",
    "other": "the handshake failed",
}
NOISE = ("not-tls", "other")  # of scanners and wrong addresses: counted, not written down
# OpenSSL's X509_V_ERR codes.
_BY_CODE = {9: "not-yet-good", 10: "expired", 18: "other-ca", 19: "other-ca", 20: "other-ca", 21: "other-ca"}
# What OpenSSL calls it; the first that is found counts.
_BY_WORDS = (
    ("DID_NOT_RETURN_A_CERTIFICATE", "no-certificate"),
    ("UNSUPPORTED_PROTOCOL", "old-tls"),
    ("VERSION_TOO_LOW", "old-tls"),
    ("ALERT", "refused-by-peer"),
    ("NO_SUITABLE_SIGNATURE", "no-agreement"),
    ("NO_SHARED", "no-agreement"),
    ("NO_SUITABLE_KEY_SHARE", "no-agreement"),
    ("HTTP", "not-tls"),
    ("WRONG_VERSION_NUMBER", "not-tls"),
    ("PACKET_LENGTH_TOO_LONG", "not-tls"),
    ("CERTIFICATE_VERIFY_FAILED", "wrong-certificate"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """One that is over.

    Attributes:
        group: Key exchange, as OpenSSL names it; "unknown" where it does not tell.
        certificate: What key the other end's certificate holds; see ``key_kind``.
        refused: One of ``REASONS``; empty when it succeeded.
        detail: What is known besides, of bounded length.
    """

    group: str = "unknown"
    certificate: str = "none"
    version: str = ""
    refused: str = ""
    detail: str = ""


OnHandshake = Callable[[Handshake], None]


def refusal(error: ssl.SSLError, offer: Offer | None) -> Handshake:
    """What a failed handshake is called."""
    reason = _reason(error)
    if reason == "no-agreement" and offer is not None and not offer.has_mldsa:
        reason = "no-ml-dsa" if "SIGNATURE" in (error.reason or "") else reason
    return Handshake(refused=reason, detail="" if offer is None else f"offered: {offer.in_words()}")


def _reason(error: ssl.SSLError) -> str:
    words = (error.reason or "").upper()
    if words == NOT_HYBRID.upper():
        return NOT_HYBRID
    if isinstance(error, ssl.SSLCertVerificationError):
        return _BY_CODE.get(error.verify_code, "wrong-certificate")
    return next((reason for part, reason in _BY_WORDS if part in words), "other")
