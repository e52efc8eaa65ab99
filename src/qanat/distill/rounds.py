"""What every way of reconciling looks like to a key block: rounds in lockstep, knowing nothing of messages."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Rounds(Protocol):
    """One end of a reconciliation. Both ends run one each and exchange one answer per round.

    In every round each end calls ``next_query`` (which may give b"" when only the other end has something to
    say), sends it, and feeds what the other sent. Both see alike when it is over: ``next_query`` gives None at both.

    Attributes:
        leak_bits: Bits about the reference key disclosed so far, the same at both ends.
        error_count: Errors found so far.
        round_count: Rounds begun.
    """

    leak_bits: int
    error_count: int
    round_count: int

    @property
    def is_hopeless(self) -> bool:
        """Whether to give up. The same at both ends after each round."""

    @property
    def frames(self) -> list[NDArray[np.int64]]:
        """Which key bits each frame holds: what succeeds or fails together, for verification frame by frame."""

    def next_query(self) -> bytes | None: ...

    def feed(self, answer: bytes) -> None: ...

    def corrected(self) -> NDArray[np.uint8]:
        """This end's key as it stands, one bit per element; at the reference end unchanged."""

    def wipe(self) -> None: ...
