"""The audit: every line durable before its answer, and every change to the files found."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.km.pairing import CountingEntropy, S, a_block, a_chain

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId, SiteId
from qanat.core.secret import SecretBits
from qanat.km.documents import KeyRequest
from qanat.km.kme import Kme
from qanat.node.audit import tail
from qanat.node.audit.entry import entry_of, hash_of
from qanat.node.audit.files import files_in, lines_of
from qanat.node.audit.keys import AuditKeys, provide_keys
from qanat.node.audit.kinds import KINDS, OWN_KINDS, Row
from qanat.node.audit.log import AuditLog
from qanat.node.audit.refusals import INTERVAL_NS, ROWS_MAX, Refusals
from qanat.node.audit.trail import Trail
from qanat.node.audit.verify import Verdict, verify
from qanat.node.entropy import SystemEntropy
from qanat.node.processes.writer_thread import Outcome, StoreFailed, WriterThread
from qanat.node.store.sqlite import SqliteStore

NOW = 1_800_000_000 * S
KME = "kme-a"


@pytest.fixture
def keys(tmp_path: Path) -> AuditKeys:
    return provide_keys(tmp_path / "audit", SystemEntropy())


def a_log(tmp_path: Path, keys: AuditKeys, head: tuple[int, str] | None = None, **changes) -> AuditLog:
    return AuditLog(tmp_path / "audit", keys, kme_id=KME, now_ns=NOW, head=head, **changes)


def filled(tmp_path: Path, keys: AuditKeys, count: int = 30, **changes) -> tuple[int, str]:
    """A log with so many entries, closed in good order. Returns its head."""
    log = a_log(tmp_path, keys, **changes)
    for number in range(count):
        log.append([("refused", {"who": "lyon", "count": number})], NOW + number * 10 * S)
    log.append([("stopped", {})], NOW + count * 10 * S)
    log.close()
    return log.count, log.head


def judged(tmp_path: Path, keys: AuditKeys, *heads: tuple[int, str]) -> Verdict:
    return verify(tmp_path / "audit", KME, key=keys.signing.verifying_key, heads=list(heads))


def paths(tmp_path: Path) -> list[Path]:
    return files_in(tmp_path / "audit")


def test_an_untouched_audit_is_whole_and_signed_to_its_end(tmp_path: Path, keys: AuditKeys) -> None:
    head = filled(tmp_path, keys)
    verdict = judged(tmp_path, keys, head)
    assert verdict.is_whole
    assert verdict.entries == head[0]
    assert verdict.checkpoints >= 5  # one a minute of five
    assert verdict.unsigned_entries == 0
    assert verdict.notes == []


def _changed(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"who":"lyon","count":7}', b'"who":"lyon","count":8}'))


def _line_removed(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5] + lines[6:]))


def _lines_swapped(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], lines[6], lines[5], *lines[7:]]))


def _cut(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))


def _rewritten(path: Path) -> None:
    """The whole chain made anew around a changed entry, by somebody without the signing key."""
    lines, head = [], "0" * 64
    for line in path.read_bytes().splitlines():
        told = json.loads(line)
        told["prev"] = head
        if told["facts"].get("count") == 7:
            told["facts"]["count"] = 8
        lines.append(json.dumps(told, separators=(",", ":")).encode())
        head = hash_of(lines[-1])
    path.write_bytes(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (_changed, "does not follow"),
        (_line_removed, "does not follow"),
        (_lines_swapped, "does not follow"),
        (_cut, "the end was cut off"),
        (_rewritten, "is not by this KME's audit key"),
        (lambda path: path.unlink(), "the end was cut off"),
        (lambda path: path.write_bytes(b"{}\n"), "cannot be read"),
    ],
)
def test_whatever_is_changed_in_the_file_is_found(
    tmp_path: Path, keys: AuditKeys, harm: Callable[[Path], None], what: str
) -> None:
    head = filled(tmp_path, keys)
    before = paths(tmp_path)[0].read_bytes()
    harm(paths(tmp_path)[0])
    assert not paths(tmp_path) or paths(tmp_path)[0].read_bytes() != before
    verdict = judged(tmp_path, keys, head)
    assert not verdict.is_whole
    assert what in " ".join(verdict.problems)


@pytest.mark.parametrize("index", [0, 1, -1])
def test_a_file_that_was_taken_away_is_missed(tmp_path: Path, keys: AuditKeys, index: int) -> None:
    head = filled(tmp_path, keys, 60, file_bytes_max=4_000)
    assert len(paths(tmp_path)) > 3
    assert judged(tmp_path, keys, head).is_whole
    # The newest file may be empty, just begun: then the one before it is the end.
    kept = [path for path in paths(tmp_path) if path.stat().st_size]
    kept[index].unlink()
    assert not judged(tmp_path, keys, head).is_whole


def test_an_anchor_written_down_elsewhere_finds_a_rewritten_past_and_a_growing_audit_keeps_it(
    tmp_path: Path, keys: AuditKeys
) -> None:
    anchor = filled(tmp_path, keys, 5)
    log = a_log(tmp_path, keys, anchor)
    log.append([("stopped", {})], NOW)
    log.close()
    assert judged(tmp_path, keys, anchor).is_whole
    assert "not the one remembered" in judged(tmp_path, keys, (anchor[0], "f" * 64)).problems[0]


def test_a_line_torn_by_a_crash_is_cut_and_told(tmp_path: Path, keys: AuditKeys) -> None:
    head = filled(tmp_path, keys)
    with paths(tmp_path)[-1].open("ab") as file:
        file.write(b'{"n":99,"at_ns"')
    assert "not whole" in judged(tmp_path, keys, head).notes[0]
    a_log(tmp_path, keys, head).close()
    verdict = judged(tmp_path, keys, head)
    assert verdict.is_whole
    assert "recovered, torn_bytes 15" in verdict.notes[0]


def test_lines_whose_group_was_never_committed_are_declared_void(tmp_path: Path, keys: AuditKeys) -> None:
    count, head = filled(tmp_path, keys)
    log = a_log(tmp_path, keys, (count, head))
    log.append([("delivered", {"count": 1}), ("delivered", {"count": 2})], NOW)
    log.close()  # the process dies before the store's commit: its head is still the old one
    a_log(tmp_path, keys, (count, head)).close()
    verdict = judged(tmp_path, keys, (count, head))
    assert verdict.is_whole
    assert f"void, from_n {count}, to_n {count + 1}" in verdict.notes[0]


def test_a_cut_end_is_told_for_ever_also_after_the_kme_went_on(tmp_path: Path, keys: AuditKeys) -> None:
    head = filled(tmp_path, keys)
    _cut(paths(tmp_path)[0])
    log = a_log(tmp_path, keys, head)
    for number in range(10):
        log.append([("refused", {"count": number})], NOW + number * 60 * S)
    log.close()
    assert "shorter than the store remembered" in judged(tmp_path, keys, (log.count, log.head)).problems[0]


def test_a_secret_fits_in_no_entry(tmp_path: Path, keys: AuditKeys) -> None:
    log = a_log(tmp_path, keys)
    with pytest.raises(TypeError, match="SecretBits"):
        log.append([("delivered", {"key": SecretBits(b"12345678")})], NOW)  # type: ignore[dict-item]


def test_every_kind_has_a_name_of_its_own() -> None:
    names = [kind for kind, _, _ in KINDS.values()] + list(OWN_KINDS)
    assert len(names) == len(set(names))


# --- refusals


def test_a_flood_of_refusals_becomes_a_few_lines_and_loses_no_count() -> None:
    refusals = Refusals()
    for number in range(100_000):
        refusals.add("refused", f"stranger-{number % 5_000}", "401", "x" * 10_000)
    rows = refusals.rows()
    assert len(rows) <= ROWS_MAX + 1
    assert sum(int(facts["count"]) for _, facts in rows) == 100_000  # type: ignore[arg-type]
    assert max(len(json.dumps(facts)) for _, facts in rows) < 400


def test_refusals_wait_for_their_interval_and_stay_until_they_are_durable() -> None:
    refusals = Refusals()
    refusals.add("refused", "lyon-1", "400", "no")
    assert refusals.is_due(NOW)
    rows = refusals.rows()
    refusals.add("refused", "lyon-1", "400", "no")  # between writing and commit
    refusals.forget(rows, NOW)
    assert not refusals.is_due(NOW + INTERVAL_NS - 1)
    assert refusals.is_due(NOW + INTERVAL_NS)
    assert refusals.rows()[0][1]["count"] == 1


# --- with a real KME, its store and its thread


class Bench:
    """One KME in its writer thread, store and audit on the disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = provide_keys(folder / "audit", SystemEntropy())
        self.trail = self._trail()
        self.network = a_chain(1)
        self.thread = WriterThread(
            name="a",
            make_store=lambda: SqliteStore(folder / "store.db", kek=bytes(32), entropy=SystemEntropy()),
            make_kme=lambda store: Kme(
                site=SiteId("a"), network=self.network, store=store, entropy=CountingEntropy("a")
            ),
            on_outcome=self._on_outcome,
            trail=self.trail,
        )
        self.left: list[object] = []

    def _trail(self) -> Trail:
        started: Row = ("started", {"version": "test"})
        return Trail(
            opened=lambda head, now_ns, lost: AuditLog(
                self.folder / "audit", self.keys, kme_id=KME, now_ns=now_ns, head=head, lost=lost
            ),
            key_id_key=self.keys.key_id_key,
            started=started,
        )

    def _on_outcome(self, outcome: Outcome) -> None:
        self.left += outcome.frames

    async def enc(self, number: int = 1) -> list[str]:
        request = KeyRequest(number=number)
        container = await self.thread.call(lambda kme, now_ns: kme.enc_keys(SaeId("a1"), SaeId("a2"), request, now_ns))
        return [str(key.key_id) for key in container.keys]

    def kinds(self) -> list[str]:
        return [entry_of(line).kind for line in lines_of(files_in(self.folder / "audit"))]

    def head(self) -> tuple[int, str]:
        import apsw
        import msgspec

        db = apsw.Connection(str(self.folder / "store.db"))
        value = db.execute("SELECT value FROM fact WHERE kind='audit'").get
        db.close()
        return msgspec.msgpack.decode(value, type=tuple[int, str])


