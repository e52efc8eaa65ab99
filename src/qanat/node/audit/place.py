"""Where a network's audits lie, and what its key stores remember of them. Reads only, also while it runs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import msgspec

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.crypto.signature import VerifyingKey
from qanat.node.admin_client import ask
from qanat.node.audit.chains import heads_in
from qanat.node.audit.trail import FACT
from qanat.node.statedir import StateDir
from qanat.node.store.choice import chosen_server

if TYPE_CHECKING:
    from qanat.node.store.postgres_session import Server


# Not a site: what was done with the network's CAs has an audit of its own. No site can have such a name.
REGISTRAR = SiteId("@registrar")
HEAD = "audit-head"


def audit_folder(state: StateDir, site: SiteId) -> Path:
    return state.registrar / "audit" if site == REGISTRAR else state.node(site) / "audit"


def audited_sites(state: StateDir) -> list[SiteId]:
    """Or instances of their KMEs: each has an audit of its own.

    Raises:
        EnvironmentProblem: there is no audit in this state directory.
    """
    found = sorted(path.parent.name for path in (state.path / "nodes").glob("*/audit"))
    found += [str(REGISTRAR)] * audit_folder(state, REGISTRAR).is_dir()
    if not found:
        raise EnvironmentProblem(f"{state.path} holds no audit. `qanat up` writes one; name its place with --state.")
    return [SiteId(name) for name in found]


def key_in(folder: Path) -> VerifyingKey:
    """The public key of the audit in this folder. Raises: EnvironmentProblem."""
    path = folder / "signing.pub"
    try:
        return VerifyingKey.from_pem(path.read_bytes())
    except OSError as error:
        raise EnvironmentProblem(
            f"{path} cannot be read ({error.strerror}); without it no signature can be judged"
        ) from None


def store_head(state: StateDir, site: SiteId) -> tuple[int, str] | None:
    """How many lines the key store knows of, and the hash of the last; None when there is no such store.

    A running KME keeps its store to itself: then it says so itself, through the hub.
    """
    if site == REGISTRAR:
        return head_on_disk(state)
    server = chosen_server(state, site)
    if server is not None:
        return heads_in(_facts_in(server), site).get(site)
    path = state.store(site)
    if not path.exists():
        return None
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as store:
            value = store.execute("SELECT value FROM fact WHERE kind=? AND name=?", FACT).get
    except apsw.BusyError:
        return _head_of_running(state, site)
    except apsw.Error as error:
        raise EnvironmentProblem(f"key store {path} cannot be read: {error}") from None
    return None if value is None else msgspec.msgpack.decode(value, type=tuple[int, str])


def head_on_disk(state: StateDir) -> tuple[int, str] | None:
    """The registrar has no key store: its head lies in a file.

    Raises:
        EnvironmentProblem: the file cannot be understood.
    """
    path = state.registrar / HEAD
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=tuple[int, str])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise EnvironmentProblem(f"{path} cannot be read ({error}); put it back from where it was") from None


def store_heads(state: StateDir, site: SiteId) -> dict[SiteId, tuple[int, str]]:
    """The same for every instance of the site's KME that ever had a turn."""
    server = chosen_server(state, site) if site != REGISTRAR else None
    if server is not None:
        return heads_in(_facts_in(server), site)
    head = store_head(state, site)
    return {} if head is None else {site: head}


def _facts_in(server: Server) -> dict[str, bytes]:
    """What a store says of audits. A database is read beside the KME that uses it."""
    from qanat.node.store.postgres_session import Session  # noqa: PLC0415 - the driver only where it is used

    session = Session(server)
    try:
        if session.run("SELECT to_regclass('fact')") == [[None]]:
            return {}
        rows = session.run("SELECT name, value FROM fact WHERE kind=:kind", kind=FACT[0])
    finally:
        session.close()
    return {str(name): bytes(value) for name, value in rows}


def _head_of_running(state: StateDir, site: SiteId) -> tuple[int, str] | None:
    snapshot = ask(state, "snapshot")
    reports = snapshot.get("kmes", ()) if isinstance(snapshot, dict) else ()
    heads = [report["audit"]["head"] for report in reports if report["site"] == site]
    return (int(heads[0][0]), str(heads[0][1])) if heads and heads[0] else None
