"""A site with a store of two pieces, its KEK, and its KME in this process: for the tests of who guards a KEK."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from tests.km.pairing import a_block, a_chain
from typer.testing import CliRunner

from qanat.cli.main import app
from qanat.core.ids import BlockId, SiteId
from qanat.core.secret import SecretBits
from qanat.km.kme import Kme
from qanat.node.entropy import SystemEntropy
from qanat.node.kek import kek_path, provide_kek
from qanat.node.messages import Note
from qanat.node.pki import provision
from qanat.node.processes.config import ChildConfig, Ports, kq1_socket
from qanat.node.processes.kme import KmeHost
from qanat.node.processes.seal_door import SealReply, SealRequest
from qanat.node.seal_client import ask_kme
from qanat.node.sealing import Sealing
from qanat.node.statedir import StateDir
from qanat.node.store.opening import open_store
from qanat.node.supervisor import free_ports

A = SiteId("a")
PIECES = ["a-b/1/1#0", "a-b/1/1#1"]


def filled_state(tmp_path: Path) -> StateDir:
    state = StateDir(tmp_path / "state")
    state.prepare()
    state.node(A).mkdir(mode=0o700, parents=True)
    provide_kek(state, A)
    store = open_store(state, A, root=None, entropy=SystemEntropy())
    kme = Kme(site=A, network=a_chain(1), store=store, entropy=SystemEntropy())
    with store.transaction():
        kme.add_block(a_block("a-b", 1), 0)
    store.close()
    return state


def sealed(state: StateDir, *options: str) -> list[str]:
    done = CliRunner().invoke(app, ["kme", "init-seal", "a", "--state", str(state.path), *options])
    assert done.exit_code == 0, done.output
    return [line for line in done.output.splitlines() if line.startswith("qanat-share")]


def bits_of(state: StateDir, root: SecretBits | None = None) -> list[bytes]:
    store = open_store(state, A, root=root, entropy=SystemEntropy())
    try:
        return [store.read_bits(BlockId(piece)).reveal() for piece in PIECES]
    finally:
        store.close()


def root_of(state: StateDir, shares: list[str]) -> SecretBits | None:
    sealing = Sealing(A, kek_path(state, A))
    for share in shares:
        sealing.add(share)
    return sealing.root


class Hub:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def send(self, message: object) -> None:
        if isinstance(message, Note):
            self.notes.append(message.text)


def a_site_kme(state: StateDir) -> tuple[KmeHost, Hub]:
    network = a_chain(1)
    provision(state, network, datetime.now(UTC))
    free = free_ports()
    ports = Ports(
        dashboard=next(free),
        classical=next(free),
        key_delivery={site: next(free) for site in network.sites},
        peers={site: next(free) for site in network.sites},
        streams={site: next(free) for site in network.sites},
    )
    hub = Hub()
    sockets = {kq1_socket(A): str(state.socket_path(kq1_socket(A)))}
    config = ChildConfig("kme", network, str(state.path), ports, sockets, [A])
    return KmeHost(config, A, hub), hub  # type: ignore[arg-type]


async def told(state: StateDir, verb: str, share: str = "") -> SealReply:
    return await asyncio.to_thread(ask_kme, state, A, SealRequest(verb, share))
