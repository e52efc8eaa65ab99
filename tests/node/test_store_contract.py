"""One suite for every key store: SQLite and PostgreSQL of the live host, and the crashing one of the simulator."""

import hashlib
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from qanat.core.errors import LocalProtocolError
from qanat.core.ids import BlockId, LinkId, SaeId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.secret import SecretBits
from qanat.km.store import GrantRecord, PieceRecord, PieceState, Snapshot, Source, Store
from qanat.node.entropy import SystemEntropy
from qanat.node.store.postgres import PostgresStore
from qanat.node.store.sqlite import SqliteStore
from qanat.sim.store import CrashingStore

KEK = bytes(range(32))
Reopen = Callable[[Store], Store]


@pytest.fixture(params=["sqlite", "postgresql", "crashing"])
def store_and_reopen(request, tmp_path: Path):
    if request.param == "crashing":
        store: Store = CrashingStore()
        yield store, lambda old: old.reopen()
        return
    opened: list[SqliteStore | PostgresStore] = []
    make = sqlite_in(tmp_path) if request.param == "sqlite" else postgresql_in(request, tmp_path)

    def opened_again(old: Store | None = None) -> Store:
        if old is not None:
            old.close()
        opened.append(make())
        return opened[-1]

    yield opened_again(), opened_again
    opened[-1].close()


def sqlite_in(folder: Path) -> Callable[[], SqliteStore]:
    return lambda: SqliteStore(folder / "store.db", kek=KEK, entropy=SystemEntropy())


def postgresql_in(request, folder: Path) -> Callable[[], PostgresStore]:
    server = request.getfixturevalue("database")
    return lambda: PostgresStore(
        server, site=SiteId("a"), kek=KEK, entropy=SystemEntropy(), fence=folder / "fence", patience_s=2
    )


def a_record(name: str, **changes) -> PieceRecord:
    fields = {
        "piece": BlockId(name),
        "parent": BlockId(name.partition("#")[0]),
        "account": "a-b",
        "peer": SiteId("b"),
        "owner": SiteId("a"),
        "size_bytes": 64,
        "state": PieceState.WAITING,
        "sources": (Source(link=LinkId("a-b"), block=BlockId("a-b/1/0"), start_ns=0, end_ns=2**60),),
        "provenance": Provenance(
            origin=Origin.QKD,
            links=(LinkId("a-b"),),
            authentication=Authentication.PRE_SHARED,
            epsilon_total=1e-10,
            simulated=True,
        ),
        "made_ns": 7,
    }
    return PieceRecord(**fields | changes)


def a_grant(number: int = 1) -> GrantRecord:
    return GrantRecord(
        key_id=uuid.UUID(int=number),
        piece=BlockId("a-b/1/0#0"),
        offset=32,
        size_bytes=32,
        master=SaeId("a1"),
        slave=SaeId("ö/1"),
        granted_ns=9,
    )


BITS = SecretBits(hashlib.shake_256(b"x").digest(96))


def write_all(store: Store) -> None:
    with store.transaction():
        store.put_piece(a_record("a-b/1/0#0"), BITS)
        store.put_piece(a_record("a-b/1/0#1"), BITS)
        store.update_piece(a_record("a-b/1/0#0", state=PieceState.READY))
        store.set_offset(BlockId("a-b/1/0#0"), 40)
        store.put_grant(a_grant())
        for name in ("z", "y", "x", "y"):
            store.put_seen(BlockId(name))
        for number in range(1, 6):
            store.put_message(SiteId("b"), number, bytes([number]))
        store.put_message(SiteId("c"), 1, b"c")
        store.delete_messages(SiteId("b"), 3)
        store.put_inbox(SiteId("b"), b"old", 1)
        store.put_inbox(SiteId("b"), b"stream", 5)
        store.put_fact("kind", "name", b"value")
        store.put_fact("kind", "gone", b"value")
        store.put_fact("kind", "gone", None)


