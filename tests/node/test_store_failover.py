"""Two real processes of one site on a real PostgreSQL server: the active one is killed or stopped under load."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from qanat.core.ids import SiteId
from qanat.node.entropy import SystemEntropy
from qanat.node.store.postgres import PostgresStore
from qanat.node.store.postgres_schema import SILENCE_S_MAX

WORKER = Path(__file__).with_name("store_worker.py")
TAKEOVER_S_MAX = 5.0


class Instance:
    """A worker, and what it said, with the time of its first key."""

    def __init__(self, database, fence: Path) -> None:
        self.child = subprocess.Popen(
            [sys.executable, str(WORKER), database.socket, database.database, str(fence)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.digests: list[str] = []
        self.first_s: float | None = None
        self._waits = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if line.startswith("waiting"):
                self._waits.set()
            elif line.startswith("digest") and line.endswith(".\n"):  # a line cut by the kill was not said
                if self.first_s is None:
                    self.first_s = time.monotonic()
                self.digests.append(line.split()[1])

    def until_it_waits(self) -> None:
        assert self._waits.wait(20)
        time.sleep(0.5)  # it has looked at the lease, and its fence follows

    def until_it_gives_keys(self, count: int = 1) -> None:
        end_s = time.monotonic() + 20
        while len(self.digests) < count:
            assert self.child.poll() is None, self.child.stderr and self.child.stderr.read()
            assert time.monotonic() < end_s, "no keys"
            time.sleep(0.005)

    def signal(self, number: int) -> float:
        os.kill(self.child.pid, number)
        return time.monotonic()

    def end(self) -> str:
        """What it said on its error channel."""
        if self.child.poll() is None:
            self.child.kill()
        self._thread.join()
        assert self.child.stderr is not None
        said = self.child.stderr.read()
        self.child.wait()
        return said


def test_killed_under_load_the_standby_takes_over_and_no_key_is_lost_or_doubled(database, tmp_path):
    turns = 4
    instances = [Instance(database, tmp_path / "fence-0")]
    instances[0].until_it_gives_keys()
    pauses_s = []
    try:
        for turn in range(turns):
            instances.append(Instance(database, tmp_path / f"fence-{(turn + 1) % 2}"))
            active, standby = instances[-2:]
            standby.until_it_waits()
            assert standby.digests == [], "two instances gave keys out"
            active.until_it_gives_keys(40)
            killed_s = active.signal(signal.SIGKILL)
            active.end()
            standby.until_it_gives_keys()
            pauses_s.append(standby.first_s - killed_s)
    finally:
        for instance in instances:
            instance.end()
    print("takeover after", [round(pause_s, 2) for pause_s in pauses_s], "s")
    assert max(pauses_s) < TAKEOVER_S_MAX, pauses_s
    check_single(instances, database, tmp_path / f"fence-{turns % 2}")


def test_an_instance_that_froze_and_woke_up_commits_nothing_more(database, tmp_path):
    frozen = Instance(database, tmp_path / "fence-0")
    frozen.until_it_gives_keys()
    standby = Instance(database, tmp_path / "fence-1")
    standby.until_it_waits()
    frozen_s = frozen.signal(signal.SIGSTOP)
    try:
        standby.until_it_gives_keys(40)
        frozen.signal(signal.SIGCONT)
        frozen.child.wait(10)  # its next transaction is refused, and this worker has no host that begins again
        assert standby.first_s is not None
        print("takeover after", round(standby.first_s - frozen_s, 2), "s")
        assert standby.first_s - frozen_s < SILENCE_S_MAX + 2
    finally:
        standby.end()
        said = frozen.end()
    assert "LeaseLost" in said
    check_single([frozen, standby], database, tmp_path / "fence-1")


def check_single(instances: list[Instance], database, fence: Path) -> None:
    """Every key once; all that was said is in the store; at most one group of each life was committed and not said."""
    digests = [digest for instance in instances for digest in instance.digests]
    assert len(set(digests)) == len(digests), "a key was handed out twice"
    store = PostgresStore(
        database, site=SiteId("a"), kek=bytes(range(32)), entropy=SystemEntropy(), fence=fence, patience_s=5
    )
    counted = int.from_bytes(store.load().facts["test", "count"])
    store.close()
    assert len(digests) <= counted <= len(digests) + 4 * len(instances)
