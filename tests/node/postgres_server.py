"""A PostgreSQL server of the tests: initdb in a folder of its own, a Unix socket, no TCP port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
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

    def __init__(self, tls: tuple[Path, Path] | None = None) -> None:
        """With certificate and key it has a TCP port too, for TLS with a password only."""
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        initdb, self._pg_ctl = _program("initdb"), _program("pg_ctl")
        self.folder = Path(tempfile.mkdtemp(prefix="qanat-pg-", dir="/tmp"))  # a socket's path must be short
        if self._as_user:
            shutil.chown(self.folder, "postgres", "postgres")
        self.data = self.folder / "data"
        self.socket = self.folder / ".s.PGSQL.5432"
        self._databases = 0
        self._run(initdb, "-D", self.data, "-U", USER, "--auth=trust", "-E", "UTF8", "--locale=C")
        self.port = 0
        if tls is not None:
            self._add_tls(*tls)
        self.start()

    def _run(self, *command: object) -> None:
        done = subprocess.run(
            [*self._as_user, *map(str, command)], capture_output=True, text=True, cwd="/", timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _add_tls(self, cert: Path, key: Path) -> None:
        for source, name in ((cert, "server.crt"), (key, "server.key")):
            (self.data / name).write_bytes(source.read_bytes())
            (self.data / name).chmod(0o600)
            if self._as_user:
                shutil.chown(self.data / name, "postgres", "postgres")
        with (self.data / "postgresql.auto.conf").open("a") as file:
            file.write("ssl = on\n")
        (self.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    def start(self) -> None:
        addresses = "127.0.0.1" if self.port else ""
        options = f"-c listen_addresses='{addresses}' -c unix_socket_directories='{self.folder}' -c max_connections=40"
        if self.port:
            options += f" -c port={self.port}"
            self.socket = self.folder / f".s.PGSQL.{self.port}"
        self._run(self._pg_ctl, "-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run(self._pg_ctl, "-D", self.data, "-m", mode, "-w", "stop")

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server, and wait until new sessions see it."""
        self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")
        end_s = time.monotonic() + 5
        while self.execute(f"SHOW {name}") != [[value]]:
            assert time.monotonic() < end_s, f"{name} did not change"
            time.sleep(0.02)

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
