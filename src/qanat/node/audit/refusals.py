"""Refusals and misbehaviour, counted: however many come, a few lines each ten seconds."""

from __future__ import annotations

import threading
from collections import Counter

from qanat.node.audit.kinds import Row

INTERVAL_NS = 10 * 10**9
# 32 rows of at most 400 bytes in 10 s: a crowd that does nothing else writes 110 MB a day.
ROWS_MAX = 32
TEXT_MAX = 120


class Refusals:
    """Filled from any thread, drained by the one that writes the audit."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], tuple[int, str]] = {}
        self._drained_ns = 0
        self.totals: Counter[str] = Counter()  # since the start, by code; for the metrics

    def add(self, kind: str, who: str, code: str, why: str) -> None:
        """One more. Beyond ``ROWS_MAX`` different ones the rest is counted as "others"."""
        key = (kind, who[:TEXT_MAX], code)
        with self._lock:
            self.totals[code] += 1
            if key not in self._counts and len(self._counts) >= ROWS_MAX:
                key = (kind, "others", "any")
            count, first = self._counts.get(key, (0, why[:TEXT_MAX]))
            self._counts[key] = (count + 1, first)

    def is_due(self, now_ns: int) -> bool:
        return bool(self._counts) and now_ns - self._drained_ns >= INTERVAL_NS

    def rows(self) -> list[Row]:
        """What was counted, to be written; ``forget`` once it is durable."""
        with self._lock:
            return [
                (kind, {"who": who, "code": code, "count": count, "first": first})
                for (kind, who, code), (count, first) in self._counts.items()
            ]

    def forget(self, rows: list[Row], now_ns: int) -> None:
        """These are durable; what was added since stays."""
        with self._lock:
            for kind, facts in rows:
                key = (kind, str(facts["who"]), str(facts["code"]))
                count, first = self._counts.pop(key)
                rest = count - int(facts["count"])  # type: ignore[arg-type]
                if rest:
                    self._counts[key] = (rest, first)
            self._drained_ns = now_ns
