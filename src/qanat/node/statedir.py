"""The state directory: where one running network keeps its certificates, stores, sockets and ports.

ca/                                    the CA of the KMEs, by which applications know them
ca-applications/, ca-operators/        the CAs of applications, and of controller and admin
ca-peers/, nodes/<site>/peers/         where KMEs show each other certificates of another kind than applications see
access/                                revoked*.crl, allowed.txt: who may not call, which applications alone may
registrar/                             the audit of what was done with the CAs, and the registrar's certificate
nodes/<site>/{cert.pem,key.pem,kek}    a KME's certificate and the key that encrypts its store
nodes/<site>/skip-psk.json             pre-shared keys of routers
nodes/<site>/store.db                  its key store
nodes/<site>/kek.toml                  which token guards that key, if one does
nodes/<site>/store.toml                or where its PostgreSQL database is
fences/<site>                          how far that store came: not part of a backup
saes/<sae>/{cert.pem,key.pem}          an application's certificate
partners/<id>/ca.pem                   another operator's CA (ETSI 020)
run/                                   Unix sockets
logs/
pid, ports.json                        who runs, and where it listens
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SaeId, SiteId
from qanat.node.pidlock import PidLock
from qanat.node.privatefile import create_private, is_private_folder, private_folder, write_private

# sun_path holds 108 bytes on Linux and 104 on macOS and the BSDs, the closing zero byte included.
SOCKET_PATH_BYTES_MAX = 103


class StateDir:
    """One network's directory. Only its owner may look inside.

    ``prepare()`` makes it and ``with state.lock():`` claims it. Reading paths needs neither.

    Example:
        >>> StateDir("/srv/qanat").node(SiteId("mitte")).name
        'mitte'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).expanduser().absolute()

    @classmethod
    def default(cls, network: str) -> StateDir:
        """The directory of a network when the user names none: ``$QANAT_STATE``, else one per network
        under the platform's place for state."""
        chosen = os.environ.get("QANAT_STATE")
        return cls(chosen) if chosen else cls(state_home() / _file_name(network))

    def __repr__(self) -> str:
        return f"StateDir({str(self.path)!r})"

    @property
    def ca(self) -> Path:
        return self.path / "ca"

    @property
    def sae_ca(self) -> Path:
        """Issues the certificates by which applications show who they are; KMEs trust it at those doors only."""
        return self.path / "ca-applications"

    @property
    def operator_ca(self) -> Path:
        """Issues the certificates of controller and admin."""
        return self.path / "ca-operators"

    @property
    def peer_ca(self) -> Path:
        """Issues what KMEs show each other, where that is not what they show applications."""
        return self.path / "ca-peers"

    @property
    def access(self) -> Path:
        """Who may call although its certificate is good: ``revoked.crl`` and ``allowed.txt``."""
        return self.path / "access"

    @property
    def registrar(self) -> Path:
        """Of the one who has the CAs: its certificate and its audit."""
        return self.path / "registrar"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def ports_file(self) -> Path:
        return self.path / "ports.json"

    def node(self, site: SiteId) -> Path:
        return self.path / "nodes" / _file_name(site)

    def node_to_peers(self, site: SiteId) -> Path:
        """The certificate folder of a KME whose peers know it by ``peer_ca``."""
        return self.node(site) / "peers"

    def store(self, site: SiteId) -> Path:
        return self.node(site) / "store.db"

    def fence(self, site: SiteId) -> Path:
        """Outside the node's folder, so that a folder put back from a backup does not bring its fence with it."""
        return self.path / "fences" / _file_name(site)

    def sae(self, sae: SaeId) -> Path:
        return self.path / "saes" / _file_name(sae)

    def partner_ca(self, partner: str) -> Path:
        """The CA of another operator, put there by whoever runs this network; made by nobody here."""
        return self.path / "partners" / _file_name(partner) / "ca.pem"

    def identity(self, name: str) -> Path:
        """The certificate folder of a party that is neither node nor SAE: "controller", "admin"."""
        return self.path / "identities" / _file_name(name)

    def prepare(self) -> None:
        """Make what is missing.

        Raises:
            EnvironmentProblem: others can read it, it belongs to somebody else, or it cannot be made.
        """
        for folder in (
            self.path,
            self.ca,
            self.path / "nodes",
            self.path / "saes",
            self.path / "fences",
            self.run,
            self.logs,
        ):
            private_folder(folder)

    def lock(self) -> PidLock:
        """The claim of one `qanat up` on this directory; the kernel drops it with the process."""
        return PidLock(self.path / "pid")

    def running_pid(self) -> int | None:
        """Process number of the `qanat up` that holds the directory, or None."""
        return self.lock().holder()

    def write_ports(self, ports: Mapping[str, object]) -> None:
        """Say where the network listens; readers see the old table or the new one, never half of it."""
        write_private(self.ports_file, json.dumps(ports, indent=2, sort_keys=True).encode() + b"\n")

    def read_ports(self) -> dict[str, Any]:
        """Where the network listens.

        Raises:
            EnvironmentProblem: there is no table, or it cannot be understood.
        """
        try:
            ports = json.loads(self.ports_file.read_bytes())
        except FileNotFoundError:
            raise EnvironmentProblem(
                f"No network is running from {self.path}: it has no ports.json. Start one with `qanat up`."
            ) from None
        except (OSError, ValueError) as error:
            raise EnvironmentProblem(f"{self.ports_file} cannot be read ({error}). Start `qanat up` again.") from None
        if not isinstance(ports, dict):
            raise EnvironmentProblem(f"{self.ports_file} is not a table of ports. Start `qanat up` again.")
        return ports

    def remove_ports(self) -> None:
        self.ports_file.unlink(missing_ok=True)

    def socket_path(self, name: str) -> Path:
        """Where the Unix socket of this name lies: ``run/``, or a short private folder if that is too long.

        The short folder is recorded in ``run/sockets``, so every process finds the same one.
        """
        path = self.run / f"{_file_name(name)}.sock"
        if not _fits_socket(path):
            path = self._short_socket_folder() / path.name
        if not _fits_socket(path):
            raise EnvironmentProblem(
                f"The socket path {path} is longer than {SOCKET_PATH_BYTES_MAX} bytes. "
                "Set QANAT_STATE or TMPDIR to a shorter path."
            )
        return path

    def remove_sockets(self) -> None:
        """Remove leftover sockets and the short folder. Only the holder of the lock may."""
        folders = [self.run]
        with suppress(OSError):
            folders.append(_recorded_folder(self.run / "sockets"))
        for folder in folders:
            for socket in folder.glob("*.sock"):
                socket.unlink(missing_ok=True)
        if len(folders) > 1:
            (self.run / "sockets").unlink(missing_ok=True)
            with suppress(OSError):
                folders[1].rmdir()

    def _short_socket_folder(self) -> Path:
        record = self.run / "sockets"
        with suppress(OSError):
            return _recorded_folder(record)
        private_folder(self.run)
        record.unlink(missing_ok=True)  # its folder is gone or not ours: such a record leads nowhere
        folder = Path(tempfile.mkdtemp(prefix="qanat-"))  # mkdtemp makes it 0700
        try:
            create_private(record, os.fsencode(folder))
        except FileExistsError:  # another process was faster: its folder is the one
            folder.rmdir()
            return _recorded_folder(record)
        return folder


def state_home() -> Path:
    """Where programs of this user keep state: ``$XDG_STATE_HOME/qanat``, or what the platform has."""
    chosen = os.environ.get("XDG_STATE_HOME")
    if chosen and os.path.isabs(chosen):  # the XDG specification: relative paths are invalid, ignore them
        return Path(chosen) / "qanat"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "qanat"
    return Path.home() / ".local" / "state" / "qanat"


def _recorded_folder(record: Path) -> Path:
    """The folder that a record names, if it is still a private one of ours."""
    folder = Path(os.fsdecode(record.read_bytes()))
    if not is_private_folder(folder):
        raise PermissionError(f"{folder} is not a private folder of this user")
    return folder


def _fits_socket(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_BYTES_MAX


def _file_name(name: str) -> str:
    """A name as one part of a path.

    Raises:
        ValueError: it would lead elsewhere.
    """
    if not name or name in {".", ".."} or any(mark in name for mark in "/\\\0"):
        raise ValueError(f"{name!r} cannot be the name of a file")
    return name
