"""Two instances of one KME, each with a chain of its own: what is done to one of them is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from qanat.core.ids import SiteId
from qanat.node.audit.chains import chain_id, chain_suffix, heads_in, turn_facts
from qanat.node.audit.entry import NO_LINE
from qanat.node.audit.files import files_in
from qanat.node.audit.keys import provide_keys
from qanat.node.audit.log import AuditLog
from qanat.node.audit.place import audit_folder
from qanat.node.audit.tail import Tail, lines_after
from qanat.node.audit.verify import Verdict
from qanat.node.audit.whole import verdicts_of
from qanat.node.entropy import SystemEntropy
from qanat.node.statedir import StateDir

S = 10**9
NOW = 1_800_000_000 * S
FIRST, SECOND = SiteId("mitte"), SiteId("mitte@2")


class Site:
    """The store's facts, and turns of instances that write beside it."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDir(folder)
        self.state.prepare()
        self.facts: dict[str, bytes] = {}
        self.turn = 0
        self.now_ns = NOW

    def take_turn(self, instance: SiteId, entries: int = 5, uncommitted: int = 0) -> None:
        """A turn that ends with a kill; ``uncommitted`` entries of its last group never reached the store."""
        self.turn += 1
        log = self._log(instance)
        self._write(log, [("started", {"version": "1"} | turn_facts(self.facts, instance, self.turn))])
        for number in range(entries):
            self._write(log, [("refused", {"who": "alice", "count": number})])
        self.facts["head" + chain_suffix(instance)] = msgspec.msgpack.encode((log.count, log.head))
        for number in range(uncommitted):
            self._write(log, [("delivered", {"count": number})])
        log.close()

    def write_out_of_turn(self, instance: SiteId) -> None:
        log = self._log(instance)
        self._write(log, [("delivered", {"count": 1})])
        self.facts["head" + chain_suffix(instance)] = msgspec.msgpack.encode((log.count, log.head))
        log.close()

    def _write(self, log: AuditLog, rows: list) -> None:
        self.now_ns += 20 * S
        log.append(rows, self.now_ns)

    def _log(self, instance: SiteId) -> AuditLog:
        folder = audit_folder(self.state, instance)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        keys = provide_keys(folder, SystemEntropy())
        head = heads_in(self.facts, FIRST).get(instance)
        return AuditLog(folder, keys, kme_id=chain_id(instance), now_ns=self.now_ns, head=head)

    def path(self, instance: SiteId) -> Path:
        return files_in(audit_folder(self.state, instance))[-1]

    def verdicts(self, *names: SiteId, elsewhere: dict[SiteId, Path] | None = None) -> list[Verdict]:
        return verdicts_of(self.state, names or (FIRST, SECOND), elsewhere=elsewhere or {}, anchors={})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path / "state")
    monkeypatch.setattr(
        "qanat.node.audit.whole.store_heads", lambda _state, name: heads_in(made.facts, name) if made.facts else {}
    )
    return made


def told(verdicts: list[Verdict]) -> str:
    return " | ".join(problem for verdict in verdicts for problem in verdict.problems)


def test_chains_of_instances_that_take_turns_are_whole(site: Site) -> None:
    for instance in (FIRST, SECOND, FIRST, FIRST, SECOND):
        site.take_turn(instance)
    verdicts = site.verdicts()
    assert told(verdicts) == ""
    assert [verdict.kme for verdict in verdicts] == ["kme-mitte", "kme-mitte@2"]
    assert all(verdict.notes == [] for verdict in verdicts)


def test_entries_of_a_group_that_was_killed_before_its_commit_are_noted_and_later_declared_void(site: Site) -> None:
    site.take_turn(FIRST, uncommitted=3)
    site.take_turn(SECOND)
    verdicts = site.verdicts()
    assert told(verdicts) == ""
    assert "entries were never committed" in verdicts[0].notes[0]
    site.take_turn(FIRST)
    verdicts = site.verdicts()
    assert told(verdicts) == ""
    assert "void, from_n" in verdicts[0].notes[0]


