"""`qanat up`: starts the processes of a network on this machine, keeps them alive, and drains them.

No heavy imports here: the supervisor must start in a blink and never be the one that falls.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.topology import Network
from qanat.node.instance import all_instances, site_of, standbys
from qanat.node.processes.config import ChildConfig, Ports, glass_socket, hub_socket, kq1_socket
from qanat.node.reach import given_ports
from qanat.node.statedir import StateDir
from qanat.node.turn import turn_to_start

FIRST_PORT = 20_140
PORT_TRIES = 2_000
STOP_PATIENCE_S = 6.0
START_PATIENCE_S = 60.0
BACK_OFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
WORKERS = ("glass", "transmitters", "receivers")


class ChildFailed(EnvironmentProblem):
    """A process of the network could not start. Its log, named above, has the sentence; `qanat doctor` looks
    at the usual causes."""


@dataclass(slots=True)
class Child:
    """One process and its recent fate."""

    name: str
    process_name: str
    sites: list[SiteId] = field(default_factory=list)
    popen: subprocess.Popen[bytes] | None = None
    is_ready: bool = False
    failures: int = 0
    started_s: float = 0.0
    start_again_s: float | None = None


class Supervisor:
    """Starts, watches and stops the children of one network."""

    def __init__(
        self,
        network: Network,
        state: StateDir,
        *,
        is_isolated: bool,
        say: Callable[[str], None],
        link_time_rate_max: float = 1.0,
    ) -> None:
        self.network, self.state, self.say = network, state, say
        self._rate_max = link_time_rate_max
        self._ports = choose_ports(network)
        self._sockets: dict[str, str] = {}  # known at the start: a long path needs a short folder beside it
        groups = [[site] for site in network.sites] if is_isolated else [list(network.sites)]
        self.children = [
            Child("hub", "hub"),
            *(Child(f"kme-{sites[0]}" if is_isolated else "kme", "kme", sites) for sites in groups),
            *([Child("registrar", "registrar")] if network.registrar is not None else []),
            *(Child(f"kme-{instance}", "kme", [instance]) for instance in standbys(network)),
            *(Child(name, name) for name in WORKERS),
        ]
        self._run = self._new_run()
        self._selector = selectors.DefaultSelector()

    @property
    def ports(self) -> Ports:
        return self._ports

    def _new_run(self) -> dict[str, object]:
        """A fresh start of the light: new simulation keys, link time from now."""
        keys = {link: secrets.token_hex(16) for link in self.network.links}
        return {"link_time_base_ns": time.time_ns(), "glass_keys": keys}

    def _config(self, child: Child) -> ChildConfig:
        config = ChildConfig(
            process=child.process_name,
            network=self.network,
            state=str(self.state.path),
            ports=self._ports,
            sockets=self._sockets,
            sites=child.sites,
            link_time_rate_max=self._rate_max,
            link_time_base_ns=self._run["link_time_base_ns"],  # type: ignore[arg-type]
        )
        if child.process_name in ("glass", "transmitters"):
            config = msgspec.structs.replace(config, glass_keys=self._run["glass_keys"])
        return config

    def start(self) -> None:
        """Start all and wait until each says that it is ready.

        Raises:
            ChildFailed: one ended, or was not ready in a minute.
        """
        with turn_to_start():
            self._ports = choose_ports(self.network)  # again: another network may have started meanwhile
            self._start_all()

    def _start_all(self) -> None:
        names = [hub_socket(), glass_socket(), *(kq1_socket(name) for name in all_instances(self.network))]
        self._sockets = {name: str(self.state.socket_path(name)) for name in names}
        self.state.write_ports({"pid": os.getpid()} | msgspec.to_builtins(self._ports))
        for child in self.children:
            self._spawn(child)
        patience_s = time.monotonic() + START_PATIENCE_S
        while not all(child.is_ready for child in self.children):
            self._read_ready(0.1)
            for child in self.children:
                if child.popen is not None and child.popen.poll() is not None:
                    raise ChildFailed(
                        f"{child.name} ended with exit code {child.popen.returncode}: {self._last(child)}"
                    )
            if time.monotonic() > patience_s:
                late = ", ".join(child.name for child in self.children if not child.is_ready)
                raise ChildFailed(f"not ready after {START_PATIENCE_S:g} s: {late}; logs are in {self.state.logs}")

    def _last(self, child: Child) -> str:
        """The last line of the child's log: the sentence it left."""
        lines = (self.state.logs / f"{child.name}.log").read_text(errors="replace").strip().splitlines()
        return f"{lines[-1] if lines else 'no word in its log'} ({self.state.logs / child.name}.log)"

    def _spawn(self, child: Child) -> None:
        log = (self.state.logs / f"{child.name}.log").open("ab")
        child.popen = subprocess.Popen(
            [sys.executable, "-m", "qanat.node.processes", child.process_name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the terminal reaches us alone; we stop the children in order
        )
        log.close()
        child.is_ready, child.started_s, child.start_again_s = False, time.monotonic(), None
        if child.popen.stdin is None or child.popen.stdout is None:
            raise ChildFailed(child.name)
        child.popen.stdin.write(msgspec.json.encode(self._config(child)) + b"\n")
        child.popen.stdin.flush()
        self._selector.register(child.popen.stdout, selectors.EVENT_READ, child)

    def _read_ready(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            child = key.data
            line = os.read(key.fd, 64)
            if line.startswith(b"ready"):
                child.is_ready = True
            elif not line:
                self._selector.unregister(key.fileobj)

    def watch(self, timeout_s: float) -> None:
        """One look: note who is ready, start again who has ended, workers always as a group."""
        self._read_ready(timeout_s)
        now_s = time.monotonic()
        for child in self.children:
            if child.popen is not None and child.popen.poll() is not None and child.start_again_s is None:
                self._note_end(child, now_s)
        due = [child for child in self.children if child.start_again_s is not None and now_s >= child.start_again_s]
        if any(child.name in WORKERS for child in due):
            # The three share one light: a new start of one is a new start of all.
            self._run = self._new_run()
            group = [child for child in self.children if child.name in WORKERS]
            self._end(group)
            due = [child for child in due if child.name not in WORKERS] + group
        for child in due:
            self._spawn(child)

    def _note_end(self, child: Child, now_s: float) -> None:
        child.failures = 0 if now_s - child.started_s > 30 else child.failures + 1
        wait_s = BACK_OFF_S[min(child.failures, len(BACK_OFF_S) - 1)]
        child.start_again_s = now_s + wait_s
        code = child.popen.returncode if child.popen is not None else None
        self.say(f"{child.name} ended ({_how(code)}); starting it again in {wait_s:g} s")

    def _end(self, children: list[Child]) -> None:
        """SIGTERM, patience, SIGKILL."""
        running = [child.popen for child in children if child.popen is not None and child.popen.poll() is None]
        for popen in running:
            popen.terminate()
        patience_s = time.monotonic() + STOP_PATIENCE_S
        for popen in running:
            try:
                popen.wait(max(0.0, patience_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()

    def stop(self) -> None:
        """Light first, then key management, then the hub: nothing is made that nobody can take."""
        self._end([child for child in self.children if child.name in WORKERS])
        self._end([child for child in self.children if child.process_name == "kme"])
        self._end(self.children)
        self.state.remove_ports()
        self.state.remove_sockets()


def _how(code: int | None) -> str:
    return f"killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"


def choose_ports(network: Network) -> Ports:
    """Free loopback ports, the same ones at every start while they are free.

    Raises:
        EnvironmentProblem: none are left.
    """
    instances, given = all_instances(network), given_ports(network)
    fixed = {port for ports in given.values() for port in ports.values()}
    free = (port for port in free_ports() if port not in fixed)
    pushing = {sae.site for sae in network.saes.values() if sae.push_url}

    def chosen(interface: str, names: list[SiteId]) -> dict[SiteId, int]:
        return {name: given[name].get(interface) or next(free) for name in names}

    return Ports(
        dashboard=next(free),
        classical=next(free),
        key_delivery=chosen("etsi014", instances),
        peers={instance: next(free) for instance in instances},
        streams=chosen("etsi004", instances),
        skip=chosen("skip", instances),
        skip_psk=chosen("skip_psk", instances if network.policy.skip_psk != "off" else []),
        push=chosen("etsi004_push", [name for name in instances if site_of(name) in pushing]),
        hosts={
            name: reach.host for name in instances if (reach := network.sites[site_of(name)].applications) is not None
        },
        health={name: next(free) for name in instances if network.sites[site_of(name)].kme_count > 1},
    )


def free_ports() -> Iterator[int]:
    for port in range(FIRST_PORT, FIRST_PORT + PORT_TRIES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port
    raise EnvironmentProblem(f"no free port between {FIRST_PORT} and {FIRST_PORT + PORT_TRIES}")


@contextmanager
def running(supervisor: Supervisor) -> Iterator[Supervisor]:
    """Provision, start, hand over, and stop whatever happens, Ctrl-C at any moment included."""
    from qanat.node.pki import provision  # noqa: PLC0415 - cryptography is loaded only when a network starts
    from qanat.node.processes.auth_reserve import provision_links  # noqa: PLC0415

    state = supervisor.state
    state.prepare()
    with state.lock():
        state.remove_sockets()
        for line in provision(state, supervisor.network, datetime.now(UTC)).lines():
            supervisor.say(line)
        provision_links(state, supervisor.network)
        try:
            supervisor.start()
            yield supervisor
        finally:
            # A second Ctrl-C or SIGTERM must not cut the draining short.
            previous = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
            supervisor.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
