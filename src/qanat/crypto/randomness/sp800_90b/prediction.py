"""How a predictor fared, and what that allows to claim: SP 800-90B, 6.3.7 steps 4 to 7, and the same in 6.3.8 to 10."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.crypto.randomness.sp800_90b.counting import bisected, entropy_bits, share_max


@dataclass(frozen=True, slots=True)
class Prediction:
    """How a predictor fared.

    Attributes:
        hits: Correct guesses, the standard's C.
        run: One more than the longest run of them, the standard's r.
        trials: Places at which it could guess, the standard's N.
        alphabet: Number of values.
    """

    hits: int
    run: int
    trials: int
    alphabet: int

    @property
    def min_entropy_bits(self) -> float:
        overall = share_max(self.hits / self.trials, self.trials) if self.hits else 1 - 0.01 ** (1 / self.trials)
        least = max(overall, 1 / self.alphabet)
        # The run's bound is searched only where it could matter: above the other, such a run is no surprise.
        if least < 1 and _p_without_run(least, self.run, self.trials) > 0.99:
            least = bisected(lambda p: _p_without_run(p, self.run, self.trials), 0.99, least, 1.0)
        return entropy_bits(least)


def prediction(is_hit: NDArray[np.bool_], alphabet: int) -> Prediction:
    """From whether each guess hit."""
    misses = np.flatnonzero(np.concatenate(([True], ~is_hit, [True])))
    return Prediction(int(is_hit.sum()), int(np.diff(misses).max()), len(is_hit), alphabet)


def _p_without_run(p: float, run: int, trials: int) -> float:
    """Probability that no run of that length occurs: Feller, vol. 1, XIII.7, as in 6.3.7 step 5."""
    q = 1 - p
    x = 1.0
    for _ in range(60):  # ten in the standard; more only settle the last bits
        x = 1 + q * p**run * x ** (run + 1)
        if x > 2:
            return 0.0  # the iteration runs away only where runs are all but certain
    if q == 0:
        return 0.0
    return (1 - p * x) / ((run + 1 - run * x) * q) * math.exp(-(trials + 1) * math.log(x))
