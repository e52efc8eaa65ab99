"""How many events of a kind went unseen, when each was seen with a known probability by a label drawn afterwards.

Of T events each is *seen* with probability q, independently; a of them were. The other v = T - a stay hidden. T is
unknown and fixed before the labels. By Chernoff's bound P(seen <= a) <= exp(-T D(a/T || q)) for a/T <= q, and alike on
the other side, with the relative entropy D in nats. So pairs (a, v) with (a + v) D(a / (a + v) || q) > ln(1/epsilon) on
one side have probability epsilon at most, whatever T is. Both bounds rise with a: a bound on a may stand in its place.

Source: Chernoff, Ann. Math. Stat. 23, 493 (1952); Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), theorem 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_DOUBLINGS_MAX = 200


def most_hidden(seen: float, p_seen: float, epsilon_share: float) -> float:
    """Upper bound on the hidden ones, from an upper bound on those seen.

    Example:
        >>> most_hidden(0.0, 0.5, 2.0**-20) < 20.001
        True
    """
    fair = seen * (1 - p_seen) / p_seen
    high = fair + 1.0
    for _ in range(_DOUBLINGS_MAX):
        if _surprise(seen, high, p_seen) > -math.log(epsilon_share):
            break
        high = fair + 2 * (high - fair)
    return _edge(lambda v: _surprise(seen, v, p_seen) <= -math.log(epsilon_share), fair, high)[1]


def fewest_hidden(seen: float, p_seen: float, epsilon_share: float) -> float:
    """Lower bound on the hidden ones, from a lower bound on those seen; 0 when nothing is known."""
    fair = seen * (1 - p_seen) / p_seen
    if _surprise(seen, 0.0, p_seen) <= -math.log(epsilon_share):
        return 0.0
    return _edge(lambda v: _surprise(seen, v, p_seen) > -math.log(epsilon_share), 0.0, fair)[0]


def _surprise(seen: float, hidden: float, p_seen: float) -> float:
    """T D(a/T || q) in nats."""
    total = seen + hidden
    return sum(part * math.log(part / (total * p)) for part, p in ((seen, p_seen), (hidden, 1 - p_seen)) if part > 0)


def _edge(holds_below: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    """Where a statement stops to hold: two neighbours, on either side."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if holds_below(middle) else (low, middle)
    return low, high
