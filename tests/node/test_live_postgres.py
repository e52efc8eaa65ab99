"""A running network of which one site keeps its keys on PostgreSQL."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from live_network import Live, until
from postgres_server import PostgresServer

from qanat.core.ids import SiteId
from qanat.node.store.choice import choice_path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="counts processes in /proc (Linux)"),
]


def test_keys_come_from_the_database_and_go_on_after_server_and_kme_were_killed(
    tmp_path: Path, postgresql: PostgresServer
) -> None:
    live = Live(tmp_path, ("--isolate",))
    site, master, slave = "mitte", "alice", "bob"
    database = postgresql.new_database()
    live.state.prepare()
    live.state.node(SiteId(site)).mkdir(mode=0o700)
    choice_path(live.state, SiteId(site)).write_text(
        f'[postgresql]\nsocket = "{database.socket}"\ndatabase = "{database.database}"\nuser = "{database.user}"\n'
    )

    def gives_a_key() -> bool:
        return live.run("key", "get", master, slave).code == 0

    live.start()
    try:
        until(gives_a_key, patience_s=40)
        assert not live.state.store(SiteId(site)).exists()
        assert postgresql.execute("SELECT count > 0 FROM lease", database.database) == [[True]]
        postgresql.stop("immediate")
        assert not gives_a_key()
        postgresql.start()
        until(gives_a_key, patience_s=20)
        first = live.kme(site)
        os.kill(first, signal.SIGKILL)
        until(lambda: live.kme(site) != first, patience_s=20)
        until(gives_a_key, patience_s=20)
        verified = live.run("audit", "verify")
        assert verified.code == 0, verified.out + verified.err
    finally:
        live.stop()
    assert "Traceback" not in live.err()
