"""Pre-shared keys of routers that fetch keys by SKIP: one file per site, ``nodes/<site>/skip-psk.json``, mode 0600.

Commands write it, the KME of the site reads it anew within half a second. The keys stand in it as they are, as a
certificate's private key does: whoever reads the file can call as those routers, and where ``skip_psk = "plain"`` read
what they fetched before. A file that others can read is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId, SiteId
from qanat.core.ports import Entropy
from qanat.core.secret import SecretBits
from qanat.node.access import Watched
from qanat.node.api.psk import PSK_BYTES, Psk, is_identity
from qanat.node.issued import held
from qanat.node.privatefile import privacy_problem, write_private
from qanat.node.statedir import StateDir

FILE = "skip-psk.json"


class Enrolled(msgspec.Struct, frozen=True, kw_only=True):
    """One pre-shared key. The serial number tells it from an earlier one of the same identity."""

    identity: str
    sae: str
    serial: int
    made: datetime
    secret: bytes

    def __repr__(self) -> str:
        return f"<Enrolled {self.identity} for {self.sae}>"


class _File(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    psks: list[Enrolled] = []


def _path(state: StateDir, site: SiteId) -> Path:
    return state.node(site) / FILE


def _rows(data: bytes) -> list[Enrolled]:
    """Raises: ValueError, with no secret in it."""
    try:
        rows = msgspec.json.decode(data, type=_File).psks
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None  # says where and which type, never what stands there
    if any(len(row.secret) != PSK_BYTES or not is_identity(row.identity) or row.serial <= 0 for row in rows):
        raise ValueError(f"a key has not {PSK_BYTES} bytes, or an identity is not one word of printable ASCII")
    if len({row.identity for row in rows}) != len(rows):
        raise ValueError("an identity stands in it twice")
    return rows


def _checked_rows(path: Path) -> list[Enrolled]:
    """Raises: OSError, ValueError."""
    if (problem := privacy_problem(path, path.lstat())) is not None:
        raise ValueError(problem)
    return _rows(path.read_bytes())


# --- what commands do


def add(
    state: StateDir, site: SiteId, sae: SaeId, identity: str, *, entropy: Entropy, now: datetime | None = None
) -> Enrolled:
    """A new key of 256 bits for an application of this site, durable when this returns.

    Raises:
        MisuseError: the identity cannot be used, or somebody has it.
        EnvironmentProblem: the file cannot be read or written.
    """
    if not is_identity(identity):
        raise MisuseError(
            f"{identity!r} cannot be the identity of a pre-shared key: it has 1 to 128 printable ASCII characters and "
            "no space. Choose another with --identity"
        )
    with _changing(state):
        if any(row.identity == identity for _, row in listed(state)):
            raise MisuseError(
                f"there is a pre-shared key of the identity {identity} already. Choose another with --identity, so "
                f"that the router can change over; or remove it with `qanat skip psk remove {identity}`"
            )
        made = Enrolled(
            identity=identity,
            sae=sae,
            serial=int.from_bytes(entropy.random_bytes(8)) | 1,
            made=now or datetime.now(UTC),
            secret=entropy.random_bytes(PSK_BYTES),
        )
        _write(state, site, [*_read(state, site), made])
    return made


def remove(state: StateDir, *, identity: str | None = None, sae: SaeId | None = None) -> list[str]:
    """Remove the key of an identity, or all of an application; returns the identities that are gone.

    Raises:
        EnvironmentProblem: a file cannot be read or written.
    """
    gone = []
    with _changing(state):
        for site in _sites(state):
            rows = _read(state, site)
            kept = [row for row in rows if identity != row.identity and sae != row.sae]
            if len(kept) < len(rows):
                _write(state, site, kept)
                gone += [row.identity for row in rows if row not in kept]
    return gone


def listed(state: StateDir) -> list[tuple[SiteId, Enrolled]]:
    """All keys of all sites. Raises: EnvironmentProblem."""
    return [(site, row) for site in _sites(state) for row in _read(state, site)]


def _sites(state: StateDir) -> list[SiteId]:
    return [SiteId(path.parent.name) for path in sorted((state.path / "nodes").glob(f"*/{FILE}"))]


def _read(state: StateDir, site: SiteId) -> list[Enrolled]:
    path = _path(state, site)
    try:
        return _checked_rows(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise EnvironmentProblem(
            f"{path} cannot be used: {error}. Mend it, or remove it and add its keys anew."
        ) from None


def _write(state: StateDir, site: SiteId, rows: list[Enrolled]) -> None:
    write_private(_path(state, site), msgspec.json.format(msgspec.json.encode(_File(rows)), indent=1) + b"\n")


@contextmanager
def _changing(state: StateDir) -> Iterator[None]:
    """Of two commands at once neither loses the other's."""
    folder = state.path / "nodes"
    if not folder.is_dir():
        raise EnvironmentProblem(f"{state.path} is no state directory of a network. Name one with --state.")
    with held(folder):
        yield


# --- what a KME does


class PskBook:
    """The keys of one site as its KME knows them. Asked in every handshake and at every request."""

    def __init__(self, state: StateDir, site: SiteId) -> None:
        path = _path(state, site)
        self._watched = Watched(path, lambda _data: _by_identity(_checked_rows(path)), is_kept=False)
        self._admitted: frozenset[tuple[str, int]] = frozenset()
        self.look()

    def look(self) -> None:
        """Read again what has changed; keys that are gone are wiped. Call it every ``RELOAD_S``."""
        before = self._watched.value
        self._watched.look()
        now = self._watched.value
        if now is before:
            return
        for psk in (before or {}).values():
            psk.secret.wipe()
        self._admitted = frozenset((psk.name, psk.serial) for psk in (now or {}).values())

    def find(self, identity: str) -> Psk | None:
        return (self._watched.value or {}).get(identity)

    def admits(self, name: str, serial: int) -> bool:
        return (name, serial) in self._admitted


def _by_identity(rows: list[Enrolled]) -> dict[str, Psk]:
    return {row.identity: Psk(name=row.sae, serial=-row.serial, secret=SecretBits(row.secret)) for row in rows}
