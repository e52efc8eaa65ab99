"""What only a store on a server can do wrong: two writers, a lost session, a database that was put back."""

import time
from pathlib import Path

import pytest
from tests.node.test_store_contract import BITS, a_record

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import BlockId, SiteId
from qanat.core.secret import SecretBits
from qanat.km.recovery import discard_keys
from qanat.node.entropy import SystemEntropy
from qanat.node.store.leased import Leased, LeaseLost
from qanat.node.store.postgres import PostgresStore
from qanat.node.store.postgres_schema import SILENCE_S_MAX
from qanat.node.store.postgres_session import Server
from qanat.node.store.sqlite import StoreIsOld, WrongKek

KEK = bytes(range(32))
SECRET = b"thirty-two bytes of a secret key" * 8
FACT = ("kind", "name")


class Instances:
    """Instances of one site on one database, each with a fence of its own."""

    def __init__(self, postgresql, database: Server, folder: Path) -> None:
        self.postgresql, self.database, self._folder = postgresql, database, folder
        self._opened: list[PostgresStore] = []

    def open(self, name: str = "first", **changes) -> PostgresStore:
        options = {"site": SiteId("a"), "kek": KEK, "patience_s": 0.3} | changes
        store = PostgresStore(
            self.database, entropy=SystemEntropy(), fence=self._folder / name, **options
        )  # fmt: skip
        self._opened.append(store)
        return store

    def execute(self, statement: str) -> list[list[object]]:
        return self.postgresql.execute(statement, self.database.database)

    def end_session(self, store: PostgresStore) -> None:
        assert store._session is not None
        pid = store._run("SELECT pg_backend_pid()")[0][0]
        self.postgresql.execute(f"SELECT pg_terminate_backend({pid}, 2000)")

    def back_up(self) -> str:
        copy = self.database.database + "_copy"
        self.postgresql.execute(f"CREATE DATABASE {copy} TEMPLATE {self.database.database}")
        return copy

    def put_back(self, copy: str) -> None:
        self.postgresql.execute(f"DROP DATABASE {self.database.database} WITH (FORCE)")
        self.postgresql.execute(f"ALTER DATABASE {copy} RENAME TO {self.database.database}")

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def instances(postgresql, database, tmp_path):
    made = Instances(postgresql, database, tmp_path)
    yield made
    made.close()


def write(store: PostgresStore, value: bytes = b"x") -> None:
    with store.transaction():
        store.put_fact(*FACT, value)


def test_a_second_instance_waits_and_takes_over_when_the_first_ends(instances):
    first = instances.open()
    write(first, b"by the first")
    with pytest.raises(LeaseLost, match="another instance of a serves"):
        instances.open("second")
    first.close()
    second = instances.open("second")
    assert second.load().facts[FACT] == b"by the first"


def test_a_deposed_instance_never_commits_and_comes_back_only_by_load(instances):
    first = instances.open()
    write(first, b"1")
    with pytest.raises(LeaseLost):
        instances.open("second")  # joins, so that it has a fence
    instances.end_session(first)
    second = instances.open("second")
    write(second, b"2")
    for _ in range(2):
        with pytest.raises(LeaseLost):
            write(first, b"stale")
    with pytest.raises(LeaseLost):
        first.beat()
    with pytest.raises(LeaseLost, match="another instance"):
        first.load()
    assert second.load().facts[FACT] == b"2"
    second.close()
    assert first.load().facts[FACT] == b"2"
    write(first, b"3")


def test_the_epoch_alone_stops_a_writer_whose_session_lives(instances):
    """As behind a pooler that hands sessions about: the advisory lock says nothing, the token does."""
    first = instances.open()
    write(first, b"1")
    instances.execute("INSERT INTO life VALUES (99, 'another', 1); UPDATE lease SET epoch = 99")
    with pytest.raises(LeaseLost, match="deposed"):
        write(first, b"stale")
    assert instances.execute("SELECT value FROM fact WHERE kind='kind'") == [[b"1"]]


def test_a_transaction_whose_session_ends_has_not_happened(instances):
    store = instances.open()
    write(store, b"1")
    with pytest.raises(LeaseLost), store.transaction():  # noqa: PT012
        store.put_fact(*FACT, b"half")
        instances.end_session(store)
        store.put_fact(*FACT, b"half")
    assert store.load().facts[FACT] == b"1"


