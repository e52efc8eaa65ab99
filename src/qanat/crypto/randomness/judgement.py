"""Both offline suites on one sequence of bits, and what they find together. Loads numpy and scipy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.crypto.randomness.sp800_22.suite import TESTS, Verdict, verdicts
from qanat.crypto.randomness.sp800_90b.suite import ESTIMATORS, Estimate, estimates

ALPHA = 0.01  # SP 800-22, 1.1.5
STEPS_COUNT = len(TESTS) + len(ESTIMATORS)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the tests of SP 800-22 and the estimators of SP 800-90B said. Passing proves nothing."""

    tested: list[Verdict]
    estimated: list[Estimate]

    @property
    def p_values(self) -> dict[str, float]:
        return {one.name: one.p_value for one in self.tested if one.p_value is not None}

    @property
    def p_value_min(self) -> float:
        """Bonferroni: however the p-values hang together, one of sound bits is lower with probability ALPHA at most."""
        return ALPHA / max(1, len(self.p_values))

    @property
    def failed(self) -> list[str]:
        """Names of p-values that are lower."""
        return [name for name, value in self.p_values.items() if value < self.p_value_min]

    @property
    def least(self) -> Estimate:
        """Of the estimates: the one that counts. The most common value answers whatever the length."""
        return min(
            (one for one in self.estimated if one.min_entropy_bits is not None),
            key=lambda one: one.min_entropy_bits or 0.0,
        )


def judgement(bits: NDArray[np.uint8], progress: Callable[[str], None] = lambda _name: None) -> Judgement:
    """A million bits take five CPU seconds.

    Args:
        bits: One bit per element, at least two.
        progress: Told the name of each of ``STEPS_COUNT`` steps before it runs.

    Example:
        >>> judgement(np.zeros(200, np.uint8)).failed[0]
        'frequency'
    """
    return Judgement(verdicts(bits, progress), estimates(bits, progress))
