"""Who has to go when too many sockets are in the TLS handshake. A pure leaf: it knows neither sockets nor clocks.

Nobody is known before the handshake, so the only measure is where a socket comes from. The newest always gets a place.
When its source holds too many, the oldest of that source goes; when all sources together do, the oldest of the source
that holds the most. An honest handshake is over in two round trips, so the oldest is the one that most likely never
ends; were the newest refused, 26 silent sockets a second would keep everybody else
of that address out for good.
"""

from __future__ import annotations

import ipaddress
from typing import Generic, TypeVar

# One application may hold 128 connections (protocol.py), and may open them at once. Four such sources fit in all.
HANDSHAKES_MAX, HANDSHAKES_PER_SOURCE_MAX = 512, 128
IPV6_PREFIX_BITS = 64  # whoever has one IPv6 address has 2**64 of them

EntryT = TypeVar("EntryT")


class Handshakes(Generic[EntryT]):
    """Entries in the order in which they came, by source.

    Example:
        >>> book = Handshakes(in_all=3, per_source=2)
        >>> [book.enter("a", 1), book.enter("a", 2), book.enter("a", 3)]
        [None, None, ('source', 1)]
        >>> [book.enter("b", 4), book.enter("c", 5)]
        [None, ('all', 2)]
    """

    def __init__(self, *, in_all: int = HANDSHAKES_MAX, per_source: int = HANDSHAKES_PER_SOURCE_MAX) -> None:
        self._in_all, self._per_source = in_all, per_source
        self._count = 0
        self._by_source: dict[str, dict[EntryT, None]] = {}

    def __len__(self) -> int:
        return self._count

    def enter(self, source: str, entry: EntryT) -> tuple[str, EntryT] | None:
        """One more; returns whose place it takes and why ("source", "all"). That one has left already."""
        mine = self._by_source.setdefault(source, {})
        mine[entry] = None
        self._count += 1
        if len(mine) > self._per_source:
            return "source", self._oldest(source)
        if self._count > self._in_all:
            return "all", self._oldest(max(self._by_source, key=lambda name: len(self._by_source[name])))
        return None

    def leave(self, source: str, entry: EntryT) -> None:
        """Its handshake is over, however it ended; may be called twice."""
        mine = self._by_source.get(source, {})
        if entry in mine:
            del mine[entry]
            self._count -= 1
            if not mine:
                del self._by_source[source]

    def entries(self) -> list[EntryT]:
        return [entry for mine in self._by_source.values() for entry in mine]

    def _oldest(self, source: str) -> EntryT:
        entry = next(iter(self._by_source[source]))
        self.leave(source, entry)
        return entry


def source_of(address: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 network of an IPv6 one.

    Example:
        >>> source_of("192.0.2.7"), source_of("::ffff:192.0.2.7"), source_of("2001:db8::7%eth0")
        ('192.0.2.7', '192.0.2.7', '2001:db8::/64')
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, IPV6_PREFIX_BITS), strict=False))
