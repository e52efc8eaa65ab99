"""Two `qanat module` processes for the tests, as two people would start them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/recorded-light"


@dataclass
class End:
    """One running end; ``--json`` is always given."""

    words: tuple[str, ...]
    folder: Path
    popen: subprocess.Popen[str] = field(init=False)
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        with (self.folder / f"{self.words[self.words.index('--role') + 1]}.err").open("a") as err:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "qanat", "module", *self.words, "--json"],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )

    def until(self, event: str) -> dict[str, Any]:
        """Read on to the first event of this kind."""
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        raise AssertionError(f"no {event}: {self.events[-3:]}, {[p.read_text() for p in self.folder.glob('*.err')]}")

    def finish(self, patience_s: float = 40) -> int:
        """Its exit code, all events read."""
        out, _ = self.popen.communicate(timeout=patience_s)
        self.events += [json.loads(line) for line in out.splitlines()]
        return self.popen.returncode

    def interrupt(self) -> None:
        self.popen.send_signal(signal.SIGINT)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()

    def of(self, event: str) -> list[dict[str, Any]]:
        return [told for told in self.events if told["event"] == event]

    @property
    def notes(self) -> str:
        return "\n".join(told["text"] for told in self.of("note"))

    @property
    def digests(self) -> dict[str, str]:
        return {told["block"]: told["digest"] for told in self.of("block") if "digest" in told}
