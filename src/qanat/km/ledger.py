"""Where every bit went: made = held + delivered + spent + destroyed + quarantined, per account."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from qanat.km.store import Snapshot, Store


class Fate(StrEnum):
    MADE = "made"  # came into this store
    DELIVERED = "delivered"  # left to an application
    SPENT = "spent"  # pads and tag keys of relays
    DESTROYED = "destroyed"  # refused, lost at the other end, left-over bytes, timed out
    QUARANTINED = "quarantined"  # condemned by an alarm before delivery


class Account(msgspec.Struct):
    """Bits, since the store was created."""

    made: int = 0
    delivered: int = 0
    spent: int = 0
    destroyed: int = 0
    quarantined: int = 0

    @property
    def held(self) -> int:
        """What must still be in the store."""
        return self.made - self.delivered - self.spent - self.destroyed - self.quarantined


class Ledger:
    """All accounts of one KME, each stored with every change."""

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._store = store
        self.accounts: dict[str, Account] = {
            name: msgspec.msgpack.decode(value, type=Account)
            for (kind, name), value in snapshot.facts.items()
            if kind == "ledger"
        }

    def add(self, account: str, fate: Fate, size_bytes: int) -> None:
        """Count bytes that met this fate."""
        if size_bytes == 0:
            return
        row = self.accounts.setdefault(account, Account())
        setattr(row, fate.value, getattr(row, fate.value) + 8 * size_bytes)
        self._store.put_fact("ledger", account, msgspec.msgpack.encode(row))
