"""One session with a PostgreSQL server: how it is reached, and its errors as sentences."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from qanat.core.errors import EnvironmentProblem
from qanat.core.secret import SecretBits
from qanat.node.store.leased import LeaseLost
from qanat.node.store.postgres_schema import SETTINGS, SILENCE_S_MAX

try:
    from pg8000.exceptions import DatabaseError, InterfaceError
    from pg8000.native import Connection, PreparedStatement
except ImportError:  # the extra "pg" is not installed; said when a store asks for it
    Connection = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where a site's database is.

    Attributes:
        socket: Path of the Unix socket; then ``host`` and ``port`` mean nothing.
        password: None where the server knows the user by the socket or by a certificate.
        ca_file, cert_file, key_file: TLS, always on towards a host; the system's CAs without ``ca_file``.
    """

    database: str
    user: str
    socket: str | None = None
    host: str = ""
    port: int = 5432
    password: SecretBits | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __str__(self) -> str:
        return f"{self.database} at {self.socket or f'{self.host}:{self.port}'}"

    def tls(self) -> ssl.SSLContext | None:
        """Raises: OSError: a file is missing or is none."""
        if self.socket is not None:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        if self.cert_file is not None:
            context.load_cert_chain(self.cert_file, self.key_file)
        return context


class Session:
    """One connection; statements are prepared once.

    Raises:
        LeaseLost: the server cannot be reached, or went away. The session is of no use afterwards.
        EnvironmentProblem: it refuses, or would not keep what it commits.
    """

    def __init__(self, server: Server) -> None:
        if Connection is None:
            raise EnvironmentProblem(
                "a store on PostgreSQL needs the driver pg8000, which is not installed. Install it with "
                "`pip install 'qanat[pg]'`."
            )
        self._server = server
        self._prepared: dict[str, PreparedStatement] = {}
        self.is_dead = False
        self._db = self._connected()
        try:
            for setting in SETTINGS:
                self.run(setting)
            if self.run("SHOW fsync") != [["on"]]:
                raise EnvironmentProblem(
                    f"database {server} runs with fsync off: a power cut would bring delivered keys back. Set fsync=on."
                )
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Connection:
        server = self._server
        password = None if server.password is None else server.password.reveal().decode()  # to the server, under TLS
        with self._told():
            try:
                return Connection(
                    server.user,
                    database=server.database,
                    host=server.host,
                    port=server.port,
                    unix_sock=server.socket,
                    password=password,
                    ssl_context=server.tls(),
                    timeout=SILENCE_S_MAX,
                    application_name="qanat",
                )
            except (FileNotFoundError, PermissionError, ssl.SSLError) as error:
                raise EnvironmentProblem(f"the TLS files for database {server} cannot be used: {error}") from None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Only the server's own sentence is repeated: details may hold values."""
        try:
            yield
        except (InterfaceError, OSError):  # the driver lets some errors of the socket through
            self.is_dead = True
            raise LeaseLost(f"database {self._server} cannot be reached, or ended this session") from None
        except DatabaseError as error:
            fields = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            code, text = fields.get("C", ""), fields.get("M", "no reason given")
            # Class 57 is the server's operator or its timeouts, 25P03 an idle transaction: the session is gone.
            if code.startswith("57P") or code == "25P03":
                self.is_dead = True
                raise LeaseLost(f"database {self._server} ended this session: {text}") from None
            raise EnvironmentProblem(
                f"database {self._server} refused: {text} ({code}). Nothing was half written and no key left; look at "
                "the server's log."
            ) from None

    def run(self, statement: str, **values: Any) -> list[list[Any]]:
        """Rows, if the statement has any."""
        with self._told():
            if not values:
                return self._db.run(statement) or []
            prepared = self._prepared.get(statement)
            if prepared is None:
                prepared = self._prepared[statement] = self._db.prepare(statement)
            rows: list[list[Any]] | None = prepared.run(**values)
            return rows or []

    def close(self) -> None:
        self.is_dead = True
        with suppress(Exception):  # a server that is gone can be left without a word
            self._db.close()
