"""What the checker may see: commits of the stores, answers to applications, commands taken, restarts.

Engines know nothing of it. The store tells what was committed, the host tells what left; nobody looks into an
engine's memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from qanat.core.alarms import Command
from qanat.core.ids import BlockId, KeyId, LinkId, SaeId, SiteId
from qanat.core.secret import SecretBits
from qanat.km.store import GrantRecord, PieceRecord, Snapshot
from qanat.sim.store import CrashingStore


@dataclass(frozen=True, slots=True)
class PiecePut:
    record: PieceRecord
    digest: bytes  # of the bytes that may be given out


@dataclass(frozen=True, slots=True)
class PieceUpdated:
    record: PieceRecord


@dataclass(frozen=True, slots=True)
class OffsetSet:
    piece: BlockId
    offset: int


@dataclass(frozen=True, slots=True)
class PieceErased:
    piece: BlockId


@dataclass(frozen=True, slots=True)
class GrantPut:
    grant: GrantRecord


@dataclass(frozen=True, slots=True)
class GrantDeleted:
    key_id: KeyId


@dataclass(frozen=True, slots=True)
class MessagePosted:
    peer: SiteId
    message: bytes


@dataclass(frozen=True, slots=True)
class LedgerWritten:
    account: str
    value: bytes


Write = PiecePut | PieceUpdated | OffsetSet | PieceErased | GrantPut | GrantDeleted | MessagePosted | LedgerWritten


@dataclass(frozen=True, slots=True)
class Committed:
    """A transaction of one site's store became durable."""

    site: SiteId
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class DeliveredKey:
    """One key as an application got it. ``digest`` is of its bits; ``extension`` is its 014 extension."""

    key_id: KeyId
    digest: bytes
    size_bits: int
    extension: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delivered:
    """An answer with keys reached an application; ``role`` is "master" or "slave"."""

    site: SiteId
    role: str
    caller: SaeId
    partner: SaeId
    keys: tuple[DeliveredKey, ...]


@dataclass(frozen=True, slots=True)
class CommandTaken:
    """A KME accepted a command."""

    site: SiteId
    command: Command


@dataclass(frozen=True, slots=True)
class BlockHanded:
    """A QKD module offered a key block to a KME for the first time."""

    site: SiteId
    link: LinkId
    size_bits: int


@dataclass(frozen=True, slots=True)
class Restarted:
    """A KME starts from what its store has."""

    site: SiteId
    snapshot: Snapshot


Observation = Committed | Delivered | CommandTaken | BlockHanded | Restarted


def digest_of(bits: SecretBits, size_bytes: int | None = None) -> bytes:
    """16 bytes by which two ends are compared; they stay in the checker."""
    data = bits.reveal()  # both ends' bits are in this process anyway: it is a simulation
    return hashlib.blake2b(data if size_bytes is None else data[:size_bytes], digest_size=16).digest()


class ObservedStore(CrashingStore):
    """A crashing store that tells what each commit wrote.

    Args:
        tell: Takes every ``Committed``, right after the commit.
    """

    def __init__(self, site: SiteId, tell: Callable[[Committed], None]) -> None:
        super().__init__()
        self._site = site
        self._tell = tell
        self._writes: list[Write] = []
        self._ledger_rows: dict[str, bytes] = {}  # only the last of each account becomes durable

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self._writes = []
        self._ledger_rows = {}
        with super().transaction():
            yield
        rows = (LedgerWritten(account, value) for account, value in self._ledger_rows.items())
        if self._writes or self._ledger_rows:
            self._tell(Committed(self._site, (*self._writes, *rows)))

    def put_piece(self, record: PieceRecord, bits: SecretBits) -> None:
        super().put_piece(record, bits)
        self._writes.append(PiecePut(record, digest_of(bits, record.size_bytes)))

    def update_piece(self, record: PieceRecord) -> None:
        super().update_piece(record)
        self._writes.append(PieceUpdated(record))

    def set_offset(self, piece: BlockId, offset: int) -> None:
        super().set_offset(piece, offset)
        self._writes.append(OffsetSet(piece, offset))

    def delete_piece(self, piece: BlockId) -> None:
        super().delete_piece(piece)
        self._writes.append(PieceErased(piece))

    def put_grant(self, grant: GrantRecord) -> None:
        super().put_grant(grant)
        self._writes.append(GrantPut(grant))

    def delete_grant(self, key_id: KeyId) -> None:
        super().delete_grant(key_id)
        self._writes.append(GrantDeleted(key_id))

    def put_message(self, peer: SiteId, number: int, message: bytes) -> None:
        super().put_message(peer, number, message)
        self._writes.append(MessagePosted(peer, message))

    def put_fact(self, kind: str, name: str, value: bytes | None) -> None:
        super().put_fact(kind, name, value)
        if kind == "ledger" and value is not None:
            self._ledger_rows[name] = value
