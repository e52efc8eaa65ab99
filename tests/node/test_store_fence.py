"""An old copy of a key store never gives a key out: real files, real kills, copies from random moments."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from tests.km.pairing import a_block, a_chain
from typer.testing import CliRunner

from qanat.cli.main import app
from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.km.kme import Kme
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import provide_kek, read_kek
from qanat.node.statedir import StateDir
from qanat.node.store.fence import Fence, Mark
from qanat.node.store.sqlite import SqliteStore, StoreIsOld

KEK = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def opened(path: Path, **changes) -> SqliteStore:
    return SqliteStore(path, kek=KEK, entropy=SystemEntropy(), **changes)


def write(store: SqliteStore, value: bytes = b"x") -> None:
    with store.transaction():
        store.put_fact("kind", "name", value)


def advance(path: Path, commits: int = 3) -> None:
    store = opened(path)
    for _ in range(commits):
        write(store)
    store.close()


def test_an_old_copy_is_refused_with_the_way_out(path, tmp_path):
    advance(path)
    shutil.copy(path, tmp_path / "copy")
    advance(path, 1)
    newest = path.read_bytes()
    shutil.copy(tmp_path / "copy", path)
    with pytest.raises(StoreIsOld, match=r"commit 3.*commit 4[\s\S]*qanat kme recover SITE --discard-keys"):
        opened(path)
    path.write_bytes(newest)
    opened(path).close()


def test_a_copy_without_its_log_is_refused(path, tmp_path):
    advance(path)
    store = opened(path)
    write(store)
    shutil.copy(path, tmp_path / "copy")  # the fourth commit is in the log only
    write(store)
    store.close()
    path.with_name("store.db-wal").unlink(missing_ok=True)
    shutil.copy(tmp_path / "copy", path)
    with pytest.raises(StoreIsOld):
        opened(path)


def test_a_store_without_its_fence_is_refused(path):
    advance(path)
    path.with_name("store.db.fence").unlink()
    with pytest.raises(StoreIsOld, match="missing or damaged"):
        opened(path)


def test_a_damaged_fence_is_no_fence(path):
    advance(path)
    with path.with_name("store.db.fence").open("r+b") as file:
        file.write(b"\xff")
    with pytest.raises(StoreIsOld, match="missing or damaged"):
        opened(path)


def test_two_stores_grown_from_one_copy_are_told_apart(path, tmp_path):
    """Store and fence go back together and grow again; then the first branch, longer, returns alone."""
    advance(path)
    for name in ("store.db", "store.db.fence"):
        shutil.copy(tmp_path / name, tmp_path / f"{name}.copy")
    advance(path, 9)
    branch = path.read_bytes()
    for name in ("store.db", "store.db.fence"):
        shutil.copy(tmp_path / f"{name}.copy", tmp_path / name)
    advance(path, 1)
    path.write_bytes(branch)
    with pytest.raises(StoreIsOld):
        opened(path)


def test_a_store_put_back_while_it_is_open_is_noticed_at_the_next_write(path):
    store = opened(path)
    write(store)
    mark = store._stored_mark()
    write(store)
    store._db.execute("UPDATE meta SET value=? WHERE name='mark'", (mark.to_bytes(),))
    with pytest.raises(StoreIsOld, match="replaced while"):
        write(store)
    with pytest.raises(StoreIsOld, match="replaced while"):
        store.load()
    store.close()


def test_a_crash_between_commit_and_fence_is_no_rollback(path, monkeypatch):
    store = opened(path)
    write(store)
    monkeypatch.setattr(Fence, "write", lambda *_: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(EnvironmentProblem):  # nothing of this commit is given out
        write(store, b"committed")
    monkeypatch.undo()
    store.close()
    store = opened(path)
    assert store.load().facts["kind", "name"] == b"committed"
    write(store)
    store.close()


def test_a_transaction_that_only_reads_flushes_nothing(path):
    store = opened(path)
    write(store)
    before = store._mark
    with store.transaction():
        store.load()
    assert store._mark == before
    store.close()


def test_a_store_of_the_layout_before_the_fence_is_taken_over_once(path, tmp_path):
    advance(path)
    db = apsw.Connection(str(path))
    db.execute(
        "DELETE FROM meta WHERE name='mark'; DROP TABLE data_key;"
        "ALTER TABLE piece ADD COLUMN data_key BLOB NOT NULL DEFAULT x''; PRAGMA user_version=2"
    )
    db.close()
    shutil.copy(path, tmp_path / "copy")
    path.with_name("store.db.fence").unlink()
    advance(path)
    shutil.copy(tmp_path / "copy", path)
    with pytest.raises(StoreIsOld):
        opened(path)


def test_marks_follow_only_their_own_past():
    chance = random.Random(5)
    for _ in range(200):
        lives = [chance.randbytes(16) for _ in range(4)]
        history, count = [], 0
        for parent, life in zip([bytes(16), *lives], lives, strict=False):
            for _ in range(chance.randint(1, 4)):
                count += 1
                history.append(Mark(count, life, parent))
        for store_at, store in enumerate(history):
            for fence_at, fence in enumerate(history):
                is_old = store_at < fence_at
                assert not (is_old and store.follows(fence))
                if store_at >= fence_at and store.life == fence.life:
                    assert store.follows(fence)


def copied(folder: Path, target: Path) -> None:
    """As a backup program would: file by file, the running program does not know."""
    target.mkdir()
    for file in folder.iterdir():
        if file.is_file() and not file.name.endswith((".fence", ".lock")):
            shutil.copy(file, target / file.name)


def test_killed_and_put_back_at_random_moments_no_key_comes_twice(tmp_path):
    """A child gives keys out; copies are taken while it runs, it is killed, and a copy is put back."""
    seed = int(os.environ.get("QANAT_TEST_SEED", "11"))
    chance = random.Random(seed)
    folder, worker = tmp_path / "node", Path(__file__).with_name("store_worker.py")
    folder.mkdir()
    digests: list[str] = []
    refused = 0
    for turn in range(6):
        child = subprocess.Popen(
            [sys.executable, str(worker), str(folder / "store.db")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.readline()
        copied(folder, tmp_path / f"copy-{turn}")
        time.sleep(chance.uniform(0.02, 0.08))
        os.kill(child.pid, signal.SIGKILL)
        told = child.stdout.read().split("\n")
        child.wait()
        digests += [line.split()[1] for line in told if line.startswith("digest") and line.endswith(".")]
        newest = tmp_path / f"newest-{turn}"
        copied(folder, newest)
        for name in ("store.db", "store.db-wal"):
            (folder / name).unlink(missing_ok=True)
            copy = tmp_path / f"copy-{chance.randint(0, turn)}" / name
            if copy.exists():
                shutil.copy(copy, folder / name)
        again = subprocess.run(
            [sys.executable, str(worker), str(folder / "store.db")], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert again.returncode, f"seed {seed}, turn {turn}: an old copy was opened"
        assert "digest" not in again.stdout
        # A copy of a file that was being written may also be damaged.
        refused += "StoreIsOld" in again.stderr or "is damaged" in again.stderr
        for file in newest.iterdir():
            shutil.copy(file, folder / file.name)
    assert refused, f"seed {seed}: the fence refused no copy"
    assert len(digests) > 20
    assert len(set(digests)) == len(digests), f"seed {seed}: a key was handed out twice"


def a_state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.prepare()
    state.node(SiteId("a")).mkdir(mode=0o700, parents=True)
    provide_kek(state, SiteId("a"))
    return state


def site_store(state: StateDir) -> SqliteStore:
    kek = read_kek(state, SiteId("a"))
    return SqliteStore(
        state.store(SiteId("a")), kek=kek.reveal(), entropy=SystemEntropy(), fence=state.fence(SiteId("a"))
    )


def fill(state: StateDir, number: int) -> None:
    store = site_store(state)
    kme = Kme(site=SiteId("a"), network=a_chain(1), store=store, entropy=SystemEntropy())
    with store.transaction():
        kme.add_block(a_block("a-b", number), 0)
    store.close()


def test_recovering_destroys_the_keys_of_the_copy_and_only_then_the_kme_starts(tmp_path):
    state = a_state(tmp_path)
    fill(state, 1)
    folder = state.node(SiteId("a"))
    shutil.copytree(folder, tmp_path / "backup")
    fill(state, 2)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)  # the whole folder of the node: the fence is not in it
    with pytest.raises(StoreIsOld):
        site_store(state)
    run = CliRunner()
    options = ["--state", str(state.path)]
    unsure = run.invoke(app, ["kme", "recover", "a", *options])
    assert "--discard-keys" in str(unsure.exception)
    with pytest.raises(StoreIsOld):
        site_store(state)
    done = run.invoke(app, ["kme", "recover", "a", "--discard-keys", *options])
    assert done.exit_code == 0, done.output
    assert "16384 bits of key at a are destroyed" in done.output
    store = site_store(state)
    snapshot = store.load()
    assert (snapshot.pieces, snapshot.grants, snapshot.outbox) == ([], [], {})
    assert ("channel", "stream") not in snapshot.facts
    store.close()


def test_a_site_that_is_not_there_cannot_be_recovered(tmp_path):
    state = a_state(tmp_path)
    missing = CliRunner().invoke(app, ["kme", "recover", "nowhere", "--discard-keys", "--state", str(state.path)])
    assert "has no key store" in str(missing.exception)
