"""Baseline: what is normal for a link, learned from windows that nobody suspects."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from qanat.watch.windows import Window

PENDING_COUNT_MAX = 4096  # a link so poor that this is not enough starts with what there is


@dataclass(slots=True, kw_only=True)
class Baseline:
    """Exponentially forgetting counts, learned late and never while there is suspicion.

    Windows wait in ``pending`` before they count: when a change is found, those that may belong to it
    have not been learned yet and are thrown away. The first learned value stays as ``anchor``; monitors
    bound how far the adaptive value may walk away from it, which is what limits a patient attacker.

    Attributes:
        memory_windows: Time constant of forgetting.
        lag_windows: How long a window waits.
        windows_min, size_min, count_min: What the first baseline needs.
    """

    memory_windows: float
    lag_windows: int = 8
    windows_min: int = 8
    size_min: int = 0
    count_min: int = 0
    count: float = 0.0
    size: float = 0.0
    windows: float = 0.0
    anchor: float | None = None
    learned_count: int = 0
    pending: deque[Window] = field(default_factory=deque)

    @property
    def is_ready(self) -> bool:
        return self.anchor is not None

    @property
    def ratio(self) -> float:
        """Count per size, with half an event added so that zero is never certain."""
        return (self.count + 0.5) / (self.size + 1.0)

    @property
    def size_per_window(self) -> float:
        return self.size / max(self.windows, 1e-9)

    def offer(self, window: Window) -> None:
        """An unsuspected window. It is learned when ``lag_windows`` others have followed it."""
        self.pending.append(window)
        if self.is_ready:
            while len(self.pending) > self.lag_windows:
                self._learn(self.pending.popleft())
        elif self._is_enough():
            while self.pending:
                self._learn(self.pending.popleft())
            self.anchor = self.ratio

    def drop_pending(self) -> None:
        """A change was found: what waits may belong to it."""
        self.pending.clear()

    def _is_enough(self) -> bool:
        if len(self.pending) >= PENDING_COUNT_MAX:
            return True
        return (
            len(self.pending) >= self.windows_min
            and sum(window.size for window in self.pending) >= self.size_min
            and sum(window.count for window in self.pending) >= self.count_min
        )

    def _learn(self, window: Window) -> None:
        keep = 1.0 - 1.0 / self.memory_windows
        self.count = self.count * keep + window.count
        self.size = self.size * keep + window.size
        self.windows = self.windows * keep + 1.0
        self.learned_count += 1
