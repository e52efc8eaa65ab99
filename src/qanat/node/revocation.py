"""Certificates taken back, whole names at once, and certificates that are good for a while only since one follows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.crypto.pki import revocation_list
from qanat.node.access import crl_from_bytes
from qanat.node.audit.identities import LOCAL, note
from qanat.node.holders import APPLICATIONS, Holders
from qanat.node.issued import held, rows_of
from qanat.node.privatefile import private_folder, write_private
from qanat.node.statedir import StateDir

CRL_DAYS = 3650  # it is replaced at each revocation, not by the calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One certificate.

    Attributes:
        ends: Its own end, or before that the time from which it is on the revocation list.
    """

    name: str
    serial: int
    ends: datetime
    is_revoked: bool


def ca_files(state: StateDir, holders: Holders) -> tuple[bytes, bytes]:
    """Certificate and private key of a CA. Raises: EnvironmentProblem: there is no key here."""
    folder = holders.ca(state)
    cert, key = folder / "cert.pem", folder / "key.pem"
    if not cert.exists() or not key.exists():
        raise EnvironmentProblem(
            f"{key} is not there. Run this where the network's state directory is, after its first `qanat up`."
        )
    return cert.read_bytes(), key.read_bytes()


def revoke(state: StateDir, name: str, holders: Holders = APPLICATIONS, *, by: str = LOCAL) -> int:
    """No certificate of this name is good any more. Returns how many there were.

    Args:
        by: Who wanted it, for the audit.

    Raises:
        MisuseError: none was ever issued to that name.
        EnvironmentProblem: the list there is cannot be read; a new one would forget whom it names.
    """
    ca_files(state, holders)  # before the audit says that it happened
    now = datetime.now(UTC)
    with held(holders.ca(state)):  # read, add, write: of two commands at once neither may lose the other's
        mine = [one for one in issued(state, holders) if one.name == name and not one.is_revoked]
        if not mine:
            raise MisuseError(
                f"no certificate that is still good was issued to {name}; `{holders.command} list` shows them"
            )
        serials = [f"{one.serial:x}" for one in mine]
        note(state, [("revoked", {"role": holders.role, "name": name, "serials": serials, "by": by})])
        _add(state, holders, {one.serial: now for one in mine}, now)
    return len(mine)


def end_early(state: StateDir, serial: int, since: datetime, holders: Holders = APPLICATIONS) -> None:
    """This certificate is good until then and no longer; one that is taken back already stays so."""
    with held(holders.ca(state)):
        if since < revoked_serials(state, holders).get(serial, datetime.max.replace(tzinfo=UTC)):
            _add(state, holders, {serial: since}, datetime.now(UTC))


def _add(state: StateDir, holders: Holders, more: dict[int, datetime], now: datetime) -> None:
    """All that the list names stays on it, not only what we issued: it may have been brought from elsewhere."""
    cert, key = ca_files(state, holders)
    dates = revoked_serials(state, holders) | more
    private_folder(state.access)
    crl = revocation_list(ca_cert=cert, ca_key=key, serials=dict(sorted(dates.items())), now=now, days=CRL_DAYS)
    write_private(holders.list_of(state), crl)


def issued(state: StateDir, holders: Holders = APPLICATIONS) -> list[Issued]:
    """All certificates that a CA gave out and that have not ended, oldest first.

    Raises:
        EnvironmentProblem: the register or the revocation list cannot be read.
    """
    revoked, now = revoked_serials(state, holders), datetime.now(UTC)
    found = []
    rows = [row for folder in (holders.ca(state), *holders.also(state)) for row in rows_of(folder)]
    for row in rows:
        since = revoked.get(row.serial)
        ends = row.ends if since is None or since <= now else min(since, row.ends)
        is_revoked = since is not None and since <= now
        if row.ends > now - timedelta(days=1):
            found.append(Issued(name=row.name, serial=row.serial, ends=ends, is_revoked=is_revoked))
    return found


def revoked_serials(state: StateDir, holders: Holders = APPLICATIONS) -> dict[int, datetime]:
    """Whom the revocation list names, and since when. Raises: EnvironmentProblem."""
    path = holders.list_of(state)
    try:
        return {entry.serial_number: entry.revocation_date_utc for entry in crl_from_bytes(path.read_bytes())}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise EnvironmentProblem(
            f"{path} is there and is no revocation list. Put the last good one back; `{holders.command} revoke` adds "
            "to it."
        ) from None
