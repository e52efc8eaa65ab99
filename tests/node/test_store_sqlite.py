"""What only a store on a disk can do wrong: locks, keys, full disks, damage, kill -9."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.secret import SecretBits
from qanat.crypto.randomness.health import EntropyFailed, HealthTestedEntropy
from qanat.km.store import PieceRecord, PieceState
from qanat.node.entropy import SystemEntropy
from qanat.node.store.sqlite import SqliteStore

KEK = bytes(range(32))
SECRET = b"thirty-two bytes of a secret key" * 8


def a_record(name: str) -> PieceRecord:
    return PieceRecord(
        piece=BlockId(name),
        parent=BlockId(name),
        account="a-b",
        peer=SiteId("b"),
        owner=SiteId("a"),
        size_bytes=len(SECRET),
        state=PieceState.READY,
        sources=(),
        provenance=Provenance(
            origin=Origin.QKD,
            links=(LinkId("a-b"),),
            authentication=Authentication.PRE_SHARED,
            epsilon_total=0.0,
            simulated=True,
        ),
        made_ns=0,
    )


class Breaking:
    """The operating system's bytes, or zeros once it is broken."""

    is_broken = False

    def random_bytes(self, size_bytes: int) -> bytes:
        return bytes(size_bytes) if self.is_broken else os.urandom(size_bytes)


def fill(store: SqliteStore, name: str = "p") -> None:
    with store.transaction():
        store.put_piece(a_record(name), SecretBits(SECRET))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def test_a_second_opener_is_refused_with_a_sentence(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    with pytest.raises(EnvironmentProblem, match="open in another process"):
        SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    store.close()
    SqliteStore(path, kek=KEK, entropy=SystemEntropy()).close()


def test_the_files_are_private_and_hold_no_key_in_clear(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    fill(store)
    files = list(path.parent.iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert not any(SECRET[:32] in file.read_bytes() for file in files)
    store.close()


def test_erasing_a_piece_leaves_neither_data_key_nor_bits_in_the_files(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    fill(store)
    data_key, bits = store._db.execute("SELECT wrapped, bits FROM piece JOIN data_key USING (name)").fetchone()
    with store.transaction():
        store.delete_piece(BlockId("p"))
    store.close()
    left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert data_key[:24] not in left
    assert bits[:64] not in left


def test_another_kek_is_refused_at_once(path):
    SqliteStore(path, kek=KEK, entropy=SystemEntropy()).close()
    with pytest.raises(EnvironmentProblem, match="sealed under another key"):
        SqliteStore(path, kek=bytes(32), entropy=SystemEntropy())
    SqliteStore(path, kek=KEK, entropy=SystemEntropy()).close()  # the refused one let go of the lock


def test_a_swapped_or_changed_piece_is_noticed(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    fill(store, "p")
    fill(store, "q")
    store._db.execute("UPDATE piece SET bits=(SELECT bits FROM piece WHERE name='q') WHERE name='p'")
    with pytest.raises(EnvironmentProblem, match="changed on the disk"):
        store.read_bits(BlockId("p"))
    store.close()


def test_a_store_whose_entropy_breaks_seals_nothing_more_and_keeps_what_it_has(path):
    source = Breaking()
    tested = HealthTestedEntropy(source, min_entropy_bits=8, alpha_log2=-80)
    store = SqliteStore(path, kek=KEK, entropy=tested)
    fill(store, "p")
    source.is_broken = True
    with pytest.raises(EntropyFailed):
        fill(store, "q")
    source.is_broken = False
    with pytest.raises(EntropyFailed):  # once failed, always failed
        fill(store, "q")
    assert [record.piece for record, _ in store.load().pieces] == ["p"]
    assert store.read_bits(BlockId("p")).reveal() == SECRET
    store.close()


def test_a_damaged_file_is_told_and_not_overwritten(path):
    path.write_bytes(b"this is no database, but somebody's letter" * 100)
    with pytest.raises(EnvironmentProblem, match="damaged"):
        SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    assert path.read_bytes().startswith(b"this is no database")


def test_a_torn_page_is_told(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    for number in range(200):
        fill(store, f"p{number}")
    store.close()
    with path.open("r+b") as file:
        for page in range(1, path.stat().st_size // 4096):
            file.seek(4096 * page)
            file.write(os.urandom(200))
    with pytest.raises(EnvironmentProblem):
        SqliteStore(path, kek=KEK, entropy=SystemEntropy()).load()


def test_a_full_disk_is_told_and_nothing_is_half_written(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    fill(store, "first")
    pages = store._db.execute("PRAGMA page_count").get
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(EnvironmentProblem, match=r"disk of key store .* is full"), store.transaction():  # noqa: PT012
        for number in range(100):
            store.put_piece(a_record(f"p{number}"), SecretBits(SECRET))
    assert [record.piece for record, _ in store.load().pieces] == ["first"]
    store._db.execute("PRAGMA max_page_count=100000")
    fill(store, "second")
    store.close()


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(EnvironmentProblem, match="cannot be opened"):
        SqliteStore(tmp_path / "nowhere" / "store.db", kek=KEK, entropy=SystemEntropy())


def test_a_store_of_a_later_version_is_refused(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    store._db.execute("PRAGMA user_version=99")
    store.close()
    with pytest.raises(EnvironmentProblem, match="layout 99"):
        SqliteStore(path, kek=KEK, entropy=SystemEntropy())


def test_commits_are_flushed_to_the_disk(path):
    store = SqliteStore(path, kek=KEK, entropy=SystemEntropy())
    assert store._db.execute("PRAGMA synchronous").get == 2  # FULL
    assert store._db.execute("PRAGMA journal_mode").get == "wal"
    assert tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) >= (3, 51, 3)  # WAL-reset bug
    store.close()


def test_killed_at_any_moment_it_keeps_what_it_said_and_hands_no_key_twice(tmp_path):
    """A child gives keys of one pair out and tells each after its commit; it is killed ten times."""
    worker = Path(__file__).with_name("store_worker.py")
    told: list[str] = []
    for kill in range(10):
        child = subprocess.Popen(
            [sys.executable, str(worker), str(tmp_path / "store.db")], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        told.append(child.stdout.readline())  # it runs
        time.sleep(0.005 + 0.011 * kill)
        os.kill(child.pid, signal.SIGKILL)
        told += child.stdout.read().split("\n")
        child.wait()
    lines = [line.split() for line in told if line.endswith(".")]  # a line cut by the kill was not said
    keys = [digest for kind, digest, _ in lines if kind == "digest"]
    assert len(keys) > 10
    assert len(set(keys)) == len(keys), "a key was handed out twice"
    store = SqliteStore(tmp_path / "store.db", kek=KEK, entropy=SystemEntropy())
    assert store._db.execute("PRAGMA integrity_check").get == "ok"
    snapshot = store.load()
    store.close()
    counted = int.from_bytes(snapshot.facts["test", "count"])
    # All that was said is in the store; at most the last group of each life was committed and not said.
    assert len(keys) <= counted <= len(keys) + 10 * 4
