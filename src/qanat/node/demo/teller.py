"""Tells the demo to people (lines on the terminal) and remembers it for machines (JSON)."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field


@dataclass(slots=True)
class Check:
    """One claim of the demo and what was measured."""

    step: int
    claim: str
    measured: str
    is_met: bool


@dataclass(slots=True)
class Teller:
    """Prints as things happen; ``checks`` is the summary."""

    is_quiet: bool
    begun_s: float = field(default_factory=time.monotonic)
    checks: list[Check] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    _step: int = 0

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.begun_s

    def step(self, number: int, title: str) -> None:
        self._step = number
        self.say("")
        self.say(f"[{number}/7] {title}", is_bold=True)

    def say(self, text: str, *, is_bold: bool = False) -> None:
        self.lines.append(text)
        if self.is_quiet:
            return
        stamp = f"{self.elapsed_s:6.1f} s  " if text else ""
        if is_bold and sys.stdout.isatty():
            text = f"\033[1m{text}\033[0m"
        print(f"{stamp}{text}", flush=True)

    def check(self, claim: str, is_met: bool, measured: str) -> None:
        self.checks.append(Check(self._step, claim, measured, is_met))
        self.say(f"  {'ok  ' if is_met else 'FAIL'}  {claim}: {measured}")

    @property
    def is_met(self) -> bool:
        return all(check.is_met for check in self.checks)

    def as_dict(self) -> dict[str, object]:
        return {
            "is_met": self.is_met,
            "elapsed_s": round(self.elapsed_s, 1),
            "checks": [asdict(check) for check in self.checks],
        }