def test_a_failing_statement_inside_a_transaction_spoils_all_of_it(instances):
    store = instances.open()
    write(store, b"1")
    with pytest.raises(EnvironmentProblem), store.transaction():  # noqa: PT012
        store.put_fact(*FACT, b"half")
        with pytest.raises(EnvironmentProblem, match="refused"):
            store._write("INSERT INTO nowhere VALUES (:x)", x=1)
    assert store.load().facts[FACT] == b"1"


def test_an_instance_that_says_nothing_is_replaced_soon_after_the_silence_allowed(instances):
    first = instances.open()
    write(first, b"1")
    with pytest.raises(LeaseLost):
        instances.open("second").close()  # it was a standby once, so it has a fence
    silent_s = time.monotonic()
    write(first, b"2")
    second = instances.open("second", patience_s=10)
    assert SILENCE_S_MAX - 0.5 < time.monotonic() - silent_s < SILENCE_S_MAX + 2
    assert second.load().facts[FACT] == b"2"
    with pytest.raises(LeaseLost):
        write(first)


def test_an_instance_that_beats_is_not_replaced(instances):
    first = instances.open()
    assert isinstance(first, Leased)
    end_s = time.monotonic() + SILENCE_S_MAX + 1
    while time.monotonic() < end_s:
        first.beat()
        time.sleep(0.05)
    write(first)


def test_a_server_that_died_and_came_back_has_all_that_was_committed(instances):
    store = instances.open()
    with store.transaction():
        store.put_piece(a_record("p"), BITS)
    instances.postgresql.stop("immediate")
    with pytest.raises(LeaseLost, match="cannot be reached"):
        write(store)
    with pytest.raises(LeaseLost):
        store.load()
    instances.postgresql.start()
    assert [record.piece for record, _ in store.load().pieces] == ["p"]
    assert store.read_bits(BlockId("p")) == BITS
    write(store)


def test_a_database_that_was_put_back_is_refused_with_the_way_out(instances):
    store = instances.open()
    with store.transaction():
        store.put_piece(a_record("p"), BITS)
    store.close()
    copy = instances.back_up()
    store = instances.open()
    with store.transaction():
        store.set_offset(BlockId("p"), 32)  # a key was given out
    store.close()
    instances.put_back(copy)
    with pytest.raises(StoreIsOld, match=r"lacks commit 2[\s\S]*qanat kme recover SITE --discard-keys"):
        instances.open()
    store = instances.open(is_recovering=True)
    assert discard_keys(SiteId("a"), store) == 8 * 64
    store.close()
    assert instances.open().load().pieces == []


def test_a_database_put_back_under_a_running_instance_is_noticed(instances):
    store = instances.open()
    write(store, b"1")
    found = instances.execute("SELECT count FROM lease")
    write(store, b"2")
    instances.execute(f"UPDATE lease SET count = {found[0][0]}; UPDATE life SET last = {found[0][0]}")
    with pytest.raises(StoreIsOld, match="replaced while"):
        write(store)
    with pytest.raises(StoreIsOld, match="lacks commit 2"):
        store.load()


def test_a_standby_knows_an_old_copy_although_it_never_wrote(instances):
    first = instances.open()
    write(first)
    first.close()
    copy = instances.back_up()
    first = instances.open()
    write(first)
    with pytest.raises(LeaseLost):
        instances.open("second")  # sees commit 2 while it waits
    first.close()
    instances.put_back(copy)
    with pytest.raises(StoreIsOld, match="lacks commit 2"):
        instances.open("second")


def test_two_databases_grown_from_one_copy_are_told_apart(instances):
    first = instances.open()
    write(first)
    first.close()
    copy = instances.back_up()
    with_fence = instances.open()
    write(with_fence)
    with_fence.close()
    instances.put_back(copy)
    other = instances.open("other", is_recovering=True)
    for _ in range(5):
        write(other)  # further than the first branch, and another one
    other.close()
    with pytest.raises(StoreIsOld):
        instances.open()


def test_a_standby_does_not_follow_an_old_copy_that_another_instance_serves(instances):
    first = instances.open()
    write(first)
    first.close()
    copy = instances.back_up()
    first = instances.open()
    write(first)
    first.close()
    instances.put_back(copy)
    other = instances.open("other", is_recovering=True)
    write(other)
    for _ in range(2):  # and its fence was not moved to the other branch
        with pytest.raises(StoreIsOld, match="lacks commit 2"):
            instances.open()


