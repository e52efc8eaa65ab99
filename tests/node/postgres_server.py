"""A PostgreSQL server of the tests: initdb in a folder of its own, a Unix socket, no TCP port."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from pg8000.native import Connection

from qanat.node.store.postgres_session import Server

USER = "qanat"


def _program(name: str) -> str:
    """Debian keeps the server's programs out of PATH."""
    found = [*map(str, sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))), shutil.which(name)]
    found = [path for path in found if path]
    if not found:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    return str(found[0])


class PostgresServer:
    """Runs from construction to ``remove``. The server refuses to run as root: then it runs as ``postgres``."""

    def __init__(self) -> None:
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        initdb, self._pg_ctl = _program("initdb"), _program("pg_ctl")
        self.folder = Path(tempfile.mkdtemp(prefix="qanat-pg-", dir="/tmp"))  # a socket's path must be short
        if self._as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = self.folder / "data"
        self.socket = self.folder / ".s.PGSQL.5432"
        self._databases = 0
        self._run(initdb, "-D", self.data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C")
        self.start()

    def _run(self, *command: object) -> None:
        done = subprocess.run(
            [*self._as_user, *map(str, command)], capture_output=True, text=True, cwd="/", timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c max_connections=40"
        self._run(self._pg_ctl, "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run(self._pg_ctl, "-D", self.data, "-m", mode, "-w", "stop")

    def kill(self) -> None:
        """The server itself dies as by a power cut of its machine, all sessions with it."""
        os.kill(int((self.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def new_database(self) -> Server:
        self._databases += 1
        name = f"site_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return Server(database=name, user=USER, socket=str(self.socket))

    def execute(self, statement: str, database: str = "postgres") -> list[list[object]]:
        """As the server's administrator."""
        db = Connection(USER, database=database, unix_sock=str(self.socket))
        try:
            return db.run(statement) or []
        finally:
            db.close()