def test_a_delivery_is_in_the_audit_with_hashed_key_ids_before_it_is_answered(tmp_path: Path) -> None:
    async def run() -> None:
        bench = Bench(tmp_path)
        await bench.thread.start()
        key_ids = await bench.enc(3)
        lines = list(lines_of(paths(tmp_path)))
        told = next(entry.facts for entry in map(entry_of, lines) if entry.kind == "delivered")
        assert (told["role"], told["caller"], told["count"]) == ("master", "a1", 3)
        assert len(told["keys"]) == 3  # type: ignore[arg-type]
        assert not any(key_id.encode() in line for key_id in key_ids for line in lines)
        await bench.thread.stop()
        assert bench.kinds()[0] == "started"
        assert bench.kinds()[-2:] == ["stopped", "checkpoint"]
        assert judged(tmp_path, bench.keys, bench.head()).is_whole

    asyncio.run(run())


def _read_only(bench: Bench) -> Callable[[], None]:
    log = bench.trail._log
    assert log is not None
    good, log._fd = log._fd, os.open(log._path, os.O_RDONLY)
    return lambda: os.close(good)


def _removed(bench: Bench) -> Callable[[], None]:
    for path in files_in(bench.folder / "audit"):
        path.unlink()
    return lambda: None


@pytest.mark.parametrize("harm", [_read_only, _removed])
def test_an_audit_that_cannot_be_written_lets_no_key_out_and_the_kme_comes_back(
    tmp_path: Path, harm: Callable[[Bench], Callable[[], None]]
) -> None:
    async def run() -> None:
        bench = Bench(tmp_path)
        await bench.thread.start()
        await bench.enc()
        undo = harm(bench)
        left = len(bench.left)
        with pytest.raises(StoreFailed, match="cannot be written"):
            await bench.enc()
        assert len(bench.left) == left
        assert bench.trail.failure_count == 1
        undo()
        assert len(await bench.enc()) == 1
        report = await bench.thread.call(lambda kme, now_ns: kme.report(now_ns))
        # Two keys to a1; the one of the failed group is still held.
        assert sum(account.delivered_bits for account in report.accounts) == 0  # local keys stay granted to a2
        assert next(pair.granted_keys for pair in report.pairs if pair.peer == "a") == 2
        await bench.thread.stop()
        verdict = judged(tmp_path, bench.keys, bench.head())
        assert verdict.is_whole  # the store had the newest lines too
        assert ("restored" in " ".join(verdict.notes)) == (harm is _removed)

    asyncio.run(run())


