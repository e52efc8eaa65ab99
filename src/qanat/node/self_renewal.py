"""An application renews its own certificate: by the one it shows, for its own name, for a new key, once.

A certificate has one successor. Who asks again for the same key (its answer was lost) gets it again; who asks for
another key is refused, because then two hold the old key: the application and a thief, whichever came first. The old
certificate ends ``OVERLAP`` after the first renewal, so a thief's copy does not outlive the next renewal by more, and
an application that a thief overtook notices within that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from qanat.core.errors import MisuseError
from qanat.crypto.pki import sign_request
from qanat.node.audit.entry import Value
from qanat.node.audit.identities import note
from qanat.node.enrolment import DAYS
from qanat.node.holders import APPLICATIONS
from qanat.node.issued import Row, key_digest, note_issued, rows_of
from qanat.node.revocation import ca_files, end_early, revoked_serials
from qanat.node.statedir import StateDir

OVERLAP = timedelta(hours=24)  # for an application on several machines to change over
_LATE = datetime.max.replace(tzinfo=UTC)


class RenewalRefused(MisuseError):
    """This certificate cannot be renewed so. Whoever runs the network can give a new one with `qanat sae enroll`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """``old_ends``: until when the certificate that was shown is still good."""

    certificate: bytes
    ends: datetime
    old_ends: datetime


def renew_own(state: StateDir, name: str, shown: bytes, csr: bytes, *, days: int) -> Renewal:
    """A certificate for the application that shows this one. One caller at a time.

    Args:
        name: Whose the shown one is, as TLS verified it; not revoked and not ended.
        shown: That certificate in DER.

    Raises:
        RenewalRefused: see above.
        MisuseError: the request cannot be used.
        EnvironmentProblem: there is no CA key here, or the audit cannot be written.
    """
    if not 1 <= days <= DAYS:
        raise RenewalRefused(f"days is between 1 and {DAYS}, not {days}")
    old, now = x509.load_der_x509_certificate(shown), datetime.now(UTC)
    cert, key = ca_files(state, APPLICATIONS)
    leaf = x509.load_pem_x509_certificate(
        sign_request(ca_cert=cert, ca_key=key, role="sae", identity=name, csr=csr, now=now, days=days)
    )  # not handed to anybody yet
    _check(rows_of(state.sae_ca), old, key_digest(leaf), name)
    old_ends = min(now + OVERLAP, old.not_valid_after_utc, revoked_serials(state).get(old.serial_number, _LATE))
    facts: dict[str, Value] = {
        "role": "sae",
        "name": name,
        "serial": f"{leaf.serial_number:x}",
        "key": key_digest(leaf),
    }
    facts |= {"ends": leaf.not_valid_after_utc.isoformat(), "follows": f"{old.serial_number:x}"}
    note(state, [("renewed", facts | {"old_ends": old_ends.isoformat(), "by": f"application {name}"})])
    pem = leaf.public_bytes(Encoding.PEM)
    note_issued(state.sae_ca, pem, follows=old.serial_number)
    end_early(state, old.serial_number, old_ends)
    return Renewal(certificate=pem, ends=leaf.not_valid_after_utc, old_ends=old_ends)


def _check(rows: list[Row], old: x509.Certificate, new_key: str, name: str) -> None:
    serial = old.serial_number
    if not any(row.serial == serial and row.name == name for row in rows):
        raise RenewalRefused("the certificate shown is not in the register of this network's CA")
    if new_key == key_digest(old):
        raise RenewalRefused("the request is for the key that the old certificate has; make a new key")
    others = [row for row in rows if row.follows == serial and row.key != new_key]
    if others:
        raise RenewalRefused(
            f"the certificate shown, {serial:x}, was renewed already, for another key. If that was not you, somebody "
            "has your key: have all certificates revoked"
        )
    if any(row.key == new_key and row.follows != serial for row in rows):
        raise RenewalRefused("the request is for a key that had a certificate before; make a new key")
