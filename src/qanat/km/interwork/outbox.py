"""Requests to partners that must arrive: stored with the decision, sent again until answered.

A request that carries keys is stored without them; its body is made from the key store each time it is sent.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from qanat.core.ids import KeyId
from qanat.core.timebase import NS_PER_S
from qanat.km.store import Store

RESEND_NS, RESEND_NS_MAX = 2 * NS_PER_S, 60 * NS_PER_S
_KIND = "border request"


class Entry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One request.

    Attributes:
        path: Below ``/kmapi/v1/ext_keys``.
        ids: Keys it is about.
        body: None where it carries the keys themselves.
    """

    number: int
    partner: str
    path: str
    ids: list[KeyId]
    body: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the host sends now. The body may hold keys: it goes to the partner and nowhere else."""

    number: int
    partner: str
    path: str
    body: bytes

    def __repr__(self) -> str:
        return f"<Request {self.number} to {self.partner}>"


class Outbox:
    """Requests of one KME that are not answered yet."""

    def __init__(self, store: Store, facts: dict[tuple[str, str], bytes]) -> None:
        self._store = store
        self._entries: dict[int, Entry] = {
            int(name): msgspec.msgpack.decode(value, type=Entry)
            for (kind, name), value in facts.items()
            if kind == _KIND
        }
        self._next = max(self._entries, default=0) + 1
        self._due: dict[int, tuple[int, int]] = {}  # when to send (again), and how long to wait after that

    def put(self, partner: str, path: str, ids: list[KeyId], body: bytes | None) -> None:
        entry = Entry(number=self._next, partner=partner, path=path, ids=ids, body=body)
        self._entries[entry.number] = entry
        self._store.put_fact(_KIND, str(entry.number), msgspec.msgpack.encode(entry))
        self._next += 1

    def due(self, now_ns: int) -> list[Entry]:
        """Requests to send now, oldest first; each counts as sent."""
        found = [entry for entry in self._entries.values() if self._due.get(entry.number, (0, 0))[0] <= now_ns]
        for entry in found:
            wait_ns = min(2 * self._due.get(entry.number, (0, RESEND_NS // 2))[1], RESEND_NS_MAX)
            self._due[entry.number] = (now_ns + wait_ns, wait_ns)
        return found

    def done(self, number: int) -> Entry | None:
        """It is answered for good; None when it was before."""
        entry = self._entries.pop(number, None)
        self._due.pop(number, None)
        if entry is not None:
            self._store.put_fact(_KIND, str(number), None)
        return entry

    def drop_transfer(self, ids: list[KeyId]) -> None:
        """Keys that are taken back are not sent any more."""
        gone = set(ids)
        for entry in list(self._entries.values()):
            if entry.body is None and gone.issuperset(entry.ids):
                self.done(entry.number)
