"""Windows of any length over a process that changes in steps of one length: which steps, and how much of each."""

from __future__ import annotations

from collections.abc import Iterator

from qanat.core.timebase import NS_PER_S
from qanat.physics.errors import SamplerError

GAP_STEPS_MAX = 100_000  # a longer gap is leapt over: some 0.5 s of computing at most, whatever is asked


def step_ns_of(interval_s: float) -> int:
    """The grid's step."""
    return max(1, round(interval_s * NS_PER_S))


def shares(start_ns: int, duration_ns: int, step_ns: int) -> Iterator[tuple[int, float]]:
    """(number, share of the window) of every step that the window meets; shares sum to 1.

    Raises:
        SamplerError: a window without length, or one that begins before time 0.

    Example:
        >>> list(shares(5, 10, 10))
        [(0, 0.5), (1, 0.5)]
    """
    if duration_ns <= 0 or start_ns < 0:
        raise SamplerError(f"a window of {duration_ns} ns from {start_ns} ns has no weather")
    end_ns = start_ns + duration_ns
    for number in range(start_ns // step_ns, -(-end_ns // step_ns)):
        inside = min(end_ns, (number + 1) * step_ns) - max(start_ns, number * step_ns)
        yield number, inside / duration_ns
