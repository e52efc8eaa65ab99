"""The two kinds of keys that our certificates hold and sign with: ECDSA P-256, and ML-DSA-65 (FIPS 204, RFC 9881).

A CA and its leaves are of one kind: a chain is as strong as its weakest signature, and who verifies one kind need not
know the other.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, mldsa

from qanat.core.ports import Entropy

KeyKind = Literal["ecdsa-p256", "ml-dsa-65"]
KEY_KINDS: Final[tuple[KeyKind, ...]] = get_args(KeyKind)
SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | mldsa.MLDSA65PrivateKey

MLDSA65_SEED_BYTES: Final = 32  # FIPS 204, algorithm 1: xi
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-5


def make_key(kind: KeyKind, entropy: Entropy | None) -> SigningKey:
    """A new key; without an ``Entropy`` the library's own generator draws."""
    if kind == "ml-dsa-65":
        if entropy is None:
            return mldsa.MLDSA65PrivateKey.generate()
        return mldsa.MLDSA65PrivateKey.from_seed_bytes(entropy.random_bytes(MLDSA65_SEED_BYTES))
    if entropy is None:
        return ec.generate_private_key(ec.SECP256R1())
    # FIPS 186-5, A.2.1: 64 bits more than the order has, so that the remainder is even to 2**-64.
    secret = int.from_bytes(entropy.random_bytes(40)) % (_P256_ORDER - 1) + 1
    return ec.derive_private_key(secret, ec.SECP256R1())


def key_kind(public: object) -> str:
    """What a public key is: one of ``KEY_KINDS``, a stronger one of the same families, or "other"."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        return {"secp256r1": "ecdsa-p256", "secp384r1": "ecdsa-p384"}.get(public.curve.name, "other")
    if isinstance(public, mldsa.MLDSA65PublicKey):
        return "ml-dsa-65"
    return "ml-dsa-87" if isinstance(public, mldsa.MLDSA87PublicKey) else "other"


def certificate_kind(certificate: x509.Certificate) -> str:
    """What key a certificate holds; "other" too where the library does not know its algorithm."""
    try:
        return key_kind(certificate.public_key())
    except (UnsupportedAlgorithm, ValueError):
        return "other"


def sign(builder: x509.CertificateBuilder, signer: SigningKey) -> x509.Certificate:
    if isinstance(signer, mldsa.MLDSA65PrivateKey):
        return builder.sign(signer, None)
    # Deterministic ECDSA (RFC 6979): a weak generator cannot give the CA's key away through a nonce.
    return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)


def sign_list(builder: x509.CertificateRevocationListBuilder, signer: SigningKey) -> x509.CertificateRevocationList:
    return builder.sign(signer, None if isinstance(signer, mldsa.MLDSA65PrivateKey) else hashes.SHA256())


def key_from_pem(pem: bytes) -> Any:
    """A private key of any kind, unencrypted. Raises: ValueError, TypeError."""
    return serialization.load_pem_private_key(pem, password=None)


def pem_from_key(key: SigningKey) -> bytes:
    """PKCS #8. An ML-DSA key is written as its seed alone, which RFC 9881 recommends."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
