"""A key store in memory that can crash: it forgets what was not committed and keeps what was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qanat.core.errors import EnvironmentProblem, LocalProtocolError
from qanat.core.ids import BlockId, KeyId, SiteId
from qanat.core.secret import SecretBits
from qanat.km.store import GrantRecord, PieceRecord, Snapshot


class StoreCrashed(EnvironmentProblem):
    """The simulated store was crashed. Open it again with ``reopen()`` and build a new engine from it."""


class CrashingStore:
    """Keeps the contract of ``km.store.Store`` in memory.

    Writes go to the tables at once and to a list of how to undo them; a crash undoes, a commit forgets the
    list.
    """

    def __init__(self) -> None:
        self._rows = 0  # like a row number: undoing a deletion puts a row back in its old place
        self._places: dict[BlockId, int] = {}
        self._pieces: dict[BlockId, PieceRecord] = {}
        self._offsets: dict[BlockId, int] = {}
        self._bits: dict[BlockId, SecretBits] = {}
        self._grants: dict[KeyId, GrantRecord] = {}
        self._seen: dict[BlockId, int] = {}
        self._outbox: dict[SiteId, dict[int, bytes]] = {}
        self._inbox: dict[SiteId, tuple[bytes, int]] = {}
        self._facts: dict[tuple[str, str], bytes] = {}
        self._undo: list[tuple[dict[Any, Any], Any, Any]] | None = None
        self._crashed = False
        self._commits_left: int | None = None
        self.commit_count = 0

    def crash(self) -> None:
        """The process dies now; an open transaction is lost."""
        self._roll_back()
        self._crashed = True

    def crash_at_commit(self, commits_left: int | None) -> None:
        """Let so many commits succeed; the next one dies before anything of it is durable."""
        self._commits_left = commits_left

    def reopen(self) -> CrashingStore:
        """The same store after a restart, with what had been committed."""
        self._roll_back()
        self._crashed = False
        self._commits_left = None
        return self

    def close(self) -> None:
        self._roll_back()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._check_alive()
        if self._undo is not None:
            raise LocalProtocolError("a transaction is already open")
        self._undo = []
        try:
            yield
            self._commit()
        finally:
            self._roll_back()

    def _commit(self) -> None:
        self._check_alive()
        if self._commits_left == 0:
            self.crash()
            raise StoreCrashed("crashed before a commit")
        if self._commits_left is not None:
            self._commits_left -= 1
        self._undo = None
        self.commit_count += 1

    def _roll_back(self) -> None:
        for table, key, old in reversed(self._undo or []):
            if old is None:
                table.pop(key, None)
            else:
                table[key] = old[0]
        self._undo = None

    def _check_alive(self) -> None:
        if self._crashed:
            raise StoreCrashed

    def _set(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._remember(table, key)
        table[key] = value

    def _drop(self, table: dict[Any, Any], key: Any) -> None:
        self._remember(table, key)
        table.pop(key, None)

    def _remember(self, table: dict[Any, Any], key: Any) -> None:
        self._check_alive()
        if self._undo is None:
            raise LocalProtocolError("a write outside a transaction would not be durable")
        self._undo.append((table, key, (table[key],) if key in table else None))

    def _next_row(self) -> int:
        self._rows += 1
        return self._rows

    def load(self) -> Snapshot:
        self._check_alive()
        return Snapshot(
            pieces=[
                (self._pieces[name], self._offsets[name]) for name in sorted(self._pieces, key=self._places.__getitem__)
            ],
            grants=list(self._grants.values()),
            seen=sorted(self._seen, key=self._seen.__getitem__),
            outbox={peer: dict(sorted(messages.items())) for peer, messages in self._outbox.items() if messages},
            inbox=dict(self._inbox),
            facts=dict(self._facts),
        )

    def put_piece(self, record: PieceRecord, bits: SecretBits) -> None:
        if record.piece in self._pieces:
            raise LocalProtocolError(f"piece {record.piece} is stored already")
        self._set(self._pieces, record.piece, record)
        self._set(self._places, record.piece, self._next_row())
        self._set(self._offsets, record.piece, 0)
        self._set(self._bits, record.piece, bits.take(0, bits.size_bytes))

    def update_piece(self, record: PieceRecord) -> None:
        if record.piece in self._pieces:
            self._set(self._pieces, record.piece, record)

    def set_offset(self, piece: BlockId, offset: int) -> None:
        if piece in self._pieces:
            self._set(self._offsets, piece, offset)

    def read_bits(self, piece: BlockId) -> SecretBits:
        self._check_alive()
        bits = self._bits[piece]
        return bits.take(0, bits.size_bytes)

    def delete_piece(self, piece: BlockId) -> None:
        self._drop(self._pieces, piece)
        self._drop(self._places, piece)
        self._drop(self._offsets, piece)
        self._drop(self._bits, piece)

    def put_grant(self, grant: GrantRecord) -> None:
        self._set(self._grants, grant.key_id, grant)

    def delete_grant(self, key_id: KeyId) -> None:
        self._drop(self._grants, key_id)

    def put_seen(self, parent: BlockId) -> None:
        if parent not in self._seen:
            self._set(self._seen, parent, self._next_row())

    def delete_seen(self, parent: BlockId) -> None:
        self._drop(self._seen, parent)

    def put_message(self, peer: SiteId, number: int, message: bytes) -> None:
        self._set(self._outbox.setdefault(peer, {}), number, message)

    def delete_messages(self, peer: SiteId, up_to: int) -> None:
        waiting = self._outbox.get(peer, {})
        for number in [number for number in waiting if number <= up_to]:
            self._drop(waiting, number)

    def put_inbox(self, peer: SiteId, stream: bytes, number: int) -> None:
        self._set(self._inbox, peer, (stream, number))

    def put_fact(self, kind: str, name: str, value: bytes | None) -> None:
        if value is None:
            self._drop(self._facts, (kind, name))
        else:
            self._set(self._facts, (kind, name), value)
