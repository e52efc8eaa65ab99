"""Named random streams for models and tests. Keys never come from here: see ``ports.Entropy``."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Streams:
    """A family of independent streams; each is named, so that adding one changes no other's luck.

    Example:
        >>> Streams(seed=7).seed_bytes("quantum/a-b") == Streams(seed=7).seed_bytes("quantum/a-b")
        True
        >>> Streams(seed=7).seed_bytes("quantum/a-b") == Streams(seed=7).seed_bytes("quantum/a-c")
        False
    """

    seed: int

    def seed_bytes(self, name: str, size_bytes: int = 16) -> bytes:
        """Bytes fixed by the seed and the name (SHA-256 in counter mode of the name)."""
        digest = b""
        counter = 0
        while len(digest) < size_bytes:
            digest += hashlib.sha256(f"qanat-stream/{self.seed}/{counter}/{name}".encode()).digest()
            counter += 1
        return digest[:size_bytes]

    def get(self, name: str) -> np.random.Generator:
        """A numpy generator of this name (Philox), always from its start."""
        import numpy as np  # noqa: PLC0415 - core must import without numpy

        return np.random.Generator(np.random.Philox(int.from_bytes(self.seed_bytes(name, 32))))

    def child(self, name: str) -> Streams:
        """A family of its own, for a part that names its streams itself."""
        return Streams(seed=int.from_bytes(self.seed_bytes(f"child/{name}", 8)))
