"""Wegman-Carter authentication: messages signed with secret bits that are spent, secure without assumption.

One tag covers the transcript of a whole batch; a tag per message would cost more key than it protects.
The tag is Poly1305 with a fresh 32-byte key each: 16 bytes choose the polynomial's
point, 16 mask its value. Both come from the secret pool, never from a cipher, and are used once. Sources:
Wegman and Carter, J. Comput. Syst. Sci. 22, 265 (1981); Bernstein, FSE 2005, theorem 3.3.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.core.errors import AuthenticationFailed, LocalProtocolError, SecretExhausted
from qanat.core.secret import SecretBits

AUTH_KEY_BYTES = 32
AUTH_TAG_BYTES = 16


def forgery_bound(size_bytes: int) -> float:
    """Probability, at most, that someone without the key alters or invents a batch unnoticed.

    8 ceil(L / 16) / 2**106 for messages of at most L bytes, per attempt, whatever the computing power.

    Example:
        >>> forgery_bound(1_000_000) < 1e-25
        True
    """
    if size_bytes < 0:
        raise ValueError(f"a message of {size_bytes} bytes")
    return float(min(1.0, 8 * max(1, -(-size_bytes // 16)) * 2.0**-106))


class AuthenticationPool:
    """Secret bits for authentication: first in, first out, each spent once.

    Both ends start from the same pre-shared secret and take and put in the same order, so that they
    always take the same bits. Ledger: ``available_bits + spent_bits`` is the initial secret plus
    ``returned_bits``.

    Attributes:
        spent_bits: Taken so far.
        returned_bits: Put in since the start, from fresh key.
    """

    __slots__ = ("_data", "returned_bits", "spent_bits")

    def __init__(self, initial: SecretBits) -> None:
        self._data = bytearray()
        self.spent_bits = 0
        self.returned_bits = 0
        self._append(initial)

    @property
    def available_bits(self) -> int:
        return 8 * len(self._data)

    def take(self, size_bytes: int) -> SecretBits:
        """The oldest bytes; the pool forgets them.

        Raises:
            SecretExhausted: fewer are left. Nothing is taken.
        """
        if size_bytes < 0:
            raise LocalProtocolError(f"asked the authentication pool for {size_bytes} bytes")
        if size_bytes > len(self._data):
            raise SecretExhausted(f"authentication needs {8 * size_bytes} bits, {self.available_bits} are left")
        taken = SecretBits(self._data[:size_bytes])
        self._data[:size_bytes] = bytes(size_bytes)
        del self._data[:size_bytes]
        self.spent_bits += taken.size_bits
        return taken

    def put(self, secret: SecretBits) -> None:
        """Append fresh secret bits, a copy of them. Whole bytes only."""
        self._append(secret)
        self.returned_bits += secret.size_bits

    def _append(self, secret: SecretBits) -> None:
        if secret.size_bits % 8:
            raise LocalProtocolError(f"{secret.size_bits} bits are not whole bytes; the pool counts bytes")
        self._data += secret.reveal()  # the pool is their owner from here on

    def __repr__(self) -> str:
        return f"<AuthenticationPool: {self.available_bits} bits left, {self.spent_bits} spent>"


class BatchAuthenticator:
    """The tag of one batch of bytes under a key that is used once.

    It takes ownership of the key: finishing wipes it, and a wiped key is refused, so that one
    ``SecretBits`` cannot serve two batches.

    Raises:
        LocalProtocolError: the key has another size or was spent already; or a second ``tag`` or
            ``verify``, or ``update`` after it.
    """

    __slots__ = ("_is_finished", "_key", "_state")

    def __init__(self, key: SecretBits) -> None:
        if key.size_bits != 8 * AUTH_KEY_BYTES:
            raise LocalProtocolError(f"an authentication key has {8 * AUTH_KEY_BYTES} bits, not {key.size_bits}")
        if key == SecretBits(bytes(AUTH_KEY_BYTES)):
            raise LocalProtocolError("this authentication key was wiped: it has been spent before")
        self._key = key
        self._state = Poly1305(key.reveal())  # the primitive needs the bytes
        self._is_finished = False

    def update(self, data: bytes) -> None:
        """The next bytes of the batch. How they are cut into calls does not matter, their order does."""
        self._check_open()
        self._state.update(data)

    def tag(self) -> bytes:
        """16 bytes to send after the batch. Ends this authenticator."""
        self._finish()
        return self._state.finalize()

    def verify(self, tag: bytes) -> None:
        """Returns when the peer's tag fits the batch. Ends this authenticator either way.

        Raises:
            AuthenticationFailed: it does not.
        """
        self._finish()
        try:
            self._state.verify(tag)
        except InvalidSignature:
            raise AuthenticationFailed("the batch's tag does not fit what was received") from None

    def _finish(self) -> None:
        self._check_open()
        self._is_finished = True
        self._key.wipe()

    def _check_open(self) -> None:
        if self._is_finished:
            raise LocalProtocolError("this authenticator has ended; every batch needs a fresh key")
