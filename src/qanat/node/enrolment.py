"""Certificates at the hand of whoever has a CA's key: for applications, KMEs and operators.

Every certificate that a CA issues is noted in its ``issued.jsonl`` (serial, name, end; nothing secret), so that a name
can be revoked whole, wherever its certificates lie; and before that in the audit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from qanat.core.errors import MisuseError
from qanat.crypto.pki import issue, sign_request
from qanat.node.audit.identities import LOCAL, note
from qanat.node.certificates import hosts_of
from qanat.node.holders import APPLICATIONS, Holders
from qanat.node.issued import key_digest, note_issued
from qanat.node.privatefile import private_folder, write_private
from qanat.node.revocation import ca_files
from qanat.node.statedir import StateDir

DAYS = 30  # short, so that a lost key is soon worth nothing; renewing is one command
DAYS_MAX = 825


def check_days(days: int) -> None:
    """Raises: MisuseError."""
    if not 1 <= days <= DAYS_MAX:
        raise MisuseError(f"--days is between 1 and {DAYS_MAX}, not {days}")


def enrol(
    state: StateDir,
    name: str,
    holders: Holders = APPLICATIONS,
    *,
    days: int,
    folder: Path | None,
    csr: bytes | None,
    hosts: Sequence[str] = (),
) -> Path:
    """A certificate for one party of this network; returns where it lies.

    Args:
        folder: Where to; None is the place in the state directory that `qanat key` and others use.
        csr: A request in PEM: its key is signed and never seen. None makes a key here, readable by its owner only.
        hosts: Where a KME is reached.

    Raises:
        MisuseError: the request cannot be used, no folder is named for its certificate, or what lies in the folder is
            another's.
        EnvironmentProblem: there is no CA key here, or the audit cannot be written.
    """
    if csr is not None and folder is None:
        raise MisuseError(
            "a certificate by request does not belong in the state directory, where no key is beside it: the next "
            "`qanat up` would replace both. Say with --out where it goes"
        )
    cert, key = ca_files(state, holders)
    now = datetime.now(UTC)
    target = folder or holders.own(state, name)
    if folder is None:
        private_folder(target.parent)
    private_folder(target)
    _check_target(target, name, has_key=csr is None)
    if csr is not None:
        leaf = signed_request(state, name, holders, days=days, csr=csr)
    else:
        places = [*hosts, *_places(state, name, holders)]
        leaf, leaf_key = issue(
            ca_cert=cert,
            ca_key=key,
            role=holders.role,
            identity=name,
            hosts=places,
            now=now,
            days=days,
            is_serving=bool(places),
        )
        note(state, [_enrolled(leaf, name, holders, LOCAL)])
        note_issued(holders.ca(state), leaf)
        write_private(target / "key.pem", leaf_key)
    write_private(target / "cert.pem", leaf)
    return target


def signed_request(
    state: StateDir, name: str, holders: Holders = APPLICATIONS, *, days: int, csr: bytes, by: str = LOCAL
) -> bytes:
    """A certificate in PEM for the key in this request, audited and noted.

    Raises:
        MisuseError: the request cannot be used.
        EnvironmentProblem: there is no CA key here, or the audit cannot be written.
    """
    cert, key = ca_files(state, holders)
    leaf = sign_request(
        ca_cert=cert,
        ca_key=key,
        role=holders.role,
        identity=name,
        csr=csr,
        now=datetime.now(UTC),
        days=days,
        hosts=_places(state, name, holders),
    )
    note(state, [_enrolled(leaf, name, holders, by)])
    note_issued(holders.ca(state), leaf)
    return leaf


def _places(state: StateDir, name: str, holders: Holders) -> list[str]:
    """Where an application may serve: what `qanat up` wrote into its certificate from the network file's push_url."""
    if holders is not APPLICATIONS:
        return []
    try:
        found = x509.load_pem_x509_certificate((holders.own(state, name) / "cert.pem").read_bytes())
        return sorted(hosts_of(found))
    except (OSError, ValueError):
        return []


def _enrolled(pem: bytes, name: str, holders: Holders, by: str) -> tuple[str, dict[str, str | int | bool | list[str]]]:
    leaf = x509.load_pem_x509_certificate(pem)
    facts = {"serial": f"{leaf.serial_number:x}", "key": key_digest(leaf), "ends": leaf.not_valid_after_utc.isoformat()}
    return "enrolled", {"role": holders.role, "name": name, **facts, "by": by}


def _check_target(folder: Path, name: str, *, has_key: bool) -> None:
    """Nobody else's certificate, and no key that belongs to none, is written over."""
    certfile = folder / "cert.pem"
    if certfile.exists():
        try:
            subject = x509.load_pem_x509_certificate(certfile.read_bytes()).subject.rfc4514_string()
        except ValueError:
            subject = "something else"
        if subject != f"CN={name}":
            raise MisuseError(f"{certfile} is of {subject}, not of {name}. Choose another folder with --out")
    elif has_key and (folder / "key.pem").exists():
        raise MisuseError(f"{folder / 'key.pem'} is there without a certificate. Choose another folder with --out")
