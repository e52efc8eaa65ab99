"""Does the key that a link delivers look broken? Cheap tests on each block, and over the last blocks together.

A finding says that something is wrong in the line from photons to key: a stuck buffer, a wiped array, a seed of zeros.
No finding says nothing: see this room's ``__init__``. Findings name counts, never bits.
"""

from __future__ import annotations

import math
from collections import deque

from qanat.core.secret import SecretBits
from qanat.crypto.randomness.health import HealthTest, cutoffs

# At 1000 blocks a second for a century one false alarm in 10**5 is the sum over all tests: 3e12 * 3 * 2**-60 = 8e-6
# for the balance; 2**-80 per byte for the two others.
ALARM_LOG2 = -60
WINDOW_BLOCKS = 64
_CUTOFFS = cutoffs(8, -80)


def imbalance_max(size_bits: int) -> float:
    """How far the number of ones may lie from half, by Hoeffding: 2 exp(-2 t**2 / n) = 2**ALARM_LOG2.

    Example:
        >>> round(imbalance_max(1_000_000))
        4598
    """
    return math.sqrt(size_bits * (1 - ALARM_LOG2) * math.log(2) / 2)


class KeyHealth:
    """Watches the blocks of one link at one end."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks: deque[tuple[int, int]] = deque(maxlen=WINDOW_BLOCKS)  # (bits, ones)

    def finding(self, secret: SecretBits) -> str | None:
        """What looks broken about this block, or about the last blocks with it; None if nothing does."""
        data = secret.reveal()  # counted here and dropped
        ones = int.from_bytes(data).bit_count()
        self._blocks.append((secret.size_bits, ones))
        fault = HealthTest(_CUTOFFS).fault(data)
        return (
            fault
            or _imbalance(secret.size_bits, ones, "in this block")
            or _imbalance(
                sum(size for size, _ in self._blocks),
                sum(ones for _, ones in self._blocks),
                f"in the last {len(self._blocks)} blocks",
            )
        )


def _imbalance(size_bits: int, ones: int, where: str) -> str | None:
    if abs(ones - size_bits / 2) <= imbalance_max(size_bits):
        return None
    return f"{ones} ones among {size_bits} bits {where}, more than {imbalance_max(size_bits):.0f} from half"
