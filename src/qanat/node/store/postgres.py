"""The key store on PostgreSQL: several instances of one site, of which exactly one may write.

The instance that holds the advisory lock of the database is the active one. The server keeps that lock for as
long as the session lives, so the lease is the session, judged by the server: it ends with a killed process at
once, and with a silent one after ``SILENCE_S_MAX``. Every transaction locks the row ``lease`` and finds its own
epoch and its own last commit there, or writes nothing: a deposed instance can never commit.

Sealed as in SQLite: names, sizes and ids are readable to the server, no key bit is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from qanat.core.errors import EnvironmentProblem, LocalProtocolError
from qanat.core.ids import BlockId, KeyId, SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.crypto.at_rest import SealBroken
from qanat.km.store import GrantRecord, PieceRecord, Snapshot
from qanat.node.store import postgres_lease as lease
from qanat.node.store.fence import Fence
from qanat.node.store.leased import LeaseLost
from qanat.node.store.lock import StoreLock
from qanat.node.store.piece_seal import kek_probe, opened_piece, rewrapped, sealed_piece
from qanat.node.store.postgres_schema import SILENCE_IS_LONG, SILENCE_IS_SHORT
from qanat.node.store.postgres_session import Server, Session
from qanat.node.store.sqlite import StoreIsOld
from qanat.node.store.waiting import Waiting

_records = msgspec.msgpack.Decoder(PieceRecord)
_grants = msgspec.msgpack.Decoder(GrantRecord)

LOOK_S = 0.1  # how often a standby looks whether it may serve
BEAT_S = 1.0  # how often the server hears of an instance that writes nothing
REJOIN_S = 1.0  # how long `load` of a deposed instance waits for its turn


class PostgresStore:
    """``km.store.Store`` in one database. Use it from one thread at a time.

    The constructor of a standby returns when it has become the active instance.

    Args:
        server: Where the database is; one database per site.
        kek: 32 bytes that seal the data keys. They never go to the server.
        fence: The file of this machine that remembers how far the store came (``fence.py``).
        patience_s: How long to wait for another instance; None is for ever.
        is_recovering: Open an old copy too. Only to destroy the keys in it (``km.recovery``).
        waiting: Told how the wait goes, and may end it.
        on_deposed: Called once, from the thread that writes, when the turn is over. Then ``load`` asks for no other
            turn: whoever waits for one begins with a new store.

    Raises:
        LeaseLost: the database cannot be reached, or another instance served for ``patience_s``.
        WrongKek: the store is sealed under another KEK.
        StoreIsOld: the database is an old copy.
        EnvironmentProblem: it belongs to another site or layout, or refuses.
    """

    def __init__(
        self,
        server: Server,
        *,
        site: SiteId,
        kek: bytes,
        entropy: Entropy,
        fence: Path,
        patience_s: float | None = None,
        is_recovering: bool = False,
        waiting: Waiting | None = None,
        on_deposed: Callable[[], None] | None = None,
    ) -> None:
        self._waiting, self._on_deposed = waiting or Waiting(), on_deposed
        self._server, self._site, self._kek, self._entropy = server, site, kek, entropy
        self._next_kek: bytes | None = None  # of the open transaction, once it re-wrapped
        self._is_open = False
        self._has_written = False
        self._is_building = False
        self._session: Session | None = None
        self._heard_s = 0.0
        self._lock = StoreLock(fence)  # a fence is one instance's: a second writer could lower it
        try:
            self._fence = Fence(fence)
        except OSError as error:
            self._lock.release()
            raise EnvironmentProblem(f"fence {fence} of the key store cannot be opened: {error.strerror}") from None
        try:
            self._join(patience_s, is_recovering)
        except BaseException:
            self.close()
            raise

    def _join(self, patience_s: float | None, is_recovering: bool = False) -> None:
        """Become the active instance."""
        end_s = None if patience_s is None else time.monotonic() + patience_s
        self._drop()
        session = Session(self._server)
        try:
            lease.prepare(session, self._site, self._kek, self._entropy)
            while not lease.is_locked_by_us(session):
                with self._fence_told():
                    lease.follow(session, self._fence, str(self._server))
                if end_s is not None and time.monotonic() >= end_s:
                    raise LeaseLost(f"another instance of {self._site} serves database {self._server}")
                lease.check_kek(session, self._kek, str(self._server))  # told now, not when the turn comes
                self._waiting.stand_by()
                self._waiting.pause(LOOK_S)
            lease.check_kek(session, self._kek, str(self._server))  # it may have been changed while we waited
            with self._fence_told():
                self._turn = lease.take(session, self._fence, self._entropy, str(self._server), is_recovering)
        except BaseException:
            session.close()
            raise
        self._session = session
        self._is_building = False

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _lose(self) -> None:
        """Our turn is over."""
        self._drop()
        if self._on_deposed is not None:
            self._on_deposed()

    def close(self) -> None:
        """The end of the session lets the next instance in."""
        self._drop()
        with suppress(OSError):
            self._fence.sync()
        self._fence.close()
        self._lock.release()

    def beat(self) -> None:
        """As ``Leased``."""
        self._end_building()
        if self._session is None or time.monotonic() - self._heard_s >= BEAT_S:
            self._run("SELECT 1")

    @contextmanager
    def _fence_told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EnvironmentProblem(f"fence {self._fence.path} cannot be used: {error.strerror}") from None

    def _run(self, statement: str, **values: Any) -> list[list[Any]]:
        if self._session is None:
            raise LeaseLost(f"this instance of {self._site} was deposed")
        try:
            rows = self._session.run(statement, **values)
        except LeaseLost:
            self._lose()
            raise
        self._heard_s = time.monotonic()
        return rows

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._end_building()
        with self._transaction():
            yield

    def _end_building(self) -> None:
        """Whoever called ``load`` has built its engine."""
        if self._is_building:
            self._is_building = False
            self._run(SILENCE_IS_SHORT)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._is_open:
            raise LocalProtocolError("a transaction is already open")
        self._run("BEGIN")
        self._is_open, self._has_written, self._next_kek = True, False, None
        try:
            self._check_turn()
            yield
            self._run("COMMIT")
        except BaseException:
            self._next_kek = None
            with suppress(LeaseLost):
                self._run("ROLLBACK")
            raise
        finally:
            self._is_open = False
        if self._next_kek is not None:
            self._kek, self._next_kek = self._next_kek, None
        if self._has_written:
            # After the commit: a crash before this line leaves the fence low, and nothing was given out yet.
            self._turn = self._turn.next()
            with self._fence_told():
                self._fence.write(self._turn.mark)

    def _check_turn(self) -> None:
        """The fencing token. The row stays locked until the end of the transaction."""
        found = self._run(lease.FOUND_AND_LOCKED)
        if found == [self._turn.row()]:
            return
        self._run("ROLLBACK")
        self._lose()
        if found and found[0][0] > self._turn.epoch:
            raise LeaseLost(f"this instance of {self._site} was deposed: another one has database {self._server}")
        raise StoreIsOld(f"database {self._server} was replaced while the KME was running")

    def _write(self, statement: str, **values: Any) -> None:
        if not self._is_open:
            raise LocalProtocolError("a write outside a transaction would not be durable")
        if not self._has_written:
            self._run(lease.RAISED, epoch=self._turn.epoch, count=self._turn.count + 1)
            self._has_written = True
        self._run(statement, **values)

    # --- reading

    @property
    def epoch(self) -> int:
        """The number of this turn: higher than that of every turn before, of any instance."""
        return self._turn.epoch

    def facts(self, kind: str) -> dict[str, bytes]:
        """Facts of one kind, without loading the rest."""
        rows = self._run("SELECT name, value FROM fact WHERE kind=:kind", kind=kind)
        return {str(name): bytes(value) for name, value in rows}

    def load(self) -> Snapshot:
        """As the contract; an instance that was deposed asks for its turn first.

        Nothing in memory survives that: whoever calls ``load`` builds its engine from what it returns.

        Raises:
            LeaseLost: another instance serves.
            StoreIsOld: the database was put back.
        """
        if self._session is None and self._on_deposed is None:
            self._join(REJOIN_S)
        if self._is_open:
            return self._snapshot()
        self._run(SILENCE_IS_LONG)
        self._is_building = True
        with self._transaction():
            return self._snapshot()

    def _snapshot(self) -> Snapshot:
        rows = self._run
        snapshot = Snapshot(
            pieces=[
                (_records.decode(record), offset)
                for record, offset in rows(
                    "SELECT record, next FROM record JOIN progress USING (name) JOIN piece USING (name) "
                    "ORDER BY piece.number"
                )
            ],
            grants=[_grants.decode(record) for (record,) in rows("SELECT record FROM waiting_key")],
            seen=[BlockId(name) for (name,) in rows("SELECT name FROM seen ORDER BY number")],
            inbox={
                SiteId(peer): (stream, number)
                for peer, stream, number in rows("SELECT peer, stream, number FROM inbox")
            },
            facts={(kind, name): value for kind, name, value in rows("SELECT kind, name, value FROM fact")},
        )
        for peer, number, message in rows("SELECT peer, number, message FROM outbox ORDER BY peer, number"):
            snapshot.outbox.setdefault(SiteId(peer), {})[number] = message
        return snapshot

    def read_bits(self, piece: BlockId) -> SecretBits:
        rows = self._run("SELECT wrapped, bits FROM piece JOIN data_key USING (name) WHERE name=:name", name=piece)
        if not rows:
            raise KeyError(piece)
        try:
            return opened_piece(self._next_kek or self._kek, piece, *rows[0])
        except SealBroken:
            raise EnvironmentProblem(
                f"piece {piece} in database {self._server} was changed there. Empty the database and start again; new "
                "keys come from the links."
            ) from None

    # --- writing

    def put_piece(self, record: PieceRecord, bits: SecretBits) -> None:
        name = record.piece
        wrapped, sealed = sealed_piece(self._next_kek or self._kek, name, bits, self._entropy)
        # A failing INSERT would spoil the whole transaction, so whether it is there already is asked first: we are
        # the only writer.
        if self._is_open and self._run("SELECT 1 FROM piece WHERE name=:name", name=name):
            raise LocalProtocolError(f"piece {name} is stored already")
        self._write("INSERT INTO piece (name, bits) VALUES (:name, :bits)", name=name, bits=sealed)
        self._write("INSERT INTO data_key VALUES (:name, :wrapped)", name=name, wrapped=wrapped)
        self._write("INSERT INTO record VALUES (:name, :record)", name=name, record=msgspec.msgpack.encode(record))
        self._write("INSERT INTO progress VALUES (:name, 0)", name=name)

    def rewrap(self, kek: bytes) -> int:
        """Seal every data key under another KEK, all or none with the transaction. Bits are not touched.

        Returns:
            How many.
        """
        old = self._next_kek or self._kek
        rows = self._run("SELECT name, wrapped FROM data_key")
        for name, wrapped in rows:
            again = rewrapped(old, kek, name, wrapped, self._entropy)
            self._write("UPDATE data_key SET wrapped=:wrapped WHERE name=:name", wrapped=again, name=name)
        self._write("UPDATE meta SET value=:value WHERE name='kek'", value=kek_probe(kek, self._entropy))
        self._next_kek = kek
        return len(rows)

    def update_piece(self, record: PieceRecord) -> None:
        value = msgspec.msgpack.encode(record)
        self._write("UPDATE record SET record=:value WHERE name=:name", value=value, name=record.piece)

    def set_offset(self, piece: BlockId, offset: int) -> None:
        self._write("UPDATE progress SET next=:next WHERE name=:name", next=offset, name=piece)

    def delete_piece(self, piece: BlockId) -> None:
        for table in ("data_key", "piece", "record", "progress"):
            self._write(f"DELETE FROM {table} WHERE name=:name", name=piece)  # noqa: S608 - table names are ours

    def put_grant(self, grant: GrantRecord) -> None:
        self._write(
            "INSERT INTO waiting_key VALUES (:id, :record) ON CONFLICT (key_id) DO UPDATE SET record=excluded.record",
            id=grant.key_id.bytes,
            record=msgspec.msgpack.encode(grant),
        )

    def delete_grant(self, key_id: KeyId) -> None:
        self._write("DELETE FROM waiting_key WHERE key_id=:id", id=key_id.bytes)

    def put_seen(self, parent: BlockId) -> None:
        self._write("INSERT INTO seen (name) VALUES (:name) ON CONFLICT DO NOTHING", name=parent)

    def delete_seen(self, parent: BlockId) -> None:
        self._write("DELETE FROM seen WHERE name=:name", name=parent)

    def put_message(self, peer: SiteId, number: int, message: bytes) -> None:
        self._write(
            "INSERT INTO outbox VALUES (:peer, :number, :message) "
            "ON CONFLICT (peer, number) DO UPDATE SET message=excluded.message",
            peer=peer,
            number=number,
            message=message,
        )

    def delete_messages(self, peer: SiteId, up_to: int) -> None:
        self._write("DELETE FROM outbox WHERE peer=:peer AND number<=:number", peer=peer, number=up_to)

    def put_inbox(self, peer: SiteId, stream: bytes, number: int) -> None:
        self._write(
            "INSERT INTO inbox VALUES (:peer, :name, :number) "  # the driver has a parameter "stream" of its own
            "ON CONFLICT (peer) DO UPDATE SET stream=excluded.stream, number=excluded.number",
            peer=peer,
            name=stream,
            number=number,
        )

    def put_fact(self, kind: str, name: str, value: bytes | None) -> None:
        if value is None:
            self._write("DELETE FROM fact WHERE kind=:kind AND name=:name", kind=kind, name=name)
        else:
            self._write(
                "INSERT INTO fact VALUES (:kind, :name, :value) "
                "ON CONFLICT (kind, name) DO UPDATE SET value=excluded.value",
                kind=kind,
                name=name,
                value=value,
            )
