"""Two operating-system processes and a TCP socket: nothing else is shared, and the keys are equal."""

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("link_process.py")


def start(role, port, blocks):
    command = [sys.executable, str(PROGRAM), role, str(port), str(blocks)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_over_a_socket_end_with_equal_keys():
    blocks = 12
    alice = start("TRANSMITTER", 0, blocks)
    bob = None
    try:
        bob = start("RECEIVER", int(alice.stdout.readline()), blocks)
        theirs = json.loads(bob.communicate(timeout=120)[0])
        ours = json.loads(alice.communicate(timeout=120)[0])
    finally:
        for process in (alice, bob):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
    assert ours["failures"] == theirs["failures"] == []
    assert len(theirs["digests"]) == 2
    assert ours["digests"] == theirs["digests"]
    for one, other in zip(ours["reports"], theirs["reports"], strict=True):
        assert {**one, "made_at_ns": 0} == {**other, "made_at_ns": 0}
        assert 0 < one["secret_bits"] < one["sifted_bits"]
