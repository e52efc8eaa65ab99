"""Signatures by which two ends know each other when no secret was carried between them: ML-DSA-87 (FIPS 204).

What it rests on: nobody can forge ML-DSA. That is an assumption about computing power, for as long as a signature is
waited for; what grew under it stays what it is when the scheme falls later (docs/decisions/0045). Computed by
pyca/cryptography; files are PKCS 8 and SubjectPublicKeyInfo in PEM, which other programs read as well.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from qanat.core.errors import AuthenticationFailed, EnvironmentProblem
from qanat.core.ports import Entropy

ALGORITHM = "ML-DSA-87"
SIGNATURE_BYTES = 4627
SEED_BYTES = 32
FINGERPRINT_BYTES = 32


class SignatureRefused(AuthenticationFailed):
    """A signature is not by the identity that we were told to expect, or what it signs was changed on the way.
    Nothing was spent on it. Compare both public identities with `qanat identity show`."""


class IdentityUnreadable(EnvironmentProblem):
    """This is no ML-DSA-87 identity. `qanat identity new FILE` makes one: FILE stays where it is, FILE.pub goes to
    the other end."""


class VerifyingKey:
    """The public half. Whoever holds it can tell whose signature it is."""

    __slots__ = ("_key",)

    def __init__(self, key: MLDSA87PublicKey) -> None:
        self._key = key

    @classmethod
    def from_pem(cls, data: bytes) -> VerifyingKey:
        """Raises: IdentityUnreadable."""
        try:
            key = load_pem_public_key(data)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, MLDSA87PublicKey):
            raise IdentityUnreadable("it holds no public key")
        return cls(key)

    def pem(self) -> bytes:
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the raw public key."""
        return hashlib.sha256(self._key.public_bytes_raw()).digest()

    def verify(self, signature: bytes, message: bytes, context: bytes) -> None:
        """Returns when the signature is by this key's owner, over this message in this context.

        Raises:
            SignatureRefused: it is not.
        """
        try:
            self._key.verify(signature, message, context)
        except InvalidSignature:
            raise SignatureRefused(f"a signature of {len(signature)} bytes does not fit") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyingKey) and hmac.compare_digest(self.fingerprint, other.fingerprint)

    def __hash__(self) -> int:
        return hash(self.fingerprint)


class SigningKey:
    """The private half: whoever holds it can pretend to be this end.

    Example:
        >>> class Zeros:
        ...     def random_bytes(self, size_bytes: int) -> bytes: return bytes(size_bytes)
        >>> alice = SigningKey.drawn(Zeros())
        >>> alice.verifying_key.verify(alice.sign(b"I am here", b"roll call"), b"I am here", b"roll call")
    """

    __slots__ = ("_key",)

    def __init__(self, key: MLDSA87PrivateKey) -> None:
        self._key = key

    @classmethod
    def drawn(cls, entropy: Entropy) -> SigningKey:
        """A new one."""
        return cls(MLDSA87PrivateKey.from_seed_bytes(entropy.random_bytes(SEED_BYTES)))

    @classmethod
    def from_pem(cls, data: bytes) -> SigningKey:
        """Raises: IdentityUnreadable."""
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, MLDSA87PrivateKey):
            raise IdentityUnreadable("it holds no private key, or an encrypted one")
        return cls(key)

    def pem(self) -> bytes:
        """The private key itself, unencrypted: for a file that only its owner can read."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def verifying_key(self) -> VerifyingKey:
        return VerifyingKey(self._key.public_key())

    def sign(self, message: bytes, context: bytes) -> bytes:
        """``SIGNATURE_BYTES``; the context says what the signature is for and serves in no other."""
        return self._key.sign(message, context)

    def __repr__(self) -> str:
        return f"<SigningKey of {self.verifying_key.fingerprint.hex()[:16]}>"
