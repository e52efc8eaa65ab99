"""Which store a site has: SQLite in its folder, or PostgreSQL where ``store.toml`` lies there."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.secret import SecretBits
from qanat.node.instance import own_or_first
from qanat.node.statedir import StateDir

if TYPE_CHECKING:
    from qanat.node.store.postgres_session import Server


class Postgresql(msgspec.Struct, forbid_unknown_fields=True):
    """The table ``[postgresql]`` of store.toml. Files are relative to the folder that it lies in.

    Attributes:
        socket: Path of the server's Unix socket; or ``host``.
        host: Then TLS 1.3 is always on and the server's certificate is checked, by ``ca_file`` or the system's CAs.
        password_file: Mode 0600, one line.
        cert_file, key_file: A certificate by which the server knows us.
    """

    database: str
    user: str
    socket: str | None = None
    host: str | None = None
    port: int = 5432
    password_file: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    postgresql: Postgresql


def choice_path(state: StateDir, site: SiteId) -> Path:
    """A further instance (``mitte@2``) that has no file of its own shares the first one's."""
    return own_or_first(state, site, "store.toml")


def has_store(state: StateDir, site: SiteId) -> bool:
    return state.store(site).exists() or choice_path(state, site).exists()


def chosen_server(state: StateDir, site: SiteId) -> Server | None:
    """Where the site's database is; None for a site with a SQLite file.

    Raises:
        EnvironmentProblem: store.toml is wrong, or there is a SQLite store with keys beside it.
    """
    path = choice_path(state, site)
    if not path.exists():
        return None
    if state.store(site).exists():
        raise EnvironmentProblem(
            f"site {site} has both {path} and a SQLite store, {state.store(site).name}, beside it. Keys do not move "
            "from one to the other: move the one away that is not to be used; its keys are lost then."
        )
    try:
        table = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File).postgresql
    except (OSError, ValueError) as error:  # what tomllib and msgspec raise are ValueErrors
        raise EnvironmentProblem(
            f"{path} cannot be used: {error}. The how-to guide on PostgreSQL shows one that can."
        ) from None
    return _server(path.parent, table)


def _server(folder: Path, table: Postgresql) -> Server:
    from qanat.node.store.postgres_session import Server  # noqa: PLC0415 - the driver only where it is used

    if (table.socket is None) == (table.host is None):
        raise EnvironmentProblem(f"{folder / 'store.toml'} must name the server by either socket or host.")
    if (table.cert_file is None) != (table.key_file is None):
        raise EnvironmentProblem(f"{folder / 'store.toml'} must have both cert_file and key_file, or neither.")
    return Server(
        database=table.database,
        user=table.user,
        socket=table.socket,
        host=table.host or "",
        port=table.port,
        password=None if table.password_file is None else _password(folder / table.password_file),
        ca_file=_beside(folder, table.ca_file),
        cert_file=_beside(folder, table.cert_file),
        key_file=_beside(folder, table.key_file),
    )


def _beside(folder: Path, name: str | None) -> str | None:
    return None if name is None else str(folder / name)


def _password(path: Path) -> SecretBits:
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise EnvironmentProblem(
                f"{path} holds the password of a key store and can be read by others (mode {stat.S_IMODE(mode):04o}). "
                f"Close it with `chmod 600 {path}`."
            )
        return SecretBits(path.read_bytes().rstrip(b"\r\n"))
    except OSError as error:
        raise EnvironmentProblem(
            f"{path}, named by store.toml, cannot be read: {error.strerror}. Put the password there, or name "
            "another file."
        ) from None
