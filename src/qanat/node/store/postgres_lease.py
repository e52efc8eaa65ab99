"""Whose turn it is to write a PostgreSQL store, and whether the store is an old copy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from qanat.core.errors import EnvironmentProblem
from qanat.core.ids import SiteId
from qanat.core.ports import Entropy
from qanat.node.store.fence import LIFE_BYTES, NOTHING, Fence, Mark
from qanat.node.store.piece_seal import fits_probe, kek_probe
from qanat.node.store.postgres_schema import ACTIVE_LOCK, LAYOUT, SCHEMA, SCHEMA_LOCK
from qanat.node.store.postgres_session import Session
from qanat.node.store.sqlite import StoreIsOld, WrongKek

FOUND_AND_LOCKED = "SELECT epoch, count, name FROM lease JOIN life USING (epoch) FOR UPDATE OF lease"
RAISED = (
    "WITH raised AS (UPDATE lease SET count=:count WHERE epoch=:epoch) UPDATE life SET last=:count WHERE epoch=:epoch"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What the row ``lease`` must say for this instance to write.

    Attributes:
        epoch: One higher with every instance that took over: the fencing token.
        count: Commits so far.
        life: Random name of the epoch, so that two databases grown from one copy differ.
    """

    epoch: int
    count: int
    life: bytes

    def row(self) -> list[Any]:
        return [self.epoch, self.count, self.life]

    def next(self) -> Turn:
        return replace(self, count=self.count + 1)

    @property
    def mark(self) -> Mark:
        return Mark(self.count, self.life, bytes(LIFE_BYTES))  # parents stand in the table of lives


def prepare(session: Session, site: SiteId, kek: bytes, entropy: Entropy) -> None:
    """Make the tables, if this is the first instance; refuse what is not ours.

    Raises:
        WrongKek: sealed under another KEK.
        EnvironmentProblem: another site's, or of another layout.
    """
    session.run("BEGIN")
    session.run(f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})")
    if session.run("SELECT to_regclass('lease')") == [[None]]:
        session.run(SCHEMA)
        for name, value in (("layout", LAYOUT), ("site", site.encode()), ("kek", kek_probe(kek, entropy))):
            session.run("INSERT INTO meta VALUES (:name, :value)", name=name, value=value)
    session.run("COMMIT")
    meta: dict[str, bytes] = {str(name): value for name, value in session.run("SELECT name, value FROM meta")}
    if meta.get("layout") != LAYOUT:
        raise EnvironmentProblem(
            f"the database has layout {meta.get('layout', b'none').decode()}, this program writes {LAYOUT.decode()}. "
            "Use the version of qanat that made it, or an empty database: its keys are lost then."
        )
    if meta["site"] != site.encode():
        raise EnvironmentProblem(
            f"the database is the key store of site {meta['site'].decode()}, not of {site}. Each site needs one of "
            "its own; mend store.toml."
        )
    check_kek(session, kek, "of this site")


def check_kek(session: Session, kek: bytes, name: str) -> None:
    """Raises: WrongKek."""
    rows = session.run("SELECT value FROM meta WHERE name='kek'")
    if not rows or not fits_probe(kek, rows[0][0]):
        raise WrongKek(
            f"database {name} is sealed under another key. Give this KME the file `kek` that the active instance has, "
            "or an empty database: its keys are lost then."
        )


def is_locked_by_us(session: Session) -> bool:
    """Whether this session is the active one now."""
    return session.run(f"SELECT pg_try_advisory_lock({ACTIVE_LOCK})") == [[True]]


def follow(session: Session, fence: Fence, name: str) -> None:
    """What a standby does while it waits: keep its own fence near the store, so that it knows an old copy later.

    A fence that is new begins here: beside an active instance, which looks at its own with every commit.

    Raises:
        StoreIsOld: the store is behind this machine's fence.
        OSError: the fence cannot be written.
    """
    known = _fence_mark(fence)
    if known is not None and not _has(session, known):
        raise _old(name, known)
    rows = session.run("SELECT count, name FROM lease JOIN life USING (epoch)")
    if rows and rows[0][0]:
        mark = Mark(rows[0][0], rows[0][1], bytes(LIFE_BYTES))
        if mark != known:
            fence.write(mark)


def take(session: Session, fence: Fence, entropy: Entropy, name: str, is_recovering: bool) -> Turn:
    """Begin an epoch, with the advisory lock in hand.

    Raises:
        StoreIsOld: the store is behind this machine's fence, or holds commits and there is no fence.
        OSError: the fence cannot be read.
    """
    session.run("BEGIN")
    (epoch, count), *_ = session.run("SELECT epoch, count FROM lease FOR UPDATE")
    known = _fence_mark(fence)
    if not is_recovering and count:
        if known is None:
            raise StoreIsOld(f"the fence {fence.path} of database {name} is missing or damaged")
        if not _has(session, known):
            raise _old(name, known)
    # An empty store and one that is being recovered begin above the fence, so that what was before stays old.
    count = max(count, (known or NOTHING).count)
    turn = Turn(epoch + 1, count, entropy.random_bytes(LIFE_BYTES))
    session.run("INSERT INTO life VALUES (:epoch, :name, :last)", epoch=turn.epoch, name=turn.life, last=count)
    session.run("UPDATE lease SET epoch=:epoch, count=:count", epoch=turn.epoch, count=count)
    session.run("COMMIT")
    return turn


def _fence_mark(fence: Fence) -> Mark | None:
    try:
        return fence.read()
    except ValueError:
        return None


def _has(session: Session, mark: Mark) -> bool:
    """Whether the store has the commit that a fence knows: any life of it, however many came since."""
    rows = session.run("SELECT last FROM life WHERE name=:name", name=mark.life)
    return bool(rows) and rows[0][0] >= mark.count


def _old(name: str, known: Mark) -> StoreIsOld:
    return StoreIsOld(f"database {name} lacks commit {known.count}, which this machine has seen")
