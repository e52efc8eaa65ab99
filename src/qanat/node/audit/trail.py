"""What the writer thread holds of the audit: one group in, durable lines and a noted head out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from qanat.km.events import PeerMisbehaved
from qanat.km.store import Store
from qanat.node.audit.entry import Value
from qanat.node.audit.kinds import Row, row_of
from qanat.node.audit.log import AuditLog, Lost
from qanat.node.audit.refusals import Refusals
from qanat.node.audit.tail import Tail, lines_after

FACT = ("audit", "head")
GREETING_MAX = 64  # rows that wait in memory for the store to be opened


Opened = Callable[[tuple[int, str] | None, int, Lost], AuditLog]


class Trail:
    """The audit of one KME, opened again after every failure.

    Args:
        opened: Makes the log, given the head that the store remembers, the time, and what else the store has.
        started: Facts of the ``started`` entry.
        chain: Tells the rows of this audit from those of other instances in the same store; empty for the first one.
    """

    def __init__(self, *, opened: Opened, key_id_key: bytes, started: Row, chain: str = "") -> None:
        self._opened, self._key_id_key, self._started = opened, key_id_key, started
        self._chain, self._fact = chain, (FACT[0], FACT[1] + chain)
        self._log: AuditLog | None = None
        self._tail = Tail(0, chain)
        self._greeting: list[Row] = [started]
        self._noted: list[Row] = []
        self.refusals = Refusals()
        self.entry_count = 0
        self.failure_count = 0
        self._committed_head: tuple[int, str] | None = None

    def begin_turn(self, facts: dict[str, Value]) -> None:
        """Before the first group: what the ``started`` entry says of this turn (``chains.py``)."""
        self._greeting = [(self._started[0], self._started[1] | facts)]

    def counts(self) -> dict[str, Any]:
        """For the metrics, since this process started; and the head that the store remembers."""
        refused = {code: count for code, count in self.refusals.totals.copy().items() if code.isdecimal()}
        return {
            "entries": self.entry_count,
            "failures": self.failure_count,
            "refused": refused,
            "head": self._committed_head,
        }

    def is_due(self, now_ns: int) -> bool:
        """There is something to write though the engine has nothing to do."""
        return bool(self._greeting) or self.refusals.is_due(now_ns)

    def note(self, row: Row) -> None:
        """One more line in the group that is being worked on. Call it in an operation of the writer thread."""
        self._noted.append(row)

    def greet(self, row: Row) -> bool:
        """One more line for the first group, of a KME whose store is not open yet. False: there is no room for it."""
        has_room = len(self._greeting) < GREETING_MAX
        if has_room:
            self._greeting.append(row)
        return has_room

    def write(self, store: Store, events: Iterable[object], now_ns: int) -> Callable[[], None]:
        """Inside the group's transaction, last: write its entries and note the head in the store.

        Returns:
            To be called after the commit: then they are counted.

        Raises:
            EnvironmentProblem: the audit cannot be written; the group must not be committed.
        """
        greeting = list(self._greeting)  # an event loop may still add to it
        noted, self._noted = self._noted, []
        rows = greeting + noted
        for event in events:
            if isinstance(event, PeerMisbehaved):
                self.refusals.add("peer", event.peer, "protocol", event.reason)
            elif (row := row_of(event, self._key_id_key)) is not None:
                rows.append(row)
        counted = self.refusals.rows() if self.refusals.is_due(now_ns) else []
        rows += counted
        if not rows:
            return lambda: None
        try:
            log = self._open(store, now_ns)
            lines = log.append(rows, now_ns)
            if self._tail.is_due(now_ns):
                log.flush()
                self._tail.flushed(now_ns)
            else:
                self._tail.keep(store, lines)
        except BaseException:
            self.failure_count += 1
            raise
        store.put_fact(*self._fact, msgspec.msgpack.encode((log.count, log.head)))
        head = (log.count, log.head)
        return lambda: self._committed(rows, counted, head, now_ns, len(greeting))

    def _committed(self, rows: list[Row], counted: list[Row], head: tuple[int, str], now_ns: int, greeted: int) -> None:
        self._committed_head = head
        self.entry_count += len(rows)
        del self._greeting[:greeted]
        if counted:
            self.refusals.forget(counted, now_ns)

    def _open(self, store: Store, now_ns: int) -> AuditLog:
        if self._log is None:
            facts = store.load().facts
            value = facts.get(self._fact)
            head = None if value is None else msgspec.msgpack.decode(value, type=tuple[int, str])
            self._log = self._opened(head, now_ns, lambda count, last: lines_after(facts, count, last, self._chain))
            self._tail.flushed(now_ns)
        return self._log

    def failed(self) -> None:
        """The group was not committed: what the file has beyond the store's head is void."""
        self._noted = []
        if self._log is not None:
            self._log.close()
            self._log = None

    def stop(self, store: Store, now_ns: int) -> None:
        """A last entry, signed. Raises: EnvironmentProblem."""
        with store.transaction():
            log = self._open(store, now_ns)
            log.append([*self.refusals.rows(), ("stopped", {})], now_ns)
            log.flush()
            store.put_fact(*self._fact, msgspec.msgpack.encode((log.count, log.head)))
        log.close()
        self._log = None
