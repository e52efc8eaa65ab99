"""The journal's files."""

from __future__ import annotations

import json
from pathlib import Path

from qanat.core.ids import LinkId
from qanat.core.report import LinkReport
from qanat.node.processes.journal import Journal, LinesFile

REPORT = LinkReport(
    link=LinkId("a-b"), number=3, start_ns=0, duration_ns=50, n_pulses=9, detection_count=4, double_click_count=0,
    sifted_counts=((1, 1),), error_counts_z=(0,), made_at_ns=1,
)  # fmt: skip


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_entries_and_the_reports_they_rest_on_lie_in_two_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.write_report(REPORT)
    journal.write("alarm", "qber on a-b raised", {"number": 1})
    assert lines(tmp_path / "reports.jsonl")[0]["kind"] == "LinkReport"
    [entry] = lines(tmp_path / "journal.jsonl")
    assert (entry["kind"], entry["record"]) == ("alarm", {"number": 1})
    assert journal.newest[0].text == "qber on a-b raised"


def test_a_full_file_is_cut_and_its_predecessor_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    file = LinesFile(path, size_bytes_max=100)
    for number in range(40):
        file.write({"number": number})
    kept = [line["number"] for line in lines(tmp_path / "x.jsonl.1") + lines(path)]
    assert kept == list(range(40))[-len(kept) :]
    assert path.stat().st_size <= 120
