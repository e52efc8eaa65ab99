"""The newest lines of the audit, kept a second time in the key store until the file is flushed.

A group's lines are written to the file, and travel with the group's keys in one commit: so one flush of the disk makes
both durable. The file itself is flushed at least once a second. A machine that loses its power in between finds in the
store what the file has lost.
"""

from __future__ import annotations

import msgspec

from qanat.km.store import Store
from qanat.node.audit.entry import Entry, entry_of, hash_of

KIND = "audit-tail"
UNFLUSHED_NS_MAX = 10**9
UNFLUSHED_BYTES_MAX = 256 * 1024
Facts = dict[tuple[str, str], bytes]


class Tail:
    """Rows of one store; the first is used again after each flush of the file.

    Args:
        chain: As ``Trail``: instances that share a store keep their rows apart.
    """

    def __init__(self, now_ns: int, chain: str = "") -> None:
        self._chain = chain
        self._count = self._size_bytes = 0
        self._since_ns = now_ns

    def is_due(self, now_ns: int) -> bool:
        """The file is to be flushed now, in place of another row."""
        return not 0 <= now_ns - self._since_ns < UNFLUSHED_NS_MAX or self._size_bytes >= UNFLUSHED_BYTES_MAX

    def flushed(self, now_ns: int) -> None:
        self._count, self._size_bytes, self._since_ns = 0, 0, now_ns

    def keep(self, store: Store, lines: bytes) -> None:
        """In the transaction of the group that they tell of."""
        store.put_fact(KIND, f"{self._count:06d}{self._chain}", lines)
        self._count += 1
        self._size_bytes += len(lines)


def lines_after(facts: Facts, count: int, head: str, chain: str = "") -> list[bytes]:
    """What the store has of the lines that follow the file's last; rows of earlier flushes are passed over."""
    kept = [
        line for (kind, name), rows in facts.items() if (kind, name[6:]) == (KIND, chain) for line in rows.splitlines()
    ]
    by_number = {entry.n: (entry, line) for line in kept if (entry := _entry(line)) is not None}
    found: list[bytes] = []
    while (row := by_number.get(count + len(found))) is not None and row[0].prev == head:
        found.append(row[1])
        head = hash_of(row[1])
    return found


def _entry(line: bytes) -> Entry | None:
    try:
        return entry_of(line)
    except msgspec.DecodeError:
        return None
