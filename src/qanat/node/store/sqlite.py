"""The key store on SQLite: WAL, synchronous=FULL, one connection, bits sealed with AES-256-GCM.

Each piece has a data key of its own, sealed under the key encryption key (KEK). Erasing a piece erases its
data key. What stays readable in the file: names of pieces, sizes, key IDs and SAE ids; no key bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec

from qanat.core.errors import EnvironmentProblem, LocalProtocolError
from qanat.core.ids import BlockId, KeyId, SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.crypto.at_rest import SealBroken
from qanat.km.store import GrantRecord, PieceRecord, Snapshot
from qanat.node.store.fence import LIFE_BYTES, NOTHING, Fence, Mark
from qanat.node.store.late import LateRows, Row
from qanat.node.store.lock import StoreLock
from qanat.node.store.piece_seal import fits_probe, kek_probe, opened_piece, rewrapped, sealed_piece
from qanat.node.store.schema import FROM_2, PRAGMAS, SCHEMA, VERSION
from qanat.node.store.sqlite_problems import Told

_records = msgspec.msgpack.Decoder(PieceRecord)
_grants = msgspec.msgpack.Decoder(GrantRecord)
_READ_BITS = "SELECT wrapped, bits FROM piece JOIN data_key USING (name) WHERE name=?"


class WrongKek(EnvironmentProblem):
    """Nothing was changed."""


class StoreIsOld(EnvironmentProblem):
    """Keys that this copy still holds may have been delivered since it was made, so this KME does not start. Put the
    newest store and its fence back; or go on without these keys: `qanat kme recover SITE --discard-keys` destroys
    them here and at the other KMEs."""


class SqliteStore:
    """``km.store.Store`` in one file. Use it from one thread at a time.

    Args:
        path: The database; made with mode 0600 if missing. ``path.lock`` lies beside it.
        kek: 32 bytes that seal the data keys. They are never written to the file.
        entropy: For data keys and nonces.
        fence: The file that remembers how far this store came (``fence.py``); beside the store when left out.
        is_recovering: Open an old copy too. Only to destroy the keys in it (``km.recovery``).

    Raises:
        EntropyFailed: the source of data keys and nonces has visibly broken; nothing of that piece is stored.
        EnvironmentProblem: locked by another process, another KEK, full disk, damaged file.
        StoreIsOld: the store is an old copy.
    """

    def __init__(
        self, path: Path, *, kek: bytes, entropy: Entropy, fence: Path | None = None, is_recovering: bool = False
    ) -> None:
        self._path = path
        self._kek = kek
        self._entropy = entropy
        self._told = Told(path)
        self._late = LateRows()
        self._is_open = False
        self._next_kek: bytes | None = None  # of the open transaction, once it re-wrapped
        self._pending: Mark | None = None  # of the open transaction, once it wrote something
        self._life = entropy.random_bytes(LIFE_BYTES)
        self._lock = StoreLock(path)
        try:
            with self._told:
                self._fence = Fence(fence or path.with_name(path.name + ".fence"))
                try:
                    self._connect(is_recovering)
                except BaseException:
                    self._fence.close()
                    raise
        except BaseException:
            self._lock.release()
            raise

    def _connect(self, is_recovering: bool) -> None:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite would make it 0644
        self._db = apsw.Connection(str(self._path), statementcachesize=64)
        try:
            for pragma in PRAGMAS:
                self._db.execute(pragma).fetchall()  # a pragma that answers takes effect when its row is read
            is_new = self._check_version()
            self._check_kek()
            self._check_fence(is_new or is_recovering)
        except BaseException:
            self._db.close()
            raise

    def _check_version(self) -> bool:
        """Whether the store is new."""
        version = self._db.execute("PRAGMA user_version").get
        if version in (0, 2):
            with self._db:
                self._db.execute(SCHEMA if version == 0 else FROM_2)
                self._db.execute(f"PRAGMA user_version={VERSION}")
        elif version != VERSION:
            raise EnvironmentProblem(
                f"key store {self._path} has layout {version}, this program writes {VERSION}. Use the version of "
                "qanat that made it, or move the file away: its keys are lost then."
            )
        return bool(version == 0)

    def _check_fence(self, is_harmless: bool) -> None:
        """Refuse an old copy; a store that is new holds no key, so it may begin at any fence."""
        stored = self._stored_mark()
        try:
            fence = self._fence.read()
        except ValueError:
            fence = None
        if fence is None:
            fence = NOTHING
            if stored.count and not is_harmless:
                raise StoreIsOld(f"the fence {self._fence.path} of key store {self._path} is missing or damaged")
        elif not is_harmless and not stored.follows(fence):
            raise StoreIsOld(
                f"key store {self._path} is at commit {stored.count}, but had come to commit {fence.count} already"
            )
        self._mark = Mark(max(stored.count, fence.count), stored.life, stored.parent)
        self._expected = stored.to_bytes() if stored.count else b""

    def _stored_mark(self) -> Mark:
        data = self._db.execute("SELECT value FROM meta WHERE name='mark'").get
        return NOTHING if data is None else Mark.from_bytes(data)

    def _check_kek(self) -> None:
        """A store opened with another KEK is refused at once, not at the first key."""
        probe = self._db.execute("SELECT value FROM meta WHERE name='kek'").get
        if probe is None:
            with self._db:
                self._db.execute("INSERT INTO meta VALUES ('kek', ?)", (kek_probe(self._kek, self._entropy),))
        elif not fits_probe(self._kek, probe):
            raise WrongKek(
                f"key store {self._path} is sealed under another key. Give this KME the key encryption key that it "
                "had, or move the file away: its keys are lost then."
            )

    def close(self) -> None:
        """Write the log back into the file, so that nothing erased stays in it, and let go of the lock."""
        with suppress(apsw.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(apsw.Error):
            self._db.close()
        with suppress(OSError):
            self._fence.sync()
        self._fence.close()
        self._lock.release()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._is_open:
            raise LocalProtocolError("a transaction is already open")
        with self._told:
            self._db.execute("BEGIN IMMEDIATE")
            self._is_open, self._pending, self._next_kek = True, None, None
            try:
                yield
                self._write_late()
                self._db.execute("COMMIT")
            except BaseException:
                self._next_kek = None
                self._late.clear()
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._is_open = False
            if self._next_kek is not None:
                self._kek, self._next_kek = self._next_kek, None
            if self._pending is not None:
                # After the commit: a crash before this line leaves the fence low, and nothing was given out yet.
                self._mark, self._expected = self._pending, self._pending.to_bytes()
                self._fence.write(self._pending)

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        if not self._is_open:
            raise LocalProtocolError("a write outside a transaction would not be durable")
        with self._told:
            if self._pending is None:
                self._raise_mark()
            self._db.execute(statement, values)

    def _write_at_end(self, row: Row, statement: str, values: tuple[Any, ...]) -> None:
        if not self._is_open:
            raise LocalProtocolError("a write outside a transaction would not be durable")
        self._late.put(row, statement, values)

    def _write_late(self) -> None:
        for statement, rows in self._late.taken().items():
            if self._pending is None:
                self._raise_mark()
            self._db.executemany(statement, rows)

    def _raise_mark(self) -> None:
        """Number this transaction, once per transaction that writes: one that only reads costs no flush."""
        parent = self._mark.parent if self._mark.life == self._life else self._mark.life
        mark = Mark(self._mark.count + 1, self._life, parent)
        if self._expected:
            self._db.execute("UPDATE meta SET value=? WHERE name='mark' AND value=?", (mark.to_bytes(), self._expected))
        else:
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('mark', ?)", (mark.to_bytes(),))
        if self._db.changes() != 1:
            raise self._replaced()
        self._pending = mark

    def _replaced(self) -> StoreIsOld:
        return StoreIsOld(f"key store {self._path} was replaced while the KME was running")

    # --- reading

    def load(self) -> Snapshot:
        with self._told:
            self._write_late()
            if not self._is_open and self._stored_mark().to_bytes() != (self._expected or NOTHING.to_bytes()):
                raise self._replaced()
            return self._snapshot()

    def _snapshot(self) -> Snapshot:
        rows = self._db.execute
        snapshot = Snapshot(
            pieces=[
                (_records.decode(record), offset)
                for record, offset in rows(
                    "SELECT record, next FROM record JOIN progress USING (name) JOIN piece USING (name) "
                    "ORDER BY piece.rowid"
                )
            ],
            grants=[_grants.decode(record) for (record,) in rows("SELECT record FROM waiting_key")],
            seen=[BlockId(name) for (name,) in rows("SELECT name FROM seen ORDER BY number")],
            inbox={SiteId(peer): (stream, number) for peer, stream, number in rows("SELECT * FROM inbox")},
            facts={(kind, name): value for kind, name, value in rows("SELECT * FROM fact")},
        )
        for peer, number, message in rows("SELECT * FROM outbox ORDER BY peer, number"):
            snapshot.outbox.setdefault(SiteId(peer), {})[number] = message
        return snapshot

    def read_bits(self, piece: BlockId) -> SecretBits:
        with self._told:
            row = self._db.execute(_READ_BITS, (piece,)).fetchone()
        if row is None:
            raise KeyError(piece)
        try:
            return opened_piece(self._next_kek or self._kek, piece, row[0], row[1])
        except SealBroken:
            raise EnvironmentProblem(
                f"piece {piece} in key store {self._path} was changed on the disk. Move the file away and start "
                "again; new keys come from the links."
            ) from None

    # --- writing

    def put_piece(self, record: PieceRecord, bits: SecretBits) -> None:
        wrapped, sealed = sealed_piece(self._next_kek or self._kek, record.piece, bits, self._entropy)
        try:
            self._write("INSERT INTO piece (name, bits) VALUES (?, ?)", (record.piece, sealed))
        except apsw.ConstraintError:
            raise LocalProtocolError(f"piece {record.piece} is stored already") from None
        self._write("INSERT INTO data_key VALUES (?, ?)", (record.piece, wrapped))
        self._write("INSERT INTO record VALUES (?, ?)", (record.piece, msgspec.msgpack.encode(record)))
        self._write("INSERT INTO progress VALUES (?, 0)", (record.piece,))

    def rewrap(self, kek: bytes) -> int:
        """Seal every data key under another KEK, all or none with the transaction. Bits are not touched.

        Returns:
            How many.
        """
        old = self._next_kek or self._kek
        rows: list[tuple[str, bytes]] = self._db.execute("SELECT name, wrapped FROM data_key").fetchall()  # type: ignore[assignment]
        for name, wrapped in rows:
            again = rewrapped(old, kek, name, wrapped, self._entropy)
            self._write("UPDATE data_key SET wrapped=? WHERE name=?", (again, name))
        self._write("UPDATE meta SET value=? WHERE name='kek'", (kek_probe(kek, self._entropy),))
        self._next_kek = kek
        return len(rows)

    def update_piece(self, record: PieceRecord) -> None:
        self._write("UPDATE record SET record=? WHERE name=?", (msgspec.msgpack.encode(record), record.piece))

    def set_offset(self, piece: BlockId, offset: int) -> None:
        self._write_at_end(("progress", piece), "UPDATE progress SET next=? WHERE name=?", (offset, piece))

    def delete_piece(self, piece: BlockId) -> None:
        self._late.forget(("progress", piece))
        for table in ("data_key", "piece", "record", "progress"):
            self._write(f"DELETE FROM {table} WHERE name=?", (piece,))  # noqa: S608 - table names are ours

    def put_grant(self, grant: GrantRecord) -> None:
        values = (grant.key_id.bytes, msgspec.msgpack.encode(grant))
        self._write_at_end(("grant", grant.key_id), "INSERT OR REPLACE INTO waiting_key VALUES (?, ?)", values)

    def delete_grant(self, key_id: KeyId) -> None:
        self._write_at_end(("grant", key_id), "DELETE FROM waiting_key WHERE key_id=?", (key_id.bytes,))

    def put_seen(self, parent: BlockId) -> None:
        self._write("INSERT OR IGNORE INTO seen (name) VALUES (?)", (parent,))

    def delete_seen(self, parent: BlockId) -> None:
        self._write("DELETE FROM seen WHERE name=?", (parent,))

    def put_message(self, peer: SiteId, number: int, message: bytes) -> None:
        values = (peer, number, message)
        self._write_at_end(("outbox", peer, number), "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", values)

    def delete_messages(self, peer: SiteId, up_to: int) -> None:
        with self._told:
            self._write_late()  # messages written in this transaction are among them
        self._write("DELETE FROM outbox WHERE peer=? AND number<=?", (peer, up_to))

    def put_inbox(self, peer: SiteId, stream: bytes, number: int) -> None:
        self._write_at_end(("inbox", peer), "INSERT OR REPLACE INTO inbox VALUES (?, ?, ?)", (peer, stream, number))

    def put_fact(self, kind: str, name: str, value: bytes | None) -> None:
        if value is None:
            self._late.forget(("fact", kind, name))
            self._write("DELETE FROM fact WHERE kind=? AND name=?", (kind, name))
        else:
            values = (kind, name, value)
            self._write_at_end(("fact", kind, name), "INSERT OR REPLACE INTO fact VALUES (?, ?, ?)", values)