@pytest.mark.parametrize(("flushed", "is_whole"), [(False, True), (True, False)])
def test_lines_that_the_power_took_come_back_from_the_store_and_older_ones_are_missed(
    tmp_path: Path, flushed: bool, is_whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file ends where its last flush did; or before, as no loss of power can make it."""
    monkeypatch.setattr(tail, "UNFLUSHED_NS_MAX", 0 if flushed else 10**18)
    end: list[bytes] = []

    async def run() -> None:
        bench = Bench(tmp_path)
        await bench.thread.start()
        for _ in range(5):
            await bench.enc()
        end.append(paths(tmp_path)[0].read_bytes())
        # As after kill -9: no last entry, no flush.
        bench.trail._log.close()  # type: ignore[union-attr]
        bench.trail.stop = lambda _store, _now_ns: None  # type: ignore[method-assign]
        await bench.thread.stop()

    asyncio.run(run())
    lines = end[0].splitlines(keepends=True)
    paths(tmp_path)[0].write_bytes(b"".join(lines[:2]) + lines[2][:20])
    bench = asyncio.run(_started_and_stopped(tmp_path))
    verdict = judged(tmp_path, bench.keys, bench.head())
    assert verdict.is_whole == is_whole
    assert (paths(tmp_path)[0].read_bytes().startswith(end[0])) == is_whole
    assert any("restored" in note for note in verdict.notes) == is_whole
    assert any("shorter than the store remembered" in problem for problem in verdict.problems) == (not is_whole)


async def _started_and_stopped(folder: Path) -> Bench:
    bench = Bench(folder)
    await bench.thread.start()
    await bench.enc()
    await bench.thread.stop()
    return bench


def test_rows_of_earlier_flushes_are_passed_over(tmp_path: Path, keys: AuditKeys) -> None:
    log = a_log(tmp_path, keys)
    rows = [log.append([("refused", {"count": number})], NOW) for number in range(6)]
    log.close()
    facts = {("audit-tail", "000000"): rows[4], ("audit-tail", "000001"): rows[5], ("audit-tail", "000002"): rows[1]}
    ends = [(0, "0" * 64), *((n + 1, hash_of(row.rstrip())) for n, row in enumerate(rows))]
    assert tail.lines_after(facts, *ends[4]) == [rows[4].rstrip(), rows[5].rstrip()]
    assert tail.lines_after(facts, *ends[6]) == []
    assert tail.lines_after(facts, *ends[2]) == []  # 2 and 3 are in no row
    assert tail.lines_after(facts, 4, "f" * 64) == []  # another past


def test_the_file_is_flushed_after_a_second_or_enough_bytes(tmp_path: Path) -> None:
    one = tail.Tail(NOW)
    assert not one.is_due(NOW + tail.UNFLUSHED_NS_MAX - 1)
    assert one.is_due(NOW + tail.UNFLUSHED_NS_MAX)
    assert one.is_due(NOW - 1)  # a clock that was set back
    store = SqliteStore(tmp_path / "t.db", kek=bytes(32), entropy=SystemEntropy())
    with store.transaction():
        one.keep(store, b"x" * tail.UNFLUSHED_BYTES_MAX)
    assert one.is_due(NOW)
    one.flushed(NOW)
    assert not one.is_due(NOW)
    store.close()


LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from tests.node.test_audit import Bench
from qanat.node.processes.writer_thread import StoreFailed

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    bench = Bench(Path(sys.argv[1]))
    await bench.thread.start()
    await bench.enc()
    size = sum(path.stat().st_size for path in Path(sys.argv[1]).glob("audit/*.jsonl"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))  # a part of one line fits
    try:
        await bench.enc()
        print("answered")
    except StoreFailed as error:
        print("refused:", error.detail)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await asyncio.sleep(0.5)
    print("again:", len(await bench.enc()))
    await bench.thread.stop()

asyncio.run(main())
"""


def test_a_disk_that_fills_in_the_middle_of_a_line_lets_no_key_out(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "refused:" in done.stdout, done.stdout + done.stderr
    assert "answered" not in done.stdout
    assert "again: 1" in done.stdout
    keys = provide_keys(tmp_path / "audit", SystemEntropy())
    assert judged(tmp_path, keys).is_whole


def test_a_block_and_burned_keys_are_told(tmp_path: Path) -> None:
    async def run() -> None:
        bench = Bench(tmp_path)
        await bench.thread.start()
        await bench.thread.call(lambda kme, now_ns: kme.add_block(a_block("a-b", 0), now_ns))
        await bench.thread.call(lambda kme, _now_ns: kme.burned(2))
        await bench.thread.stop()
        assert {"block_taken", "burned"} <= set(bench.kinds())

    asyncio.run(run())


def test_a_folder_of_keys_that_others_can_read_is_refused(tmp_path: Path, keys: AuditKeys) -> None:
    (tmp_path / "audit").chmod(0o755)
    with pytest.raises(EnvironmentProblem, match="can be read by others"):
        provide_keys(tmp_path / "audit", SystemEntropy())
