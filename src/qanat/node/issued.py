"""What a CA has issued, on the disk: one line of JSON per certificate, written before the certificate leaves.

A line without its end was being written when the power went: its certificate was never handed out, so the line is
dropped. Two commands at once wait for each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qanat.core.errors import EnvironmentProblem
from qanat.node.privatefile import sync_folder

FILE, LOCK = "issued.jsonl", "lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One certificate.

    Attributes:
        key: SHA-256 of its public key; empty in lines of older versions.
        follows: Serial number of the certificate by which its holder asked for it; 0: somebody else gave it.
    """

    name: str
    serial: int
    ends: datetime
    key: str = ""
    follows: int = 0


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Nobody else changes this CA's register or its revocation list meanwhile. Not to be nested."""
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)  # others hold it for milliseconds; the kernel drops it with the process
        yield
    finally:
        os.close(fd)


def key_digest(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """By which two certificates of one key are known."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def note_issued(folder: Path, pem: bytes, *, follows: int = 0) -> None:
    """Remember a certificate by its name, durably, so that it can be revoked by name. Call it before handing it out."""
    leaf = x509.load_pem_x509_certificate(pem)
    name = leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    row = {"serial": f"{leaf.serial_number:x}", "name": name, "ends": leaf.not_valid_after_utc.isoformat()}
    row |= {"key": key_digest(leaf)} | ({"follows": f"{follows:x}"} if follows else {})
    with held(folder):
        fd = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "r+b") as file:
            whole = file.read().rpartition(b"\n")
            file.seek(len(whole[0] + whole[1]))
            file.truncate()
            file.write(json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)


def rows_of(folder: Path) -> list[Row]:
    """All that were ever issued, oldest first.

    Raises:
        EnvironmentProblem: a whole line cannot be understood.
    """
    path = folder / FILE
    if not path.exists():
        return []
    return [_row(path, number, line) for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1)]


def _row(path: Path, number: int, line: bytes) -> Row:
    try:
        row = json.loads(line)
        return Row(
            name=str(row["name"]),
            serial=int(row["serial"], 16),
            ends=datetime.fromisoformat(row["ends"]),
            key=str(row.get("key", "")),
            follows=int(row.get("follows", "0"), 16),
        )
    except (ValueError, KeyError, TypeError):
        raise EnvironmentProblem(
            f"Line {number} of {path} cannot be understood. Mend it; or remove it, and the certificate that it named "
            "can no longer be revoked by name."
        ) from None
