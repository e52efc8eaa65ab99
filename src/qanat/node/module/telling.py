"""What one end says while it runs: a table for people, or a JSON object per line for machines."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

import msgspec

from qanat.core.report import BlockReport, LinkReport
from qanat.core.timebase import seconds

ROW = "{:<24} {:>9} {:>8} {:>8} {:>8}  {:<10}  {}"


@dataclass(slots=True)
class Totals:
    """Of one run of this end, all sessions together."""

    sessions: int = 0
    pulse_blocks: int = 0
    link_time_ns: int = 0
    detections: int = 0
    key_blocks: int = 0
    aborted: int = 0
    sifted_bits: int = 0
    secret_bits: int = 0


@dataclass(slots=True)
class Teller:
    """Prints events as they come, and keeps the totals.

    No secret reaches it: it is given reports, sentences, and digests where the user asked for them.
    """

    is_json: bool
    totals: Totals = field(default_factory=Totals)
    _has_head: bool = False

    def note(self, text: str) -> None:
        """Something that happened, for people."""
        if self.is_json:
            self._line({"event": "note", "text": text})
        else:
            print(text, file=sys.stderr, flush=True)

    def begun(self, **facts: Any) -> None:
        """This end is ready; ``text`` is the sentence for people."""
        text = facts.pop("text")
        if self.is_json:
            self._line({"event": "ready", **facts})
        else:
            print(text, flush=True)

    def link_report(self, report: LinkReport) -> None:
        self.totals.pulse_blocks += 1
        self.totals.link_time_ns += report.duration_ns
        self.totals.detections += report.detection_count

    def block(self, report: BlockReport, digest: str | None) -> None:
        """One key block has ended."""
        totals = self.totals
        totals.sifted_bits += report.sifted_bits
        totals.secret_bits += report.secret_bits
        totals.key_blocks += report.aborted is None
        totals.aborted += report.aborted is not None
        if self.is_json:
            told = {"digest": digest} if digest is not None else {}
            self._line({"event": "block", **msgspec.to_builtins(report), **told})
            return
        if not self._has_head:
            self._has_head = True
            print(
                ROW.format("key block", "sifted", "QBER X", "leak", "secret", "auth", "digest" if digest else ""),
                flush=True,
            )
        qber = "-" if report.qber_x is None else f"{100 * report.qber_x:.2f} %"
        last = digest or (f"given up: {report.aborted}" if report.aborted else "")
        numbers = (report.sifted_bits, qber, report.leak_bits, report.secret_bits)
        text = ROW.format(report.block, *numbers, report.authentication.value, last)
        print(text.rstrip(), flush=True)

    def ended(self, sentence: str, exit_code: int, *, wall_s: float, cpu_s: float) -> None:
        """The last word."""
        totals = self.totals
        if self.is_json:
            facts = msgspec.to_builtins(totals) | {"wall_s": round(wall_s, 3), "cpu_s": round(cpu_s, 3)}
            self._line({"event": "end", "sentence": sentence, "exit_code": exit_code, **facts})
            return
        print(sentence, file=sys.stderr, flush=True)
        print(
            f"{totals.key_blocks} key blocks, {totals.secret_bits} secret bits, {totals.aborted} given up, "
            f"{seconds(totals.link_time_ns):.3g} s of link time in {wall_s:.1f} s",
            flush=True,
        )

    def _line(self, facts: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