def test_a_new_instance_joins_beside_an_active_one_only(instances):
    first = instances.open()
    write(first)
    first.close()
    with pytest.raises(StoreIsOld, match="missing or damaged"):
        instances.open("new")
    first = instances.open()
    with pytest.raises(LeaseLost):
        instances.open("new")
    first.close()
    instances.open("new").close()


def test_a_fence_knows_its_commit_also_after_other_instances_came_and_went(instances):
    first = instances.open()
    write(first)
    for name in ("second", "third"):
        with pytest.raises(LeaseLost):
            instances.open(name)
    first.close()
    for name in ("second", "third", "second"):
        store = instances.open(name)
        write(store)
        store.close()
    instances.open().close()


def test_one_fence_serves_one_instance(instances):
    instances.open()
    with pytest.raises(EnvironmentProblem, match="open in another process"):
        instances.open()


def test_another_site_or_another_kek_is_refused(instances):
    instances.open().close()
    with pytest.raises(EnvironmentProblem, match="key store of site a, not of b"):
        instances.open(site=SiteId("b"))
    with pytest.raises(WrongKek):
        instances.open(kek=bytes(32))
    instances.open().close()


def test_a_changed_kek_holds_after_a_commit_and_not_after_a_failure(instances):
    store = instances.open()
    with store.transaction():
        store.put_piece(a_record("p"), BITS)
    with pytest.raises(ZeroDivisionError), store.transaction():  # noqa: PT012
        store.rewrap(bytes(32))
        _ = 1 // 0
    assert store.read_bits(BlockId("p")) == BITS
    with store.transaction():
        assert store.rewrap(bytes(32)) == 1
        assert store.read_bits(BlockId("p")) == BITS
    store.close()
    with pytest.raises(WrongKek):
        instances.open()
    assert instances.open(kek=bytes(32)).read_bits(BlockId("p")) == BITS


def test_the_server_never_sees_a_key_bit(instances):
    store = instances.open()
    with store.transaction():
        store.put_piece(a_record("p"), SecretBits(SECRET))
    sealed = instances.execute("SELECT bits FROM piece")[0][0]
    instances.postgresql.execute("CHECKPOINT")
    files = [file.read_bytes() for file in instances.postgresql.data.rglob("*") if file.is_file()]
    assert any(sealed[:32] in data for data in files)  # the search finds what is there
    assert not any(SECRET[:32] in data for data in files)


def test_a_piece_that_was_changed_or_swapped_at_the_server_is_noticed(instances):
    store = instances.open()
    with store.transaction():
        store.put_piece(a_record("p"), BITS)
        store.put_piece(a_record("q"), BITS)
    instances.execute("UPDATE piece SET bits = (SELECT bits FROM piece WHERE name='q') WHERE name='p'")
    with pytest.raises(EnvironmentProblem, match="was changed there"):
        store.read_bits(BlockId("p"))


def test_commits_are_durable_or_the_server_is_refused(instances):
    store = instances.open()
    assert store._run("SHOW synchronous_commit") == [["on"]]
    store.close()
    try:
        instances.postgresql.set("fsync", "off")
        with pytest.raises(EnvironmentProblem, match="fsync off"):
            instances.open()
    finally:
        instances.postgresql.set("fsync", "on")
    instances.open().close()


def test_a_server_that_is_not_there_is_told(tmp_path):
    nowhere = Server(database="d", user="u", socket=str(tmp_path / "nowhere"))
    with pytest.raises(LeaseLost, match="cannot be reached"):
        PostgresStore(nowhere, site=SiteId("a"), kek=KEK, entropy=SystemEntropy(), fence=tmp_path / "fence")


def test_an_engine_may_take_its_time_to_be_built_and_no_longer(instances):
    store = instances.open()
    silence = "SHOW idle_session_timeout"
    for first in (lambda: write(store), store.beat):
        store.load()
        assert store._run(silence) == [["2min"]]
        first()
        assert store._run(silence) == [[f"{SILENCE_S_MAX}s"]]
    with store.transaction():
        store.load()
    assert store._run(silence) == [[f"{SILENCE_S_MAX}s"]]
