"""A live network for the tests: `qanat up` in a process of its own, as a person would start it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from qanat.cli.main import main
from qanat.node.admin_client import ask
from qanat.node.statedir import StateDir

ROOT = Path(__file__).parents[2]
TINY = ROOT / "networks" / "tiny.toml"


@dataclass
class Done:
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def qanat(*arguments: str, timeout_s: float = 30.0) -> Done:
    """Run a command as a person would, and insist on manners: never a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "qanat", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def qanat_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Done:
    """As ``qanat``, in this process: the same ``main``, without half a second of Python's start."""
    capsys.readouterr()
    before, sys.argv = sys.argv, ["qanat", *arguments]
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        sys.argv = before
    out, err = capsys.readouterr()
    return Done(int(end.value.code or 0), out, err)


@dataclass
class Live:
    """One running network."""

    folder: Path
    options: tuple[str, ...] = ()
    network: Path = TINY
    popen: subprocess.Popen[str] | None = None
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> StateDir:
        return StateDir(self.folder / "state")

    @property
    def pid(self) -> int:
        assert self.popen is not None
        return self.popen.pid

    def start(self) -> Live:
        command = [sys.executable, "-m", "qanat", "up", str(self.network), "--state", str(self.state.path), "--json"]
        with (self.folder / "up.err").open("a") as err:
            self.popen = subprocess.Popen([*command, *self.options], stdout=subprocess.PIPE, stderr=err, text=True)
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line, self.err()
        self.told = json.loads(line)
        return self

    def err(self) -> str:
        return (self.folder / "up.err").read_text()

    def run(self, *arguments: str) -> Done:
        return qanat(*arguments, "--state", str(self.state.path))

    def snapshot(self) -> dict[str, Any]:
        found: dict[str, Any] = ask(self.state, "snapshot")
        return found

    def children(self) -> dict[int, str]:
        """Process numbers of the children, and what each is."""
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.pid:
                    found[int(folder.name)] = (folder / "cmdline").read_text().split("\0")[-2]
        return found

    def kme(self, site: str) -> int:
        """The process number of a site's KME, from the journal: it is the newest that came up."""
        for entry in self.snapshot()["journal"]:
            if entry["text"].startswith(f"kme {site} is up (process "):
                return int(entry["text"].rpartition(" ")[2].rstrip(")"))
        raise AssertionError(f"no KME of {site}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.popen is not None
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        try:
            return self.popen.wait(25)
        finally:
            self.popen.kill()
            if self.popen.stdout is not None:
                self.popen.stdout.close()


def until(is_true: Callable[[], Any], *, patience_s: float = 20.0, pause_s: float = 0.1) -> Any:
    """Wait for something to become true, and give it."""
    end_s = time.monotonic() + patience_s
    while time.monotonic() < end_s:
        if found := is_true():
            return found
        time.sleep(pause_s)
    raise AssertionError(f"not true after {patience_s:g} s: {getattr(is_true, '__name__', is_true)}")


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has collected does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
