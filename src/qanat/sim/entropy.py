"""A seeded stand-in for the operating system's randomness. Only ``sim`` may have one."""

from __future__ import annotations

from qanat.core.streams import Streams

DRAW_BYTES = 65_536


class SimulatedEntropy:
    """Satisfies ``core.ports.Entropy`` from a seed: a run can be repeated, and its keys are worth nothing.

    Example:
        >>> first, second = (SimulatedEntropy(Streams(seed=1), "a") for _ in range(2))
        >>> first.random_bytes(4) == second.random_bytes(4)
        True
    """

    def __init__(self, streams: Streams, name: str) -> None:
        self._generator = streams.get(f"entropy/{name}")
        self._ready = b""
        self._used = 0

    def random_bytes(self, size_bytes: int) -> bytes:
        start = self._used
        if start + size_bytes > len(self._ready):
            # A draw costs 20 us whatever its size, and a key ID needs 16 bytes: draw ahead.
            self._ready = self._ready[start:] + self._generator.bytes(max(size_bytes, DRAW_BYTES))
            start = 0
        self._used = start + size_bytes
        return self._ready[start : self._used]
