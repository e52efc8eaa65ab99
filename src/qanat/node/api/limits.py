"""How often one SAE may call."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from qanat.core.ids import SaeId

CALLERS_MAX = 10_000  # names come from certificates of our CA; more than this is forgotten from the oldest on


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_s: float


class CallLimit:
    """A token bucket per SAE.

    Args:
        per_s: Calls per second in the long run.
        burst: Calls at once after a pause.
        clock_s: Monotonic seconds.

    Example:
        >>> limit = CallLimit(per_s=1.0, burst=1, clock_s=lambda: 0.0)
        >>> limit.wait_s(SaeId("a")), limit.wait_s(SaeId("a")), limit.wait_s(SaeId("b"))
        (0.0, 1.0, 0.0)
    """

    def __init__(self, per_s: float, burst: int, clock_s: Callable[[], float]) -> None:
        if per_s <= 0 or burst < 1:
            raise ValueError(f"a limit of {per_s} calls per second, {burst} at once, lets nobody in")
        self._per_s, self._burst, self._clock_s = per_s, burst, clock_s
        self._buckets: dict[SaeId, _Bucket] = {}

    def wait_s(self, caller: SaeId) -> float:
        """0 and the call is counted, or how long to wait."""
        now_s = self._clock_s()
        bucket = self._buckets.pop(caller, None) or _Bucket(self._burst, now_s)
        self._buckets[caller] = bucket  # last in, so that the first is the one idle longest
        if len(self._buckets) > CALLERS_MAX:
            del self._buckets[next(iter(self._buckets))]
        bucket.tokens = min(self._burst, bucket.tokens + (now_s - bucket.at_s) * self._per_s)
        bucket.at_s = now_s
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._per_s
        bucket.tokens -= 1
        return 0.0


def call_limit(calls_per_s: float | None) -> CallLimit | None:
    """By the monotonic clock, with the calls of one second at once; None sets no limit."""
    return None if calls_per_s is None else CallLimit(calls_per_s, max(1, int(calls_per_s)), time.monotonic)
