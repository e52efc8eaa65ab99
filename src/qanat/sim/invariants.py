"""The seven invariants, by number, and how a broken one is told."""

from __future__ import annotations

from enum import IntEnum

from qanat.core.errors import QanatError


class Invariant(IntEnum):
    EQUAL_BLOCKS = 1
    ONCE_PER_ROLE = 2
    NO_BIT_TWICE = 3
    LEDGER = 4
    CONDEMNED_STAYS = 5
    NOTHING_FORGOTTEN = 6
    HONEST_PROVENANCE = 7

    @property
    def sentence(self) -> str:
        return _SENTENCES[self]


_SENTENCES = {
    Invariant.EQUAL_BLOCKS: "both ends of a key block are equal, or neither end released it",
    Invariant.ONCE_PER_ROLE: "a key reaches each SAE role at most once",
    Invariant.NO_BIT_TWICE: "no key, one-time-pad or tag key bit is used twice",
    Invariant.LEDGER: "bits made = held + delivered + spent + destroyed + quarantined, in every store",
    Invariant.CONDEMNED_STAYS: "no key of a link is released after the alarm that condemned its block was accepted",
    Invariant.NOTHING_FORGOTTEN: "a restart forgets no delivery",
    Invariant.HONEST_PROVENANCE: "no key is handed out with a better provenance than its weakest part",
}


class InvariantBroken(QanatError):
    """The run broke one of the seven invariants that hold whatever fails. This is a defect of an engine (or of the
    checker): run the line above again to see the same step, with `--trace FILE` to see how it came about."""

    def __init__(self, invariant: Invariant, detail: str) -> None:
        super().__init__(f"invariant {invariant.value} ({invariant.sentence}) is broken: {detail}")
        self.invariant = invariant
