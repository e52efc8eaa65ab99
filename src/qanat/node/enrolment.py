"""Certificates of applications at the hand of whoever runs the network: issued, renewed, revoked, listed.

Every certificate that the CA of applications issues is noted in ``ca-applications/issued.jsonl`` (serial, name, end;
nothing secret), so that a name can be revoked whole, wherever its certificates lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from qanat.core.errors import EnvironmentProblem, MisuseError
from qanat.core.ids import SaeId
from qanat.crypto.pki import issue, revocation_list, sign_request
from qanat.node.access import CRL, crl_from_bytes
from qanat.node.issued import held, note_issued, rows_of
from qanat.node.pki import hosts_of
from qanat.node.privatefile import private_folder, write_private
from qanat.node.statedir import StateDir

DAYS = 30  # short, so that a lost key is soon worth nothing; renewing is one command
CRL_DAYS = 3650  # it is replaced at each revocation, not by the calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """One certificate."""

    name: str
    serial: int
    ends: datetime
    is_revoked: bool


def _ca(state: StateDir) -> tuple[bytes, bytes]:
    cert, key = state.sae_ca / "cert.pem", state.sae_ca / "key.pem"
    if not cert.exists() or not key.exists():
        raise EnvironmentProblem(
            f"{key} is not there. Run this where the network's state directory is, after its first `qanat up`."
        )
    return cert.read_bytes(), key.read_bytes()


def enrol(state: StateDir, sae: SaeId, *, days: int, folder: Path | None, csr: bytes | None) -> Path:
    """A certificate for an application of this network; returns where it lies.

    Args:
        folder: Where to; None is the place in the state directory that `qanat key` and others use.
        csr: A request in PEM: its key is signed and never seen. None makes a key here, readable by its owner only.

    Raises:
        MisuseError: the request cannot be used, no folder is named for its certificate, or what lies in the folder is
            another's.
        EnvironmentProblem: there is no CA key here.
    """
    if csr is not None and folder is None:
        raise MisuseError(
            "a certificate by request does not belong in the state directory, where no key is beside it: the next "
            "`qanat up` would replace both. Say with --out where it goes"
        )
    cert, key = _ca(state)
    now, hosts = datetime.now(UTC), _hosts(state, sae)
    target = folder or state.sae(sae)
    private_folder(target)
    _check_target(target, sae, has_key=csr is None)
    if csr is not None:
        leaf = sign_request(
            ca_cert=cert, ca_key=key, role="sae", identity=sae, csr=csr, now=now, days=days, hosts=hosts
        )
    else:
        leaf, leaf_key = issue(
            ca_cert=cert, ca_key=key, role="sae", identity=sae, hosts=hosts, now=now, days=days, is_serving=bool(hosts)
        )
        write_private(target / "key.pem", leaf_key)
    note_issued(state.sae_ca, leaf)
    write_private(target / "cert.pem", leaf)
    return target


def _hosts(state: StateDir, sae: SaeId) -> list[str]:
    """Where the application may serve: what `qanat up` wrote into its certificate from the network file's push_url."""
    certfile = state.sae(sae) / "cert.pem"
    try:
        return sorted(hosts_of(x509.load_pem_x509_certificate(certfile.read_bytes())))
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []


def _check_target(folder: Path, sae: SaeId, *, has_key: bool) -> None:
    """Nobody else's certificate, and no key that belongs to none, is written over."""
    certfile = folder / "cert.pem"
    if certfile.exists():
        try:
            subject = x509.load_pem_x509_certificate(certfile.read_bytes()).subject.rfc4514_string()
        except ValueError:
            subject = "something else"
        if subject != f"CN={sae}":
            raise MisuseError(f"{certfile} is of {subject}, not of {sae}. Choose another folder with --out")
    elif has_key and (folder / "key.pem").exists():
        raise MisuseError(f"{folder / 'key.pem'} is there without a certificate. Choose another folder with --out")


def revoke(state: StateDir, sae: SaeId) -> int:
    """No certificate of this application is good any more. Returns how many there were.

    Raises:
        MisuseError: none was ever issued to that name.
        EnvironmentProblem: the list there is cannot be read; a new one would forget whom it names.
    """
    cert, key = _ca(state)
    with held(state.sae_ca):  # read, add, write: of two commands at once neither may lose the other's
        mine = [one for one in issued(state) if one.name == sae and not one.is_revoked]
        if not mine:
            raise MisuseError(f"no certificate that is still good was issued to {sae}; `qanat sae list` shows them")
        # All that the list names, not only what we issued: it may have been brought from elsewhere.
        serials = revoked_serials(state) | {one.serial for one in mine}
        private_folder(state.access)
        crl = revocation_list(ca_cert=cert, ca_key=key, serials=sorted(serials), now=datetime.now(UTC), days=CRL_DAYS)
        write_private(state.access / CRL, crl)
    return len(mine)


def issued(state: StateDir) -> list[Issued]:
    """All certificates that the CA of applications gave out and that have not ended, oldest first.

    Raises:
        EnvironmentProblem: the register or the revocation list cannot be read.
    """
    revoked, begin = revoked_serials(state), datetime.now(UTC) - timedelta(days=1)
    return [
        Issued(name=row.name, serial=row.serial, ends=row.ends, is_revoked=row.serial in revoked)
        for row in rows_of(state.sae_ca)
        if row.ends > begin
    ]


def revoked_serials(state: StateDir) -> frozenset[int]:
    """Whom the revocation list names. Raises: EnvironmentProblem."""
    path = state.access / CRL
    try:
        return frozenset(entry.serial_number for entry in crl_from_bytes(path.read_bytes()))
    except FileNotFoundError:
        return frozenset()
    except (OSError, ValueError):
        raise EnvironmentProblem(
            f"{path} is there and is no revocation list. Put the last good one back; `qanat sae revoke` adds to it."
        ) from None
