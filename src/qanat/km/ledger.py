"""Where every bit went: made = held + delivered + spent + expired + compromised + destroyed, per account."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from qanat.km.lifecycle import KeyState
from qanat.km.store import Snapshot, Store


class Fate(StrEnum):
    """What is counted: what came in, and each end that a key's life can have (``lifecycle.ENDS``)."""

    MADE = "made"  # came into this store
    DELIVERED = KeyState.DELIVERED.value
    SPENT = KeyState.SPENT.value
    EXPIRED = KeyState.EXPIRED.value
    COMPROMISED = KeyState.COMPROMISED.value
    DESTROYED = KeyState.DESTROYED.value


class Account(msgspec.Struct, rename={"compromised": "quarantined"}):  # so it is called in stores of earlier versions
    """Bits, since the store was created."""

    made: int = 0
    delivered: int = 0
    spent: int = 0
    destroyed: int = 0
    compromised: int = 0
    expired: int = 0

    @property
    def held(self) -> int:
        """What must still be in the store."""
        return self.made - self.delivered - self.spent - self.expired - self.compromised - self.destroyed


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
