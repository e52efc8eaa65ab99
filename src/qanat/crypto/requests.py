"""Certificate requests (PKCS #10), at the machine of whoever makes the key: it never leaves."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from qanat.crypto.signing_keys import key_kind, make_key, pem_from_key


def new_key(like: x509.Certificate | None = None) -> bytes:
    """A private key in PEM, of the kind that this certificate's is; else ECDSA on P-256."""
    public: Any = None if like is None else like.public_key()
    if key_kind(public).startswith("ml-dsa"):
        return pem_from_key(make_key("ml-dsa-65", None))
    curve = public.curve if isinstance(public, ec.EllipticCurvePublicKey) else ec.SECP256R1()
    key = ec.generate_private_key(curve)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def request_for(key_pem: bytes, name: str) -> bytes:
    """A request in PEM, signed by its own key.

    Args:
        name: For people who read the request; who it is for, the CA says.
    """
    key: Any = serialization.load_pem_private_key(key_pem, password=None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    algorithm = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)
    return request.public_bytes(serialization.Encoding.PEM)
