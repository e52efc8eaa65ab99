"""Relays on their way: which paths they took, how many at once, and how long to wait after a loss."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.timebase import NS_PER_MS, NS_PER_S
from qanat.km.store import Store

# Per relay: a hop costs 80 bytes besides the keys (tag key, confirmation), 8 % of 32 keys of 256 bits; a share 32 more.
KEYS_MIN, KEYS_FIRST, KEYS_MAX = 4, 8, 32
FLIGHTS_MAX = 4  # to one target at once
TIMEOUT_NS = 5 * NS_PER_S
PAUSE_NS, PAUSE_NS_MAX = 250 * NS_PER_MS, 4 * NS_PER_S


@dataclass(slots=True)
class Flight:
    """One relay that nobody confirmed yet.

    Attributes:
        ways: Links of the path, or of the path of each share.
        started_ns: None after a restart, until the clock is seen.
        failed: Points of the shares whose path said that it cannot go on.
    """

    target: SiteId
    ways: tuple[tuple[LinkId, ...], ...]
    started_ns: int | None
    key_count: int
    failed: frozenset[int] = frozenset()


class Flights:
    """All of one origin, with their paths in the store: an answer is held against the path that was taken."""

    def __init__(self, store: Store, facts: dict[tuple[str, str], bytes]) -> None:
        self._store = store
        self._flights: dict[BlockId, Flight] = {}
        self._stored = {
            BlockId(name): msgspec.msgpack.decode(value, type=tuple[tuple[LinkId, ...], ...])
            for (kind, name), value in facts.items()
            if kind == "flight"
        }

    def restore(self, relay: BlockId, target: SiteId, key_count: int) -> None:
        """A block was waiting for its confirmation when the KME stopped."""
        self._flights[relay] = Flight(target, self._stored.get(relay, ()), None, key_count)

    def start(self, relay: BlockId, flight: Flight) -> None:
        self._flights[relay] = flight
        self._store.put_fact("flight", relay, msgspec.msgpack.encode(flight.ways))

    def end(self, relay: BlockId) -> Flight | None:
        flight = self._flights.pop(relay, None)
        if flight is not None:
            self._store.put_fact("flight", relay, None)
        return flight

    def get(self, relay: BlockId) -> Flight | None:
        return self._flights.get(relay)

    def to(self, target: SiteId, ways: tuple[tuple[LinkId, ...], ...] | None = None) -> list[Flight]:
        """Flights to a site, by these paths only where some are given."""
        return [f for f in self._flights.values() if f.target == target and ways in (None, f.ways)]

    def overdue(self, now_ns: int) -> tuple[list[tuple[BlockId, Flight]], int | None]:
        """Those that nobody confirmed in time, and when the next will be."""
        late: list[tuple[BlockId, Flight]] = []
        due: list[int] = []
        for relay, flight in self._flights.items():
            if flight.started_ns is None:
                flight.started_ns = now_ns
            if now_ns - flight.started_ns < TIMEOUT_NS:
                due.append(flight.started_ns + TIMEOUT_NS)
            else:
                late.append((relay, flight))
        return late, min(due, default=None)


@dataclass(slots=True)
class Pace:
    """How much to send to one target at once, and when to try again."""

    key_count: int = KEYS_FIRST
    pause_ns: int = PAUSE_NS
    not_before_ns: int = 0

    def sped_up(self, key_count: int) -> Pace:
        """A relay of so many keys arrived."""
        return Pace(key_count=min(KEYS_MAX, 2 * max(KEYS_MIN, key_count)))

    def slow_down(self, now_ns: int) -> None:
        """A relay was lost."""
        self.key_count = max(KEYS_MIN, self.key_count // 2)
        self.not_before_ns = now_ns + self.pause_ns
        self.pause_ns = min(2 * self.pause_ns, PAUSE_NS_MAX)
