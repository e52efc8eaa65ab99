"""A seeded stand-in for the operating system's randomness. Only ``sim`` may have one."""

from __future__ import annotations

from qanat.core.streams import Streams


class SimulatedEntropy:
    """Satisfies ``core.ports.Entropy`` from a seed: a run can be repeated, and its keys are worth nothing.

    Example:
        >>> first, second = (SimulatedEntropy(Streams(seed=1), "a") for _ in range(2))
        >>> first.random_bytes(4) == second.random_bytes(4)
        True
    """

    def __init__(self, streams: Streams, name: str) -> None:
        self._generator = streams.get(f"entropy/{name}")

    def random_bytes(self, size_bytes: int) -> bytes:
        return self._generator.bytes(size_bytes)
