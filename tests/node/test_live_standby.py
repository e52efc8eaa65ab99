"""Two KME processes of one site on a real PostgreSQL server, with a live peer: one serves, the other takes over."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_network import TINY, Live, until
from postgres_server import PostgresServer

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from support.kmes import LiveKmes, network_text
from support.load import connected, context_of, post, read_answer
from support.traffic import Application, Memory, exchange, fetch

from qanat.core.ids import LinkId, SiteId
from qanat.node.audit.place import audit_folder, store_heads
from qanat.node.audit.whole import verdicts_of
from qanat.node.store.choice import choice_path
from qanat.node.store.postgres_session import Server

pytestmark = pytest.mark.slow

LINK = LinkId("site0-site1")
SITE, FIRST, SECOND, PEER = SiteId("site0"), SiteId("site0"), SiteId("site0@2"), SiteId("site1")
TAKEOVER_S_MAX = 5.0
PATIENCE_S = 1.0  # of an application, for one answer


def table_of(database: Server) -> str:
    """What store.toml says."""
    return f'[postgresql]\nsocket = "{database.socket}"\ndatabase = "{database.database}"\nuser = "{database.user}"\n'


@pytest.fixture
def kmes(tmp_path: Path, postgresql: PostgresServer) -> Iterator[LiveKmes]:
    database = postgresql.new_database()
    text = network_text(2, 2, kme_count=2)
    with LiveKmes(tmp_path, text=text, databases={SITE: table_of(database)}) as live:
        until(lambda: (live.health(FIRST), live.health(SECOND)) == ("serving", "standby"))
        live.feed(LINK, 3)
        yield live
        for instance in live.popens:
            assert "Traceback" not in (live.state.logs / f"{instance}.log").read_text()


class Load:
    """Applications in both directions, in threads of their own, and when each got keys."""

    def __init__(self, kmes: LiveKmes) -> None:
        self.memory = Memory()
        self._kmes = kmes
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._pair, args=(index,)) for index in range(4)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        self.until_keys_flow()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ends(self, index: int) -> list[Application]:
        names = ((f"m{index // 2}", "site0"), (f"s{index // 2}", "site1"))
        ends = [Application(self._kmes, name, site, self.memory, PATIENCE_S) for name, site in names]
        return ends if index % 2 == 0 else ends[::-1]

    def _pair(self, index: int) -> None:
        master, slave = self._ends(index)
        while not self._over.is_set():
            exchange(master, slave, self.memory)

    def until_keys_flow(self, count: int = 20) -> float:
        """Until masters at the site with two instances were given so many more keys; the time of the first."""
        before, first = self._given(), 0.0
        end_s = time.monotonic() + 20
        while self._given() < before + count:
            if not first and self._given() > before:
                first = time.monotonic()
            assert time.monotonic() < end_s, f"no keys; {self.memory.codes}"
            time.sleep(0.005)
        return first or time.monotonic()

    def _given(self) -> int:
        with self.memory.lock:
            return sum(len(seen) for name, seen in self.memory.seen_by.items() if name.startswith("m"))

    def lost_count(self) -> int:
        """Keys of masters that their slaves cannot fetch, although no answer with them was lost."""
        ends = {end.name: end for index in (0, 2) for end in self._ends(index)}
        lost = 0
        for key_id, (pair, _) in list(self.memory.sent.items()):
            if key_id not in self.memory.got:
                master, slave = pair.split("/")
                has_it = any(fetch(ends[slave], master, key_id, pair, self.memory) for _ in range(3))
                lost += not has_it and not self.memory.unanswered_dec[key_id]
        return lost


def check_nothing_lost_or_doubled(load: Load) -> None:
    assert load.lost_count() == 0
    assert load.memory.twice == 0
    assert load.memory.different == 0
    assert len(load.memory.got) >= 20


def problems_of(kmes: LiveKmes) -> list[str]:
    brought = audit_folder(kmes.states[SECOND], SECOND)
    elsewhere = {SECOND: brought} if brought.exists() else {}
    verdicts = verdicts_of(kmes.state, [SITE], elsewhere=elsewhere, anchors={})
    return [problem for verdict in verdicts for problem in verdict.problems]


def test_killed_again_and_again_the_other_instance_goes_on_and_both_audits_fit_together(kmes: LiveKmes) -> None:
    pauses_s = []
    with Load(kmes) as load:
        for _ in range(4):
            active = kmes.serving(SITE)
            killed_s = time.monotonic()
            kmes.kill(active)
            pauses_s.append(load.until_keys_flow() - killed_s)
            kmes.feed(LINK, 1)  # the QKD modules' keys go to whoever serves
            kmes.start(active)
            until(lambda active=active: kmes.health(active) == "standby")
    print("takeover after", [round(pause_s, 2) for pause_s in pauses_s], "s")
    assert max(pauses_s) < TAKEOVER_S_MAX
    check_nothing_lost_or_doubled(load)
    assert set(store_heads(kmes.state, SITE)) == {FIRST, SECOND}
    assert problems_of(kmes) == []
    shutil.rmtree(audit_folder(kmes.states[SECOND], SECOND))
    assert any("site0@2, which is not here" in problem for problem in problems_of(kmes))


def test_a_frozen_instance_is_replaced_and_answers_no_key_when_it_wakes(kmes: LiveKmes) -> None:
    context = context_of(kmes.credentials("m1"))
    port = kmes.ports.key_delivery[FIRST]
    old_lines = [connected(port, context, 3) for _ in range(4)]  # open since before it froze
    request = post("/api/v1/keys/s1/enc_keys", b'{"number":1}')
    with Load(kmes) as load:
        frozen_s = time.monotonic()
        os.kill(kmes.popens[FIRST].pid, signal.SIGSTOP)
        for line in old_lines:
            line.sendall(request)  # waits in its socket until it wakes
        pause_s = load.until_keys_flow() - frozen_s
        assert kmes.health(SECOND) == "serving"
        os.kill(kmes.popens[FIRST].pid, signal.SIGCONT)
        codes = [answered(line) for line in old_lines]
        codes += [asked_anew(port, context, request) for _ in range(20)]
        until(lambda: kmes.health(FIRST) == "standby")
        load.until_keys_flow()
    print("takeover after", round(pause_s, 2), "s; the woken instance answered", codes)
    assert pause_s < TAKEOVER_S_MAX
    assert set(codes) <= {0, 503}
    check_nothing_lost_or_doubled(load)
    assert problems_of(kmes) == []


def answered(line: ssl.SSLSocket) -> int:
    """Status code; 0 when the connection ends instead."""
    try:
        code, body = read_answer(line)
    except OSError:
        return 0
    assert code == 200 or "keys" not in json.loads(body)
    return code


def asked_anew(port: int, context: ssl.SSLContext, request: bytes) -> int:
    time.sleep(0.05)
    try:
        line = connected(port, context, 3)
        line.sendall(request)
    except OSError:
        return 0
    return answered(line)


def test_both_wait_while_the_database_is_away_and_one_of_them_goes_on(
    kmes: LiveKmes, postgresql: PostgresServer
) -> None:
    with Load(kmes) as load:
        postgresql.stop("immediate")
        try:
            until(lambda: kmes.health(FIRST) == kmes.health(SECOND) == "unable", patience_s=10)
        finally:
            postgresql.start()
        load.until_keys_flow()
        until(lambda: {kmes.health(FIRST), kmes.health(SECOND)} == {"serving", "standby"})
    check_nothing_lost_or_doubled(load)
    assert problems_of(kmes) == []


class SilentWire:
    """Between one instance and the database. After ``cut`` it carries nothing and closes nothing, as a network does."""

    def __init__(self, path: Path, target: str) -> None:
        self._target, self._is_cut = target, False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self._target)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not self._is_cut:
                    target.sendall(data)
            if not self._is_cut:
                target.shutdown(socket.SHUT_WR)

    def cut(self) -> float:
        self._is_cut = True
        return time.monotonic()

    def mend(self) -> None:
        """For new connections."""
        self._is_cut = False

    def close(self) -> None:
        self._listener.close()


def test_an_instance_that_is_cut_off_from_the_database_is_replaced_and_waits(
    tmp_path: Path, postgresql: PostgresServer
) -> None:
    database = postgresql.new_database()
    wire = SilentWire(postgresql.folder / f"wire-{database.database}", str(postgresql.socket))
    live = LiveKmes(tmp_path, text=network_text(2, 2, kme_count=2), databases={SITE: table_of(database)})
    through = table_of(database).replace(str(postgresql.socket), str(postgresql.folder / f"wire-{database.database}"))
    choice_path(live.states[FIRST], FIRST).write_text(through)
    try:
        with live:
            until(lambda: (live.health(FIRST), live.health(SECOND)) == ("serving", "standby"))
            live.feed(LINK, 3)
            with Load(live) as load:
                cut_s = wire.cut()
                until(lambda: live.health(SECOND) == "serving")
                pause_s = load.until_keys_flow() - cut_s
                until(lambda: live.health(FIRST) == "unable")
                wire.mend()
                until(lambda: live.health(FIRST) == "standby")
            print("takeover after", round(pause_s, 2), "s")
            assert pause_s < TAKEOVER_S_MAX
            check_nothing_lost_or_doubled(load)
            assert problems_of(live) == []
    finally:
        wire.close()


def test_qanat_up_runs_both_and_applications_controller_and_modules_find_the_one_that_serves(
    tmp_path: Path, postgresql: PostgresServer
) -> None:
    text = TINY.read_text("utf-8").replace('id = "mitte"', 'id = "mitte"\nkme_count = 2', 1)
    (tmp_path / "two.toml").write_text(text, "utf-8")
    live = Live(tmp_path, ("--isolate",), network=tmp_path / "two.toml")
    live.state.prepare()
    live.state.node(SiteId("mitte")).mkdir(mode=0o700)
    choice_path(live.state, SiteId("mitte")).write_text(table_of(postgresql.new_database()))

    def gives_a_key() -> bool:
        return live.run("key", "get", "alice", "bob").code == 0

    def is_up() -> bool:
        return next(site["is_up"] for site in live.snapshot()["sites"] if site["id"] == "mitte")

    live.start()
    try:
        until(gives_a_key, patience_s=40)
        active, standby = ("mitte", "mitte@2") if opened(live, "mitte") else ("mitte@2", "mitte")
        until(lambda: said(live, f"mitte: instance {standby} stands by"))
        frozen = live.kme(active)
        os.kill(frozen, signal.SIGSTOP)  # the supervisor sees nothing wrong with it
        until(lambda: opened(live, standby))
        until(is_up)
        made = bits_made(live)
        assert gives_a_key()
        until(lambda: bits_made(live) > made)  # and the reports of this instance reach the hub
        os.kill(frozen, signal.SIGCONT)
        until(lambda: said(live, f"mitte: instance {active} serves no more; it waits"))
        os.kill(live.kme(standby), signal.SIGKILL)
        until(lambda: live.kme(active) == frozen and said(live, f"kme {standby} has gone"))
        until(gives_a_key)
        verified = live.run("audit", "verify")
        assert verified.code == 0, verified.out + verified.err
        assert "kme-mitte@2: whole" in verified.out
    finally:
        live.stop()
    assert "Traceback" not in live.err()


def said(live: Live, text: str) -> bool:
    return any(text in entry["text"] for entry in live.snapshot()["journal"])


def opened(live: Live, instance: str) -> bool:
    return said(live, f"mitte: key store open (instance {instance})")


def bits_made(live: Live) -> int:
    """All that mitte's store was ever given."""
    stores = {store["site"]: store for store in live.snapshot()["kmes"]}
    return sum(int(account["made_bits"]) for account in stores["mitte"]["accounts"])
