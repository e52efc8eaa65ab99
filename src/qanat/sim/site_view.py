"""One site's store as its commits tell it: an account of its own, beside the engine's."""

from __future__ import annotations

from collections import Counter

import msgspec

from qanat.core.alarms import Action, Command
from qanat.core.ids import BlockId, KeyId, LinkId, SiteId
from qanat.km.ledger import Account
from qanat.km.store import GrantRecord, PieceRecord, Snapshot
from qanat.sim.invariants import Invariant, InvariantBroken
from qanat.sim.observed import (
    GrantDeleted,
    GrantPut,
    LedgerWritten,
    OffsetSet,
    PieceErased,
    PiecePut,
    PieceUpdated,
    Write,
)


class SiteView:
    """Tables rebuilt from commits.

    Attributes:
        records: Every piece that was ever stored here, also after it was erased.
        digests: Of their bits.
        handed_bits: What the QKD modules offered, by link.
        delivered_bits: What applications here received.
    """

    def __init__(self, site: SiteId) -> None:
        self.site = site
        self.records: dict[BlockId, PieceRecord] = {}
        self.digests: dict[BlockId, bytes] = {}
        self.handed_bits: Counter[str] = Counter()
        self.delivered_bits = 0
        self._offsets: dict[BlockId, int] = {}
        self._grants: dict[KeyId, GrantRecord] = {}
        self._held_bytes: Counter[str] = Counter()
        self._ledger: dict[str, Account] = {}
        self._condemned: dict[LinkId, list[tuple[int, int | None]]] = {}
        self._dirty: set[str] = set()

    def take(self, write: Write) -> None:
        """Follow one write."""
        match write:
            case PiecePut(record, digest):
                self.records[record.piece], self.digests[record.piece] = record, digest
                self._offsets[record.piece] = 0
                self._held(record.account, record.size_bytes)
            case PieceUpdated(record):
                self.records[record.piece] = record
            case OffsetSet(piece, offset) if piece in self._offsets:
                self._held(self.records[piece].account, self._offsets[piece] - offset)
                self._offsets[piece] = offset
            case PieceErased(piece) if piece in self._offsets:
                record = self.records[piece]
                self._held(record.account, self._offsets.pop(piece) - record.size_bytes)
            case GrantPut(grant):
                if grant.key_id not in self._grants:  # written again when one of several slaves has it
                    self._held(self.records[grant.piece].account, grant.size_bytes)
                self._grants[grant.key_id] = grant
            case GrantDeleted(key_id) if key_id in self._grants:
                grant = self._grants.pop(key_id)
                self._held(self.records[grant.piece].account, -grant.size_bytes)
            case LedgerWritten(account, value):
                self._take_ledger(account, msgspec.msgpack.decode(value, type=Account))

    def _held(self, account: str, change_bytes: int) -> None:
        self._held_bytes[account] += change_bytes
        self._dirty.add(account)

    def _take_ledger(self, account: str, row: Account) -> None:
        before = self._ledger.get(account, Account())
        for fate in Account.__struct_fields__:
            if getattr(row, fate) < getattr(before, fate):
                self._broken(
                    f"account {account}: {fate} fell from {getattr(before, fate)} to {getattr(row, fate)} bits"
                )
        self._ledger[account] = row
        self._dirty.add(account)

    def _broken(self, what: str) -> None:
        raise InvariantBroken(Invariant.LEDGER, f"site {self.site}, {what}")

    # --- invariant 4

    def check_ledger(self) -> None:
        """The accounts touched since the last call balance.

        Raises:
            InvariantBroken: one does not.
        """
        for account in sorted(self._dirty):
            row, held_bits = self._ledger.get(account, Account()), 8 * self._held_bytes[account]
            if row.held != held_bits:
                self._broken(f"account {account}: {row}, which leaves {row.held} bits; the store holds {held_bits}")
            handed_bits = self.handed_bits.get(account)
            if handed_bits is not None and row.made > handed_bits:
                self._broken(f"account {account}: {row.made} bits made, but its modules handed over {handed_bits}")
        if self._dirty and sum(row.delivered for row in self._ledger.values()) < self.delivered_bits:
            self._broken(f"applications received {self.delivered_bits} bits, more than the ledger says")
        self._dirty.clear()

    # --- invariant 5

    def obey(self, command: Command) -> None:
        """The site accepted a command: what it condemned must stay here from now on."""
        stretches = self._condemned.setdefault(command.link, []) if command.link else []
        if command.action is Action.QUARANTINE:
            stretches.append((command.since_ns, None))
        elif command.action is Action.RESUME_LINK:
            stretches[:] = [(a, max(a, command.since_ns) if b is None else b) for a, b in stretches]

    def condemned(self, piece: BlockId) -> LinkId | None:
        """The link whose accepted alarm condemns this piece, if one does."""
        record = self.records.get(piece)
        for source in record.sources if record else ():
            for since_ns, until_ns in self._condemned.get(source.link, ()):
                if source.end_ns >= since_ns and (until_ns is None or source.start_ns < until_ns):
                    return source.link
        return None

    # --- invariant 6

    def check_restart(self, snapshot: Snapshot) -> None:
        """The store has, after a crash, exactly what was committed before it.

        Raises:
            InvariantBroken: it has not.
        """
        if {record.piece: offset for record, offset in snapshot.pieces} != self._offsets:
            raise InvariantBroken(Invariant.NOTHING_FORGOTTEN, f"site {self.site}: pieces or offsets differ")
        if {grant.key_id for grant in snapshot.grants} != set(self._grants):
            raise InvariantBroken(Invariant.NOTHING_FORGOTTEN, f"site {self.site}: grants differ")
