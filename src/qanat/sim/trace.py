"""What happened, one line per event, and a digest by which two runs are compared.

A line has fixed columns: virtual seconds, step, kind, who, what. It is made of counts and names; nothing that
could hold a secret comes here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from qanat.core.timebase import NS_PER_S
from qanat.sim.world import World

KIND_WIDTH = 10
WHO_WIDTH = 26


class Trace:
    """Lines to a sink, and their SHA-256.

    Args:
        sink: Takes each line; None: only the digest is kept.
        recent_count: How many of the last lines are kept, to be shown where an invariant breaks.

    Example:
        >>> world, lines = World(), []
        >>> Trace(world, sink=lines.append).add("fault", "a-b", "cut")
        >>> lines
        ['       0.000000        0 fault      a-b                        cut']
    """

    def __init__(self, world: World, *, sink: Callable[[str], None] | None = None, recent_count: int = 12) -> None:
        self._world = world
        self._sink = sink
        self._hash = hashlib.sha256()
        self._recent_count = recent_count
        self.recent: list[str] = []
        self.count = 0

    def add(self, kind: str, who: str, what: str) -> None:
        """One event."""
        now_s = self._world.now_ns / NS_PER_S
        line = f"{now_s:15.6f} {self._world.step:8d} {kind:<{KIND_WIDTH}} {who:<{WHO_WIDTH}} {what}"
        self._hash.update(line.encode() + b"\n")
        self.count += 1
        self.recent.append(line)
        if len(self.recent) > self._recent_count:
            del self.recent[0]
        if self._sink is not None:
            self._sink(line)

    @property
    def digest(self) -> str:
        """Same seed, same network, same faults, same code: same digest."""
        return self._hash.hexdigest()
