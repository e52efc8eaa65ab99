"""Authentication: one Wegman-Carter tag per direction over everything said about a key block.

Each tag takes a 32-byte key from the pool, used once. Both ends take the pair for the same key block: the
first that gets as far as a tag, in the order of key blocks. A key block that is given up earlier has shown
no tag, so its pair serves the next one: a long attack does not eat the pool. A tag that does not
fit ends the session, and the pair with it.
"""

from __future__ import annotations

from qanat.core.records import Role
from qanat.core.secret import SecretBits
from qanat.crypto.wegman_carter import AUTH_KEY_BYTES, AuthenticationPool, BatchAuthenticator, forgery_bound

RETURNED_BYTES = 2 * AUTH_KEY_BYTES  # put back from each new key, before anything else is taken from it


class TagKeys:
    """The pair of one-time keys that the next tags will use."""

    def __init__(self, pool: AuthenticationPool) -> None:
        self._pool = pool
        self._pair: tuple[SecretBits, SecretBits] | None = None

    def pair(self) -> tuple[SecretBits, SecretBits]:
        """Copies of the pair, transmitter's tag first. The same until ``spend``.

        Raises:
            SecretExhausted: the pool has less than a pair left.
        """
        if self._pair is None:
            both = self._pool.take(2 * AUTH_KEY_BYTES)
            self._pair = (both.take(0, AUTH_KEY_BYTES), both.take(AUTH_KEY_BYTES, AUTH_KEY_BYTES))
            both.wipe()
        first, second = self._pair
        return first.take(0, AUTH_KEY_BYTES), second.take(0, AUTH_KEY_BYTES)

    def spend(self) -> None:
        """A tag is about to be shown: the pair never serves again."""
        if self._pair is not None:
            for key in self._pair:
                key.wipe()
            self._pair = None

    def put_back(self, secret: SecretBits) -> None:
        self._pool.put(secret)


class Transcript:
    """Both directions of one key block's conversation as a running hash, in the order both ends agree on.

    Each message counts with its length, so that no byte can move between two of them.
    """

    def __init__(self, keys: TagKeys, header: bytes) -> None:
        self._keys = keys
        self._hashes = {role: BatchAuthenticator(key) for role, key in zip(Role, keys.pair(), strict=True)}
        self.size_bytes = 0
        self.add(header)

    def add(self, message: bytes) -> None:
        framed = len(message).to_bytes(8) + message
        self.size_bytes += len(framed)
        for running in self._hashes.values():
            running.update(framed)

    def tag(self, own: Role) -> bytes:
        """This end's tag over all so far."""
        self._keys.spend()
        return self._hashes[own].tag()

    def verify(self, peer: Role, tag: bytes) -> None:
        """Returns when the peer's tag fits.

        Raises:
            AuthenticationFailed: somebody changed something on the way, or the pools differ.
        """
        self._keys.spend()
        self._hashes[peer].verify(tag)

    def epsilon(self) -> float:
        """Probability, at most, that a change went unnoticed in either direction."""
        return min(1.0, 2 * forgery_bound(self.size_bytes))