def _cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-2]))


@pytest.mark.parametrize("victim", [FIRST, SECOND])
@pytest.mark.parametrize("has_store", [True, False])
def test_a_chain_whose_end_was_cut_is_found_by_the_store_and_by_the_other_chain(
    site: Site, victim: SiteId, has_store: bool
) -> None:
    for instance in (FIRST, SECOND, FIRST, SECOND, FIRST):
        site.take_turn(instance)
    if victim == FIRST:
        site.take_turn(SECOND)  # so that the other one comes last
    _cut(site.path(victim))
    if not has_store:
        site.facts.clear()
    assert "the end was cut off" in told(site.verdicts())


@pytest.mark.parametrize("has_store", [True, False])
def test_a_chain_that_was_taken_away_is_missed(site: Site, has_store: bool) -> None:
    site.take_turn(FIRST)
    site.take_turn(SECOND)
    shutil.rmtree(audit_folder(site.state, FIRST))
    if not has_store:
        site.facts.clear()
    problems = told(site.verdicts(SECOND))
    assert "mitte, which is not here; give its folder with --chain" in problems


def test_a_chain_brought_from_another_machine_is_taken_in(site: Site, tmp_path: Path) -> None:
    site.take_turn(FIRST)
    site.take_turn(SECOND)
    shutil.move(audit_folder(site.state, SECOND), tmp_path / "brought")
    assert told(site.verdicts(FIRST)) != ""
    assert told(site.verdicts(FIRST, elsewhere={SECOND: tmp_path / "brought"})) == ""


def test_a_chain_replaced_by_another_one_of_the_same_length_is_found(site: Site, tmp_path: Path) -> None:
    site.take_turn(FIRST)
    site.take_turn(SECOND)
    forged = Site(tmp_path / "forged")
    forged.take_turn(FIRST)
    site.facts.clear()
    problems = told(site.verdicts(SECOND, elsewhere={FIRST: audit_folder(forged.state, FIRST)}))
    assert "is not the one remembered elsewhere" in problems


def test_entries_written_while_another_instance_had_its_turn_are_found(site: Site) -> None:
    site.take_turn(FIRST)
    site.take_turn(SECOND)
    site.write_out_of_turn(FIRST)
    site.take_turn(FIRST)
    assert "was written after mitte@2 had begun turn 2" in told(site.verdicts())


def test_one_turn_claimed_by_two_instances_is_found(site: Site) -> None:
    site.take_turn(FIRST)
    site.turn -= 1
    site.take_turn(SECOND)
    assert "turn 1 is also one of mitte" in told(site.verdicts())


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), _cut])
def test_an_untouched_chain_stays_whole_beside_one_that_was_harmed(site: Site, harm: Callable[[Path], None]) -> None:
    for instance in (FIRST, SECOND, FIRST):
        site.take_turn(instance)
    harm(site.path(FIRST))
    first, second = site.verdicts()
    assert not first.is_whole
    assert second.is_whole


class Facts:
    """The facts of a store."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}

    def put_fact(self, kind: str, name: str, value: bytes) -> None:
        self.rows[kind, name] = value


def test_an_instance_whose_machine_lost_power_finds_its_newest_lines_although_another_one_wrote_since(
    site: Site,
) -> None:
    site.take_turn(FIRST)
    count, head = heads_in(site.facts, FIRST)[FIRST]
    store, tails = Facts(), {name: Tail(0, chain_suffix(name)) for name in (FIRST, SECOND)}
    for name in (FIRST, SECOND):
        log = site._log(name)
        for number in range(3):
            tails[name].keep(store, log.append([("refused", {"who": "alice", "count": number})], NOW))  # type: ignore[arg-type]
        log.close()
    found = lines_after(store.rows, count, head, chain_suffix(FIRST))
    assert found == site.path(FIRST).read_bytes().splitlines()[count:]
    assert len(found) == 3
    others = lines_after(store.rows, 0, NO_LINE, chain_suffix(SECOND))
    assert others == site.path(SECOND).read_bytes().splitlines()
