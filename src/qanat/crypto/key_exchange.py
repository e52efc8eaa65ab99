"""A fresh secret between two ends who hear but do not know each other yet: ML-KEM-1024 (FIPS 203) and X25519 together.

One end offers ephemeral public keys, the other answers. Whoever only listens learns nothing while one of the two
holds: both secrets go into one HKDF, together with all that was said (as in draft-ietf-tls-hybrid-design). Who the
other end is, this does not tell: somebody must sign what was said. Private keys come from ``Entropy``; the randomness
inside ML-KEM's encapsulation is drawn by the library from the operating system.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits

ALGORITHM = "ML-KEM-1024+X25519"
LATTICE_BYTES = 1568  # of ML-KEM-1024, public key and ciphertext alike
CURVE_BYTES = 32
PUBLIC_BYTES = ANSWER_BYTES = LATTICE_BYTES + CURVE_BYTES
LATTICE_SEED_BYTES = 64


class SharedSecret:
    """What both ends computed. It becomes key only together with all that was said."""

    __slots__ = ("_parts",)

    def __init__(self, lattice: bytes, curve: bytes) -> None:
        self._parts: SecretBits | None = SecretBits(lattice + curve)

    def derived(self, transcript: bytes, label: bytes, size_bytes: int) -> SecretBits:
        """The secret for one purpose; the shared parts are wiped, so that it serves once.

        Raises:
            LocalProtocolError: it was derived before.
        """
        if self._parts is None:
            raise LocalProtocolError("this shared secret has served already")
        hkdf = HKDF(SHA512(), length=size_bytes, salt=transcript, info=label)
        secret = SecretBits(hkdf.derive(self._parts.reveal()))  # the primitive needs the bytes
        self.wipe()
        return secret

    def wipe(self) -> None:
        if self._parts is not None:
            self._parts.wipe()
        self._parts = None


class Offer:
    """The end that speaks first. One offer serves one answer."""

    def __init__(self, entropy: Entropy) -> None:
        self._lattice: MLKEM1024PrivateKey | None = MLKEM1024PrivateKey.from_seed_bytes(
            entropy.random_bytes(LATTICE_SEED_BYTES)
        )
        self._curve = X25519PrivateKey.from_private_bytes(entropy.random_bytes(CURVE_BYTES))
        self.public = self._lattice.public_key().public_bytes_raw() + self._curve.public_key().public_bytes_raw()

    def accept(self, answer: bytes) -> SharedSecret:
        """The secret that the answer brings.

        Raises:
            RemoteProtocolError: no honest end answers this.
            LocalProtocolError: there was an answer before.
        """
        if self._lattice is None:
            raise LocalProtocolError("an offer serves one answer")
        lattice, self._lattice = self._lattice, None
        _check_size(answer)
        try:
            return SharedSecret(lattice.decapsulate(answer[:LATTICE_BYTES]), _exchanged(self._curve, answer))
        except ValueError:
            raise RemoteProtocolError("an answer to a key exchange that cannot be") from None


def answered(public: bytes, entropy: Entropy) -> tuple[bytes, SharedSecret]:
    """The answer to an offer, and the secret.

    Raises:
        RemoteProtocolError: no honest end offers this.
    """
    _check_size(public)
    curve = X25519PrivateKey.from_private_bytes(entropy.random_bytes(CURVE_BYTES))
    try:
        secret, cipher = MLKEM1024PublicKey.from_public_bytes(public[:LATTICE_BYTES]).encapsulate()
        shared = SharedSecret(secret, _exchanged(curve, public))
    except ValueError:
        raise RemoteProtocolError("an offer of a key exchange that cannot be") from None
    return cipher + curve.public_key().public_bytes_raw(), shared


def _check_size(data: bytes) -> None:
    if len(data) != PUBLIC_BYTES:
        raise RemoteProtocolError(f"a key exchange with {len(data)} bytes; it has {PUBLIC_BYTES}")


def _exchanged(own: X25519PrivateKey, peer: bytes) -> bytes:
    """Raises: ValueError, where the peer's point would make the secret 0."""
    return own.exchange(X25519PublicKey.from_public_bytes(peer[LATTICE_BYTES:]))
