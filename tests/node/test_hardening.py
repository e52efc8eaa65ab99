"""A process that holds keys leaves no memory behind: looked at from outside, in a real process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qanat.node.processes.hardening import Hardening

CHILD = """
import ctypes, sys
from qanat.node.processes.hardening import harden
print(repr(harden()), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)  # PR_GET_DUMPABLE
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the calls are Linux's")
def test_a_hardened_process_dumps_no_core_and_says_truly_what_holds():
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said, dumpable = child.stdout.readline().rsplit(" ", 1)
    limits = Path(f"/proc/{child.pid}/limits").read_text()
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert "has_no_core=True, is_undumpable=True" in said
    assert int(dumpable) == 0
    assert next(line for line in limits.splitlines() if "core file size" in line).split()[4:6] == ["0", "0"]
    locked_kb = int(next(line for line in status.splitlines() if line.startswith("VmLck")).split()[1])
    assert (locked_kb > 0) == ("is_locked=True" in said)
    os.kill(child.pid, signal.SIGSEGV)
    _, end = os.waitpid(child.pid, 0)
    child.returncode = -signal.SIGSEGV
    assert os.WIFSIGNALED(end)
    assert not os.WCOREDUMP(end)


def test_what_does_not_hold_is_said_aloud():
    assert "NOT locked" in str(Hardening(has_no_core=True, is_undumpable=True, is_locked=False))
    assert "NOT" not in str(Hardening(has_no_core=True, is_undumpable=True, is_locked=True))
