"""The operating system's random bytes, in a file of its own: KMEs draw from it and load no numerics."""

from __future__ import annotations

import os
from threading import Lock

from qanat.crypto.randomness.health import HealthTestedEntropy

# The standard's 2**-20 is for raw sources, whose alarm restarts them: at one megabyte a second it would end a process
# every few seconds. 2**-80 per byte and test is one false alarm in 10**10 years.
ALARM_LOG2 = -80


class _Kernel:
    def random_bytes(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)


class SystemEntropy:
    """The live network's Entropy port: kernel bytes behind health tests (2 us for 32 bytes, 3 ms for 125 kB)."""

    def __init__(self) -> None:
        self._tested = HealthTestedEntropy(_Kernel(), min_entropy_bits=8, alpha_log2=ALARM_LOG2)
        self._lock = Lock()

    def random_bytes(self, size_bytes: int) -> bytes:
        """Bytes that passed.

        Raises:
            EntropyFailed: the kernel's generator has visibly broken.
        """
        with self._lock:
            return self._tested.random_bytes(size_bytes)
