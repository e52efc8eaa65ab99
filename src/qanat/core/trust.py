"""Whose a relay node is, and what a pair of sites asks of the nodes between: how many paths, how many shares, whose."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PATHS_MAX = 7  # shares of one block: the target tries C(7, 4) = 35 choices at worst


class Trust(StrEnum):
    """Who answers for a site, in the network owner's judgement. It is a label: no mathematics stands behind it."""

    OWN = "own"  # run by the network's owner
    PARTNER = "partner"  # run by somebody bound by contract
    LEASED = "leased"  # run by a provider, in a place that others enter
    UNTRUSTED = "untrusted"  # nothing is relayed through it


RELAYING = (Trust.OWN, Trust.PARTNER, Trust.LEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRule:
    """What keys for one pair of sites must be relayed by.

    Attributes:
        paths: Node-disjoint paths to use, where there are so many.
        threshold: Shares that give the key back; nodes on fewer paths than that learn nothing together. 1: the key
            itself travels, over one path, and every node on it sees it.
        through: Labels that nodes between may have.

    Raises:
        ValueError: see ``problem``.
    """

    paths: int = 1
    threshold: int = 1
    through: frozenset[Trust] = frozenset(RELAYING)

    def __post_init__(self) -> None:
        if (wrong := rule_problem(self.paths, self.threshold)) is not None:
            raise ValueError(wrong)

    @property
    def is_shared(self) -> bool:
        return self.threshold > 1


def rule_problem(paths: int, threshold: int) -> str | None:
    """Why such numbers promise less than they say; None when they are good.

    Example:
        >>> rule_problem(3, 2), rule_problem(2, 3)
        (None, '3 shares are needed, but only 2 paths are used')
    """
    if threshold < 1 or paths > PATHS_MAX:
        return f"{threshold} of {paths} paths: at least 1 share, at most {PATHS_MAX} paths"
    if threshold > paths:
        return f"{threshold} shares are needed, but only {paths} paths are used"
    if paths > 2 * threshold - 1:
        # The paths that stay silent count as known to others: with fewer of them than shares needed, the label of a
        # key holds however few came; and with fewer liars than honest paths, a liar can be named.
        return (
            f"{paths} paths with {threshold} shares needed: at most {2 * threshold - 1} paths, or those that stay "
            f"silent could know the key between them; need {paths // 2 + 1} shares, or use fewer paths"
        )
    return None
