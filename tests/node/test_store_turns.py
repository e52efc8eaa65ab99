"""Instances of one site that wait for their turn, over folders as `qanat up` makes them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.netfile import network_from_toml
from qanat.node.entropy import SystemEntropy
from qanat.node.instance import all_instances, instances_of, site_of, standbys
from qanat.node.kek import kek_path
from qanat.node.pki import kme_credentials, provision
from qanat.node.reach import urls_of
from qanat.node.statedir import StateDir
from qanat.node.store.choice import choice_path
from qanat.node.store.leased import LeaseLost
from qanat.node.store.opening import finish, open_store, rotate
from qanat.node.store.postgres import PostgresStore
from qanat.node.store.waiting import NotWanted, Waiting, store_in_turn

MITTE, SECOND = SiteId("mitte"), SiteId("mitte@2")
TEXT = """
name = "two"
simulation = true
[[sites]]
id = "mitte"
latitude_deg = 52.5
longitude_deg = 13.4
kme_count = 2
[[sites]]
id = "moabit"
latitude_deg = 52.6
longitude_deg = 13.4
[[fibres]]
id = "duct"
between = ["mitte", "moabit"]
length_km = 12
[[links]]
id = "mitte-moabit"
from = "mitte"
to = "moabit"
fibre = "duct"
"""


@pytest.fixture
def state(tmp_path: Path, database) -> StateDir:
    made = StateDir(tmp_path / "state")
    provision(made, network_from_toml(TEXT), datetime.now(UTC))
    table = f'socket = "{database.socket}"\ndatabase = "{database.database}"\nuser = "{database.user}"'
    choice_path(made, MITTE).write_text(f"[postgresql]\n{table}\n")
    return made


class Instance:
    """One that waits in a thread of its own, as the writer thread does."""

    def __init__(self, state: StateDir, name: SiteId) -> None:
        self.waiting, self.deposed = Waiting(), threading.Event()
        self.store: PostgresStore | None = None
        self.error: Exception | None = None
        self._state, self._name = state, name
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.store = store_in_turn(self._opened, self.waiting)  # type: ignore[assignment]
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error

    def _opened(self):
        return open_store(
            self._state,
            self._name,
            root=None,
            entropy=SystemEntropy(),
            waiting=self.waiting,
            on_deposed=self.deposed.set,
        )

    def until(self, is_true) -> None:
        end_s = time.monotonic() + 10
        while not is_true():
            assert time.monotonic() < end_s, (self.error, self.waiting.problem)
            time.sleep(0.01)

    def until_it_serves(self) -> PostgresStore:
        self.until(lambda: self.store is not None)
        self._thread.join()
        assert self.store is not None
        return self.store

    def until_it_stands_by(self) -> None:
        self.until(lambda: not self.waiting.problem)

    def end(self) -> None:
        self.waiting.give_up()
        self._thread.join()
        if self.store is not None:
            self.store.close()


def test_instances_have_names_folders_and_certificates_of_their_own_and_one_identity(state: StateDir) -> None:
    network = network_from_toml(TEXT)
    assert instances_of(network, MITTE) == [MITTE, SECOND]
    assert all_instances(network) == [MITTE, SECOND, SiteId("moabit")]
    assert standbys(network) == [SECOND]
    assert site_of(SECOND) == MITTE
    files = [kme_credentials(state, name) for name in (MITTE, SECOND)]
    assert files[0].keyfile.read_bytes() != files[1].keyfile.read_bytes()
    assert kek_path(state, SECOND) == kek_path(state, MITTE)
    assert choice_path(state, SECOND) == choice_path(state, MITTE)
    assert urls_of({"mitte": 1, "mitte@2": 2, "moabit": 3}, "mitte") == ["https://127.0.0.1:1", "https://127.0.0.1:2"]


def test_an_instance_with_files_of_its_own_uses_them(state: StateDir) -> None:
    for name in ("kek", "store.toml"):
        (state.node(SECOND) / name).write_bytes((state.node(MITTE) / name).read_bytes())
    assert kek_path(state, SECOND) == state.node(SECOND) / "kek"
    assert choice_path(state, SECOND) == state.node(SECOND) / "store.toml"


def test_one_that_is_stopped_while_it_waits_ends_at_once(state: StateDir) -> None:
    active, standby = Instance(state, MITTE), None
    try:
        active.until_it_serves()
        standby = Instance(state, SECOND)
        standby.until_it_stands_by()
        begin_s = time.monotonic()
        standby.end()
        assert time.monotonic() - begin_s < 1
        assert isinstance(standby.error, NotWanted)
    finally:
        active.end()


def test_a_deposed_store_says_so_once_and_never_asks_for_another_turn(state: StateDir, postgresql, database) -> None:
    active = Instance(state, MITTE)
    try:
        store = active.until_it_serves()
        postgresql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
            database.database,
        )
        for _ in range(3):
            with pytest.raises(LeaseLost), store.transaction():
                store.put_fact("test", "x", b"1")
        assert active.deposed.is_set()
        with pytest.raises(LeaseLost):
            store.load()
    finally:
        active.end()


def test_a_key_encryption_key_changed_by_the_active_one_opens_the_store_for_the_next(state: StateDir) -> None:
    active, standby = Instance(state, MITTE), None
    try:
        store = active.until_it_serves()
        standby = Instance(state, SECOND)
        standby.until_it_stands_by()
        with store.transaction():
            rotate(state, MITTE, store, None, SystemEntropy())
        finish(state, MITTE)
        time.sleep(0.5)
        standby.until_it_stands_by()
        store.close()
        assert standby.until_it_serves().epoch == 2
    finally:
        active.end()
        if standby is not None:
            standby.end()


def test_one_with_a_wrong_key_encryption_key_says_so_while_it_waits_and_is_mended_by_the_right_one(
    state: StateDir,
) -> None:
    own = state.node(SECOND) / "kek"
    own.write_text("development\n" + "ab" * 32)
    own.chmod(0o600)
    active, standby = Instance(state, MITTE), None
    try:
        active.until_it_serves()
        standby = Instance(state, SECOND)
        standby.until(lambda: "is sealed under another key" in standby.waiting.problem)
        own.write_bytes(kek_path(state, MITTE).read_bytes())
        standby.until_it_stands_by()
    finally:
        active.end()
        if standby is not None:
            standby.end()


def test_an_old_copy_is_no_matter_of_waiting(state: StateDir, postgresql, database) -> None:
    active = Instance(state, MITTE)
    store = active.until_it_serves()
    with store.transaction():
        store.put_fact("test", "x", b"1")
    active.end()
    postgresql.execute("DELETE FROM life", database.database)
    again = Instance(state, MITTE)
    again.until(lambda: again.error is not None)
    assert isinstance(again.error, EnvironmentProblem)
    assert "lacks commit" in str(again.error)
    again.end()
