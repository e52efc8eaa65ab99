"""The operating system's random bytes, in a file of its own: KMEs draw from it and load no numerics."""

from __future__ import annotations

import os


class SystemEntropy:
    """The live network's Entropy port."""

    def random_bytes(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)
