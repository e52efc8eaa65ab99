"""Fixtures of the live tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # live_network.py is shared with tests/cli

from live_network import Live, until
from postgres_server import PostgresServer
from softhsm import SoftHsm

from qanat.node.store.postgres_session import Server


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The tiny network with one process per KME, filled with key for every pair; shared by a file's tests."""
    network = Live(tmp_path_factory.mktemp("live"), ("--isolate",))
    try:
        network.start()
        until(lambda: all(pair["state"] == "served" for pair in network.snapshot()["pairs"]), patience_s=40)
        yield network
    finally:
        network.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """A real server of this machine's PostgreSQL, reached by a Unix socket only."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(postgresql: PostgresServer) -> Server:
    """An empty database of it."""
    return postgresql.new_database()


@pytest.fixture
def softhsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    """A real SoftHSM with one token, "vault"."""
    made = SoftHsm(tmp_path / "softhsm", monkeypatch)
    made.make()
    return made