EXPECTED = Snapshot(
    pieces=[(a_record("a-b/1/0#0", state=PieceState.READY), 40), (a_record("a-b/1/0#1"), 0)],
    grants=[a_grant()],
    seen=[BlockId("z"), BlockId("y"), BlockId("x")],
    outbox={SiteId("b"): {4: b"\x04", 5: b"\x05"}, SiteId("c"): {1: b"c"}},
    inbox={SiteId("b"): (b"stream", 5)},
    facts={("kind", "name"): b"value"},
)


def test_what_was_committed_is_there_after_reopening(store_and_reopen):
    store, reopen = store_and_reopen
    write_all(store)
    assert store.load() == EXPECTED
    store = reopen(store)
    assert store.load() == EXPECTED
    assert store.read_bits(BlockId("a-b/1/0#1")) == BITS


def test_a_transaction_that_fails_leaves_nothing(store_and_reopen):
    store, reopen = store_and_reopen
    write_all(store)
    with pytest.raises(ZeroDivisionError), store.transaction():  # noqa: PT012
        store.delete_piece(BlockId("a-b/1/0#0"))
        store.set_offset(BlockId("a-b/1/0#1"), 64)
        store.delete_grant(a_grant().key_id)
        store.put_grant(a_grant(2))
        store.delete_seen(BlockId("y"))
        store.put_message(SiteId("b"), 6, b"")
        store.delete_messages(SiteId("b"), 4)
        store.put_inbox(SiteId("b"), b"new", 9)
        store.put_fact("kind", "name", None)
        _ = 1 // 0
    assert store.load() == EXPECTED
    assert store.read_bits(BlockId("a-b/1/0#0")) == BITS
    assert reopen(store).load() == EXPECTED


def test_reads_inside_a_transaction_see_its_writes(store_and_reopen):
    store, _ = store_and_reopen
    with store.transaction():
        store.put_piece(a_record("p"), BITS)
        assert store.read_bits(BlockId("p")) == BITS
        store.delete_piece(BlockId("p"))
        with pytest.raises(KeyError):
            store.read_bits(BlockId("p"))


def test_a_deleted_piece_is_gone(store_and_reopen):
    store, reopen = store_and_reopen
    write_all(store)
    with store.transaction():
        store.delete_piece(BlockId("a-b/1/0#0"))
        store.delete_grant(a_grant().key_id)
        store.delete_seen(BlockId("y"))
    store = reopen(store)
    snapshot = store.load()
    assert [record.piece for record, _ in snapshot.pieces] == ["a-b/1/0#1"]
    assert snapshot.grants == []
    assert snapshot.seen == ["z", "x"]
    with pytest.raises(KeyError):
        store.read_bits(BlockId("a-b/1/0#0"))


def test_writing_outside_a_transaction_or_twice_is_our_mistake(store_and_reopen):
    store, _ = store_and_reopen
    with pytest.raises(LocalProtocolError):
        store.put_fact("kind", "name", b"value")
    with store.transaction():
        store.put_piece(a_record("p"), BITS)
        with pytest.raises(LocalProtocolError):
            store.put_piece(a_record("p"), BITS)
        with pytest.raises(LocalProtocolError), store.transaction():
            pass


def test_the_store_keeps_its_own_copy_of_bits(store_and_reopen):
    store, _ = store_and_reopen
    bits = SecretBits(bytes(range(32)))
    with store.transaction():
        store.put_piece(a_record("p"), bits)
    bits.wipe()
    copy = store.read_bits(BlockId("p"))
    assert copy == SecretBits(bytes(range(32)))
    copy.wipe()
    assert store.read_bits(BlockId("p")) == SecretBits(bytes(range(32)))


def test_a_crash_forgets_the_open_transaction_only():
    store = CrashingStore()
    write_all(store)
    with pytest.raises(Exception, match="crash"), store.transaction():  # noqa: PT012
        store.put_fact("kind", "name", b"other")
        store.crash()
        store.put_fact("kind", "name", b"another")
    with pytest.raises(Exception, match="crash"):
        store.load()
    assert store.reopen().load() == EXPECTED
