"""The classical network between KMEs, the hub and applications, at its worst.

Frames between KMEs may be lost, doubled, delayed and overtaken. What live goes over one TCP connection (commands,
reports) keeps its order and is dropped only while the two are parted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qanat.core.timebase import NS_PER_MS
from qanat.sim.world import World

HUB = "hub"

DELAY_NS = 2 * NS_PER_MS  # light in 60 km of fibre takes 0.3 ms, machines take the rest
JITTER_NS = 3 * NS_PER_MS


@dataclass(slots=True)
class Weather:
    """How bad the network is now.

    Attributes:
        p_loss: Of each frame. Half as many are doubled, and as many come late (up to 0.5 s).
    """

    p_loss: float = 0.0


class SimulatedNetwork:
    """Carries frames through virtual time.

    Args:
        seed: Of this network's own luck.
    """

    def __init__(self, world: World, seed: bytes) -> None:
        self._world = world
        self._random = random.Random(seed)
        self._parted: list[tuple[frozenset[str], frozenset[str]]] = []
        self._ordered_ns: dict[tuple[str, str], int] = {}
        self.weather = Weather()
        self.sent_count = self.lost_count = self.doubled_count = 0

    def part(self, a: Iterable[str], b: Iterable[str]) -> Callable[[], None]:
        """Cut all classical connections between two groups; returns what joins them again."""
        entry = (frozenset(a), frozenset(b))
        self._parted.append(entry)
        return lambda: self._parted.remove(entry)

    def is_parted(self, a: str, b: str) -> bool:
        return any((a in x and b in y) or (a in y and b in x) for x, y in self._parted)

    def send(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        """One frame: it may arrive never, once or twice, and in any order."""
        self.sent_count += 1
        p_loss = self.weather.p_loss
        if p_loss and self._random.random() < p_loss:
            self.lost_count += 1
            return
        self._carry(source, target, deliver)
        if p_loss and self._random.random() < p_loss / 2:
            self.doubled_count += 1
            self._carry(source, target, deliver)

    def send_in_order(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        """One message of a connection: in order, and lost only when the two are parted."""
        arrival_ns = max(self._world.now_ns + self._delay_ns(), self._ordered_ns.get((source, target), 0))
        self._ordered_ns[source, target] = arrival_ns
        self._arrive(source, target, arrival_ns, deliver)

    def _carry(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        late_ns = 0
        if self.weather.p_loss and self._random.random() < self.weather.p_loss:
            late_ns = self._random.randrange(500 * NS_PER_MS)
        self._arrive(source, target, self._world.now_ns + self._delay_ns() + late_ns, deliver)

    def _delay_ns(self) -> int:
        return DELAY_NS + self._random.randrange(JITTER_NS)

    def _arrive(self, source: str, target: str, arrival_ns: int, deliver: Callable[[], None]) -> None:
        if self.is_parted(source, target):
            self.lost_count += 1
            return

        def arrive() -> None:
            if self.is_parted(source, target):
                self.lost_count += 1
            else:
                deliver()

        self._world.at(arrival_ns, arrive)
