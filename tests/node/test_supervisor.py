"""The supervisor with a real child: it starts, restarts with growing pauses, drains, and names what failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from live_network import TINY, is_alive, until

from qanat.cli.check import load_network
from qanat.core.errors import EnvironmentProblem
from qanat.crypto.pki import issue
from qanat.node import supervisor as module
from qanat.node.statedir import StateDir
from qanat.node.supervisor import Child, ChildFailed, Supervisor, choose_ports, running

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc (Linux)")


class Bench:
    """A supervisor whose only child is the hub."""

    def __init__(self, folder: Path) -> None:
        self.said: list[str] = []
        self.state = StateDir(folder)
        self.state.prepare()
        self.supervisor = Supervisor(load_network(TINY), self.state, is_isolated=False, say=self.said.append)
        self.supervisor.children = [child for child in self.supervisor.children if child.name == "hub"]

    @property
    def hub(self) -> Child:
        return self.supervisor.children[0]

    @property
    def pid(self) -> int:
        assert self.hub.popen is not None
        return self.hub.popen.pid

    def watch_until_ready(self) -> None:
        def is_ready() -> bool:
            self.supervisor.watch(0.05)
            return self.hub.is_ready

        until(is_ready, patience_s=15, pause_s=0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.supervisor.stop()


def test_a_child_that_dies_is_started_again_each_time_a_little_later(bench: Bench) -> None:
    bench.supervisor.start()
    pids = {bench.pid}
    for _ in range(2):
        os.kill(bench.pid, signal.SIGKILL)
        assert bench.hub.popen is not None
        bench.hub.popen.wait()
        bench.hub.is_ready = False
        bench.watch_until_ready()
        pids.add(bench.pid)
    assert len(pids) == 3
    assert bench.said == [
        "hub ended (killed by SIGKILL); starting it again in 0.5 s",
        "hub ended (killed by SIGKILL); starting it again in 1 s",
    ]


def test_stop_ends_a_child_that_does_not_listen(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_PATIENCE_S", 0.3)
    bench.supervisor.start()
    os.kill(bench.pid, signal.SIGSTOP)  # it cannot even take SIGTERM
    began_s = time.monotonic()
    bench.supervisor.stop()
    assert time.monotonic() - began_s < 3
    assert not is_alive(bench.pid)
    assert not bench.state.ports_file.exists()
    assert not list(bench.state.run.glob("*.sock"))


def test_a_child_that_cannot_start_is_named_with_the_last_line_of_its_log(bench: Bench) -> None:
    (bench.state.logs / "journal.jsonl").mkdir()
    with pytest.raises(ChildFailed, match=r"hub ended with exit code 1: .*journal\.jsonl") as failed:
        bench.supervisor.start()
    assert failed.value.exit_code == 3
    assert str(bench.state.logs / "hub.log") in str(failed.value)


def test_a_child_whose_supervisor_vanishes_leaves_too(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; sys.path.insert(0, sys.argv[2]); from test_supervisor import Bench;"
        "bench = Bench(Path(sys.argv[1])); bench.supervisor.start(); print(bench.pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pid = int(done.stdout)
    until(lambda: not is_alive(pid), patience_s=8)


def test_only_the_light_knows_the_simulation_keys(bench: Bench) -> None:
    bench.supervisor.state.prepare()
    for name, knows in (("glass", True), ("transmitters", True), ("receivers", False), ("kme", False), ("hub", False)):
        config = bench.supervisor._config(Child(name, name))
        assert bool(config.glass_keys) is knows
        assert "glass_keys" not in repr(config)


def test_ports_are_different_and_none_is_left_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_network(TINY)
    ports = choose_ports(network)
    numbers = [ports.dashboard, ports.classical, *ports.key_delivery.values(), *ports.peers.values()]
    assert len(set(numbers)) == 2 + 2 * len(network.sites)
    monkeypatch.setattr(module, "PORT_TRIES", 3)
    with pytest.raises(EnvironmentProblem, match="no free port"):
        choose_ports(network)


def test_two_networks_that_start_at_once_take_different_ports(tmp_path: Path) -> None:
    benches = [Bench(tmp_path / name) for name in ("one", "two")]
    assert benches[0].supervisor.ports == benches[1].supervisor.ports  # both looked before either started
    threads = [threading.Thread(target=bench.supervisor.start) for bench in benches]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(bench.hub.is_ready for bench in benches)
        assert len({bench.supervisor.ports.dashboard for bench in benches}) == 2
    finally:
        for bench in benches:
            bench.supervisor.stop()


def test_a_start_says_which_applications_got_a_new_certificate(bench: Bench) -> None:
    with running(bench.supervisor):
        assert bench.said == []
    # As a state directory was when one CA served all: that CA issued the applications' certificates too.
    ca = bench.state.ca
    for sae in bench.supervisor.network.saes:
        cert, key = issue(
            ca_cert=(ca / "cert.pem").read_bytes(),
            ca_key=(ca / "key.pem").read_bytes(),
            role="sae",
            identity=sae,
            hosts=[],
            now=datetime.now(UTC),
            days=300,
        )
        (bench.state.sae(sae) / "cert.pem").write_bytes(cert)
        (bench.state.sae(sae) / "key.pem").write_bytes(key)
    for file in bench.state.sae_ca.iterdir():
        file.unlink()
    with running(bench.supervisor):
        (line,) = bench.said
    assert all(sae in line for sae in bench.supervisor.network.saes)
    assert "give the new ones out" in line
    with running(bench.supervisor):
        assert bench.said == [line]
