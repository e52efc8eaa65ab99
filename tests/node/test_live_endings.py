"""Every way to end a live network, and no process survives it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from live_network import TINY, Live, is_alive, qanat, until

from qanat.node.supervisor import FIRST_PORT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="counts processes in /proc (Linux)"),
]


def leaves_no_orphan(live: Live, number: signal.Signals, code: int) -> None:
    children = live.children()
    assert sorted(children.values()) == ["glass", "hub", "kme", "receivers", "transmitters"]
    assert live.stop(number) == code
    until(lambda: not any(is_alive(pid) for pid in children), patience_s=8)
    assert "Traceback" not in live.err()
    assert live.run("status").code == 3  # nothing claims to run


def test_ctrl_c_ends_all_processes_also_with_a_state_path_too_long_for_sockets(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 20)
    folder.mkdir()
    live = Live(folder).start()
    try:
        assert live.run("link", "list", "--json").code == 0
        leaves_no_orphan(live, signal.SIGINT, 130)
        assert live.err().strip().splitlines()[-1] == "qanat: interrupted"
        assert not list(live.state.run.iterdir())
    finally:
        live.stop()


def test_kill_9_and_sigterm_end_all_processes_and_the_next_start_works(tmp_path: Path) -> None:
    live = Live(tmp_path).start()
    try:
        leaves_no_orphan(live, signal.SIGKILL, -9)
        assert list(live.state.run.glob("*.sock"))  # what a killed supervisor leaves is not in the way
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            until(lambda: is_listening(taken), patience_s=20)  # whoever has it now is leaving
            live.start()
        a_taken_port_is_passed_over(live)
        a_second_up_says_who_runs(live)
        again = threading.Timer(0.3, lambda: os.kill(live.pid, signal.SIGTERM))  # an impatient person
        again.start()
        leaves_no_orphan(live, signal.SIGTERM, 130)
        again.join()
        assert not live.state.ports_file.exists()  # it was drained to the end all the same
    finally:
        live.stop()


def is_listening(taken: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        taken.bind(("127.0.0.1", FIRST_PORT))
        taken.listen()
        return True
    return False


def a_taken_port_is_passed_over(live: Live) -> None:
    ports = live.state.read_ports()
    numbers = [ports["dashboard"], ports["classical"], *ports["key_delivery"].values(), *ports["peers"].values()]
    assert FIRST_PORT not in numbers
    assert len(set(numbers)) == len(numbers) == 8


def a_second_up_says_who_runs(live: Live) -> None:
    second = live.run("up", str(TINY))
    assert second.code == 3
    assert f"already running from {live.state.path} (process {live.pid})" in second.err
    assert live.run("link", "list").code == 0  # the first one was not disturbed


@pytest.mark.parametrize("after_s", [0.05, 0.4, 1.0, 2.0])
def test_ctrl_c_while_starting_ends_in_one_sentence_without_orphans(tmp_path: Path, after_s: float) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "qanat", "up", str(TINY), "--state", str(tmp_path / "state")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as popen:
        live = Live(tmp_path, popen=popen)
        time.sleep(after_s)
        children = live.children()
        popen.send_signal(signal.SIGINT)
        _, err = popen.communicate(timeout=20)
    until(lambda: not any(is_alive(pid) for pid in children), patience_s=8)
    if after_s > 0.3:  # before that, Python itself is still starting
        # CPython ends by the signal itself when Ctrl-C fell into an exec() of an import; a shell shows 130 for both.
        assert popen.returncode in (130, -signal.SIGINT), err
        assert "Traceback" not in err
        assert err.strip().splitlines()[-1] == "qanat: interrupted"


def test_a_process_that_cannot_start_is_named_with_its_sentence(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.state.prepare()
    (live.state.logs / "journal.jsonl").mkdir()  # the hub cannot write here
    done = qanat("up", str(TINY), "--state", str(live.state.path))
    assert done.code == 3
    assert "hub ended with exit code" in done.err
    assert "journal.jsonl" in done.err
