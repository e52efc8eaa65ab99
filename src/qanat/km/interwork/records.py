"""Which keys of the border are here, for whom, and which names may never come back."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from qanat.core.ids import BlockId, KeyId, SaeId
from qanat.km.books import Piece
from qanat.km.context import Context

TOMBSTONES_MAX = 100_000  # about 10 MB; the oldest is forgotten first
_KEY, _TOMBSTONE = "border key", "border tombstone"


class BorderKey(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One key on its way over the border, whose bits are a piece of the store.

    Attributes:
        is_ours: We drew it for our application; else the partner gave it for ours.
    """

    key_id: KeyId
    partner: str
    initiator: SaeId
    target: SaeId
    is_ours: bool
    made_ns: int


class Records:
    """All border keys of one KME, in memory and as facts of the store."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self._keys: dict[str, BorderKey] = {}
        self._tombstones: dict[str, None] = {}
        for (kind, name), value in facts.items():
            if kind == _KEY:
                self._keys[name] = msgspec.msgpack.decode(value, type=BorderKey)
            elif kind == _TOMBSTONE:
                self._tombstones[name] = None

    def find(self, key_id: KeyId, initiator: SaeId, target: SaeId) -> BorderKey | None:
        """The key, if it is these two applications' and still here."""
        key = self._keys.get(_name(key_id, target))
        if key is None or key.initiator != initiator:
            return None
        return key if self._has_piece(key) else None

    def of_pair(self, initiator: SaeId, target: SaeId) -> list[BorderKey]:
        return [key for key in self._here() if (key.initiator, key.target) == (initiator, target)]

    def by_id(self, key_id: KeyId) -> list[BorderKey]:
        return [key for key in self._here() if key.key_id == key_id]

    def _here(self) -> Iterator[BorderKey]:
        """A piece may have gone by other ways (its life is over): then its key is gone too."""
        return (key for key in list(self._keys.values()) if self._has_piece(key))

    def _has_piece(self, key: BorderKey) -> bool:
        return BlockId(f"partner/{_name(key.key_id, key.target)}") in self._c.books.pieces

    def expired(self) -> list[BorderKey]:
        """Keys whose pieces came to their end; their names are forgotten here and buried."""
        gone = [key for key in self._keys.values() if not self._has_piece(key)]
        for key in gone:
            self.forget(key)
        return gone

    def piece(self, key: BorderKey) -> Piece:
        return self._c.books.pieces[BlockId(f"partner/{_name(key.key_id, key.target)}")]

    def add(self, key: BorderKey) -> None:
        name = _name(key.key_id, key.target)
        self._keys[name] = key
        self._c.store.put_fact(_KEY, name, msgspec.msgpack.encode(key))

    def forget(self, key: BorderKey) -> None:
        """Delivered or destroyed. Its name does not come back: a late copy of the transfer must not revive it."""
        name = _name(key.key_id, key.target)
        self._keys.pop(name, None)
        self._c.store.put_fact(_KEY, name, None)
        self.bury(key.key_id, key.initiator, key.target)

    def bury(self, key_id: KeyId, initiator: SaeId, target: SaeId) -> None:
        name = f"{_name(key_id, target)}/{initiator}"
        if name in self._tombstones:
            return
        self._tombstones[name] = None
        self._c.store.put_fact(_TOMBSTONE, name, b"")
        if len(self._tombstones) > TOMBSTONES_MAX:
            oldest = next(iter(self._tombstones))
            del self._tombstones[oldest]
            self._c.store.put_fact(_TOMBSTONE, oldest, None)

    def has_tombstone(self, key_id: KeyId, initiator: SaeId, target: SaeId) -> bool:
        return f"{_name(key_id, target)}/{initiator}" in self._tombstones


def _name(key_id: KeyId, target: SaeId) -> str:
    return f"{key_id}/{target}"
