"""Seeds of privacy amplification: drawn after the photons, public, used once.

The leftover hash lemma adds its epsilon once per block under a seed of that block's own. Whoever hashes two
blocks with one seed must pay for it in the epsilon ledger; here nobody can by accident: a book hands out fresh
seeds at one end, and at the other end admits each only once.
"""

from __future__ import annotations

import hashlib

from qanat.core.errors import LocalProtocolError, RemoteProtocolError
from qanat.core.ports import Entropy
from qanat.crypto.toeplitz import seed_bits

BLOCKS_MAX = 1 << 20  # 16 bytes each: 100 MB of Python objects at most; weeks of blocks in one session


class SeedReused(RemoteProtocolError):
    """The peer sent a privacy-amplification seed that this session has used already. The proof holds for a seed
    of the block's own only; the block gives no key. If it happens again, the peer's random source is broken."""


class SeedBook:
    """The seeds that one session has used, as digests. One book per end and session.

    Attributes:
        used_count: Seeds handed out or admitted so far.
    """

    __slots__ = ("_digests", "_entropy")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self._digests: set[bytes] = set()

    @property
    def used_count(self) -> int:
        return len(self._digests)

    def drawn(self, size_bits: int, out_bits: int) -> bytes:
        """A fresh seed, for this block only, packed. Call it once the block's bits are fixed at both ends.

        Raises:
            SeedReused: our own entropy source has repeated itself.
            LocalProtocolError: the book is full.
        """
        seed = self._entropy.random_bytes((seed_bits(size_bits, out_bits) + 7) // 8)
        self.admit(seed)
        return seed

    def admit(self, seed: bytes) -> None:
        """Note a seed as used.

        Raises:
            SeedReused: it was used before. Seeds below 128 bits pass: chance alone repeats those.
            LocalProtocolError: the book is full; begin another session.
        """
        digest = hashlib.blake2b(seed, digest_size=16).digest()
        if len(seed) >= 16 and digest in self._digests:
            raise SeedReused(f"a seed of {len(seed)} bytes, the same as one of the {self.used_count} before")
        if len(self._digests) >= BLOCKS_MAX:
            raise LocalProtocolError(f"{BLOCKS_MAX} seeds in one session")
        self._digests.add(digest)
