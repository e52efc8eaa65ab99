"""Wegman-Carter authentication: messages signed with secret bits that are spent, secure without assumption.

One tag covers the transcript of a whole batch; a tag per message would cost more key than it protects.
The tag is Poly1305 with a fresh 32-byte key each: 16 bytes choose the polynomial's
point, 16 mask its value. Both come from the secret pool, never from a cipher, and are used once. Sources:
Wegman and Carter, J. Comput. Syst. Sci. 22, 265 (1981); Bernstein, FSE 2005, theorem 3.3.
"""

from __future__ import annotations

from collections import deque

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.poly1305 import Poly1305

from qanat.core.errors import AuthenticationFailed, LocalProtocolError, QanatError, SecretExhausted
from qanat.core.provenance import Authentication
from qanat.core.secret import SecretBits

AUTH_KEY_BYTES = 32
AUTH_TAG_BYTES = 16
BATCH_BYTES_MAX = 2**30  # what one key may vouch for: forgery_bound of it is 2**-77; an honest key block says a few MB


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


class BatchTooLong(QanatError):
    """More was said than one authentication key may vouch for. The batch is given up; nothing of it becomes key."""


class AuthenticationPool:
    """Secret bits for authentication: first in, first out, each spent once.

    Both ends start from the same secret and take and put in the same order, so that they always take the same bits.
    Ledger: ``available_bits + spent_bits`` is the initial secret plus ``returned_bits``. What is put in from fresh key
    is secret but for that key's epsilon, which stays beside it: whoever authenticates with it inherits it.

    Args:
        initial: What the two ends begin with; whole bytes.
        authentication: Where that comes from. It goes into the provenance of every key made with this pool.
        algorithms: What it rests on, where it is no pre-shared secret.

    Attributes:
        spent_bits: Taken so far.
        returned_bits: Put in since the start, from fresh key.
    """

    __slots__ = ("_data", "_epsilons", "algorithms", "authentication", "returned_bits", "spent_bits")

    def __init__(
        self, initial: SecretBits, *, authentication: Authentication, algorithms: tuple[str, ...] = ()
    ) -> None:
        self.authentication = authentication
        self.algorithms = algorithms
        self._data = bytearray()
        self._epsilons: deque[tuple[int, float]] = deque()  # of the bytes in order: how many, and their epsilon
        self.spent_bits = 0
        self.returned_bits = 0
        self._append(initial, 0.0)

    @property
    def available_bits(self) -> int:
        return 8 * len(self._data)

    def epsilon_of_next(self, size_bytes: int) -> float:
        """Probability, at most, that somebody else knows something of the oldest bytes: of all that they came from."""
        total, left = 0.0, size_bytes
        for held_bytes, epsilon in self._epsilons:
            if left <= 0:
                break
            total, left = total + epsilon, left - held_bytes
        return min(1.0, total)

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
        self._forget_epsilons(size_bytes)
        return taken

    def put(self, secret: SecretBits, *, epsilon: float) -> None:
        """Append fresh secret bits, a copy of them, with the failure probability of the key they are part of."""
        self._append(secret, epsilon)
        self.returned_bits += secret.size_bits

    def _append(self, secret: SecretBits, epsilon: float) -> None:
        if secret.size_bits % 8:
            raise LocalProtocolError(f"{secret.size_bits} bits are not whole bytes; the pool counts bytes")
        self._data += secret.reveal()  # the pool is their owner from here on
        if secret.size_bytes:
            self._epsilons.append((secret.size_bytes, epsilon))

    def _forget_epsilons(self, size_bytes: int) -> None:
        while size_bytes:
            held_bytes, epsilon = self._epsilons.popleft()
            if held_bytes > size_bytes:
                self._epsilons.appendleft((held_bytes - size_bytes, epsilon))
            size_bytes -= min(size_bytes, held_bytes)

    def __repr__(self) -> str:
        return f"<AuthenticationPool: {self.available_bits} bits left, {self.spent_bits} spent>"


class BatchAuthenticator:
    """The tag of one batch of bytes under a key that is used once.

    It takes ownership of the key: finishing wipes it, and a wiped key is refused, so that one
    ``SecretBits`` cannot serve two batches.

    Raises:
        LocalProtocolError: the key has another size or was spent already; or a second ``tag`` or
            ``verify``, or ``update`` after it.
        BatchTooLong: above ``BATCH_BYTES_MAX``; the key is wiped.
    """

    __slots__ = ("_is_finished", "_key", "_size_bytes", "_state")

    def __init__(self, key: SecretBits) -> None:
        if key.size_bits != 8 * AUTH_KEY_BYTES:
            raise LocalProtocolError(f"an authentication key has {8 * AUTH_KEY_BYTES} bits, not {key.size_bits}")
        if key == SecretBits(bytes(AUTH_KEY_BYTES)):
            raise LocalProtocolError("this authentication key was wiped: it has been spent before")
        self._key = key
        self._state = Poly1305(key.reveal())  # the primitive needs the bytes
        self._is_finished = False
        self._size_bytes = 0

    def update(self, data: bytes) -> None:
        """The next bytes of the batch. How they are cut into calls does not matter, their order does."""
        self._check_open()
        self._size_bytes += len(data)
        if self._size_bytes > BATCH_BYTES_MAX:
            self._finish()
            raise BatchTooLong(f"{self._size_bytes} bytes under one authentication key; at most {BATCH_BYTES_MAX}")
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
