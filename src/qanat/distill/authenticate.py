"""Authentication: one Wegman-Carter tag per direction over everything said about a key block.

Each pair of tags takes a pair of 32-byte keys from the pool, used once. Several key blocks are open at once, and
what is said about them interleaves as the wire pleases; so a pair is bound only when a tag is about to be shown. The
transmitter shows its tags in the order of key-block numbers, and its messages arrive in the order in which it sent
them. It takes a pair when it sends a tag and puts new secret back when it sends a release; the receiver
does the same when it hears them. Both pools therefore go through the same steps, whatever the interleaving. A key
block that is given up has shown no tag and takes no pair: a long attack does not eat the pool. A tag that
does not fit ends the session, and the pair with it.

Keys age: a pair that came from an earlier key block is secret but for that key block's epsilon, which counts in the key
block that it authenticates, and so on. A chain that has become too long ends the session; the next one begins from a
fresh start secret (docs/decisions/0046).
"""

from __future__ import annotations

from qanat.core.errors import LocalProtocolError, QanatError
from qanat.core.provenance import Authentication
from qanat.core.records import Role
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import (
    AUTH_KEY_BYTES,
    BATCH_BYTES_MAX,
    AuthenticationPool,
    BatchAuthenticator,
    BatchTooLong,
    forgery_bound,
)

PAIR_BYTES = 2 * AUTH_KEY_BYTES
RETURNED_BYTES = PAIR_BYTES  # put back from each new key, before anything else is taken from it


class TagKeysWorn(QanatError):
    """The keys that authenticate this link's key blocks have come to the end of their life: each rests on key blocks
    before it, and their failure probabilities add up. A new session begins from a fresh secret by itself."""


class TagKeys:
    """The one-time keys of tags, pair by pair.

    Args:
        epsilon_max: A pair is not used when somebody may know it with more than this probability.

    Attributes:
        authentication, algorithms: What all of them rest on.
    """

    def __init__(self, pool: AuthenticationPool, *, epsilon_max: float) -> None:
        self._pool = pool
        self._epsilon_max = epsilon_max
        self.authentication: Authentication = pool.authentication
        self.algorithms = pool.algorithms

    @property
    def can_pay(self) -> bool:
        """Whether a pair is left."""
        return self._pool.available_bits >= 8 * PAIR_BYTES

    def pair(self) -> tuple[tuple[SecretBits, SecretBits], float]:
        """The next pair, transmitter's tag first, and its epsilon.

        Raises:
            SecretExhausted: the pool has less than a pair left.
            TagKeysWorn: see ``epsilon_max``.
        """
        epsilon = self._pool.epsilon_of_next(PAIR_BYTES)
        if epsilon > self._epsilon_max:
            raise TagKeysWorn(f"tag keys with epsilon {epsilon:.1e}; they serve up to {self._epsilon_max:.1e}")
        both = self._pool.take(PAIR_BYTES)
        pair = (both.take(0, AUTH_KEY_BYTES), both.take(AUTH_KEY_BYTES, AUTH_KEY_BYTES))
        both.wipe()
        return pair, epsilon

    def put_back(self, secret: SecretBits, *, epsilon: float) -> None:
        """Part of a new key, with that key's epsilon."""
        self._pool.put(secret, epsilon=epsilon)


class Transcript:
    """Both directions of one key block's conversation, in the order both ends agree on.

    Each message counts with its length, so that no byte can move between two of them. It is kept until its keys are
    bound: no universal hash can begin before its key is known.

    Attributes:
        size_bytes: So far; never above ``BATCH_BYTES_MAX``.
        epsilon_keys: Of the pair of keys, once bound.
    """

    def __init__(self, header: bytes) -> None:
        self._said: list[bytes] | None = []
        self._hashes: dict[Role, BatchAuthenticator] = {}
        self.size_bytes = 0
        self.epsilon_keys = 0.0
        self.add(header)

    def add(self, message: bytes) -> None:
        """One more message.

        Raises:
            BatchTooLong: more than one tag may vouch for.
        """
        if self._said is None:
            raise LocalProtocolError("the conversation has been tagged already")
        if self.size_bytes + 8 + len(message) > BATCH_BYTES_MAX:
            raise BatchTooLong(f"more than {BATCH_BYTES_MAX} bytes were said about one key block")
        self._said += (len(message).to_bytes(8), message)
        self.size_bytes += 8 + len(message)

    def bind(self, keys: TagKeys) -> None:
        """The last word is said: take the pair of keys, and forget the words.

        Raises:
            SecretExhausted: the pool cannot pay.
            TagKeysWorn: its keys are too old.
        """
        if self._said is None:
            raise LocalProtocolError("the conversation has its keys already")
        pair, self.epsilon_keys = keys.pair()
        self._hashes = {role: BatchAuthenticator(key) for role, key in zip(Role, pair, strict=True)}
        for part in self._said:
            for running in self._hashes.values():
                running.update(part)
        self._said = None

    def tag(self, own: Role) -> bytes:
        """This end's tag over all that was said."""
        return self._bound(own).tag()

    def verify(self, peer: Role, tag: bytes) -> None:
        """Returns when the peer's tag fits.

        Raises:
            AuthenticationFailed: somebody changed something on the way, or the pools differ.
        """
        self._bound(peer).verify(tag)

    def forget(self) -> None:
        """The key block has ended."""
        self._said = None

    def epsilon(self) -> float:
        """Probability, at most, that a change went unnoticed in either direction."""
        return min(1.0, 2 * forgery_bound(self.size_bytes))

    def _bound(self, role: Role) -> BatchAuthenticator:
        if role not in self._hashes:
            raise LocalProtocolError("the conversation has no keys yet")
        return self._hashes[role]
