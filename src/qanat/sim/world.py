"""Virtual time: a clock that jumps from one event to the next, and the queue of events."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from qanat.core.errors import LocalProtocolError


class World:
    """Runs actions in the order of their times; those of one time in the order in which they were planned.

    Example:
        >>> world, seen = World(), []
        >>> world.after(5, lambda: seen.append(world.now_ns))
        >>> world.run(until_ns=10)
        >>> seen, world.now_ns
        ([5], 10)
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self.step = 0  # actions run so far; the number that a broken invariant names
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0

    def at(self, time_ns: int, action: Callable[[], None]) -> None:
        """Plan an action.

        Raises:
            LocalProtocolError: that time has passed.
        """
        if time_ns < self.now_ns:
            raise LocalProtocolError(f"an action for {time_ns} ns was planned at {self.now_ns} ns")
        heapq.heappush(self._queue, (time_ns, self._planned, action))
        self._planned += 1

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        self.at(self.now_ns + delay_ns, action)

    def every(self, period_ns: int, action: Callable[[], None], *, first_ns: int | None = None) -> None:
        """Plan an action again and again, from ``first_ns`` on (else after one period)."""

        def again() -> None:
            action()
            self.after(period_ns, again)

        self.at(self.now_ns + period_ns if first_ns is None else first_ns, again)

    def run(self, *, until_ns: int, after_step: Callable[[], None] | None = None) -> None:
        """Run everything up to and including that time; ``after_step`` runs after each action."""
        while self._queue and self._queue[0][0] <= until_ns:
            self.now_ns, _, action = heapq.heappop(self._queue)
            self.step += 1
            action()
            if after_step is not None:
                after_step()
        self.now_ns = until_ns
