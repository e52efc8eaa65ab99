"""How much slower link time runs than the clock on the wall, measured over the last seconds."""

from __future__ import annotations

from collections import deque

WINDOW_NS = 5_000_000_000


class Stretch:
    """Wall seconds per link second. 1 means real time; a machine too slow for the clock rates shows more.

    Example:
        >>> stretch = Stretch()
        >>> for step in range(4):
        ...     stretch.observe(wall_ns=step * 2_000_000_000, link_time_ns=step * 1_000_000_000)
        >>> stretch.value
        2.0
    """

    def __init__(self) -> None:
        self._points: deque[tuple[int, int]] = deque()

    def observe(self, *, wall_ns: int, link_time_ns: int) -> None:
        if self._points and link_time_ns < self._points[-1][1]:
            self._points.clear()  # the workers started again
        self._points.append((wall_ns, link_time_ns))
        while self._points[0][0] < wall_ns - WINDOW_NS:
            self._points.popleft()

    @property
    def value(self) -> float | None:
        if len(self._points) < 2:
            return None
        wall_ns = self._points[-1][0] - self._points[0][0]
        link_time_ns = self._points[-1][1] - self._points[0][1]
        return wall_ns / link_time_ns if link_time_ns > 0 else None
