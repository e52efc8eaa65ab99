"""What a key store promises: everything written in one transaction is durable when it ends, or none of it.

The engine mirrors the store in memory. After a failed commit the host throws the engine away and builds a
new one from ``load()``: crash-only, so there is one way to start.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from qanat.core.ids import BlockId, KeyId, LinkId, SaeId, SiteId
from qanat.core.provenance import Provenance
from qanat.core.secret import SecretBits


class PieceState(StrEnum):
    WAITING = "waiting"  # the other end has not yet said that it holds the same piece
    READY = "ready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A key block of a QKD link that a piece rests on. Times are link time."""

    link: LinkId
    block: BlockId
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceRecord:
    """A stretch of key shared by two sites, at most 8 KiB, of which one site is the owner.

    Attributes:
        piece: Its name, equal at both sites.
        parent: The key block or relay that it is a piece of.
        account: Ledger account: the link's id, ``relay/<site>`` or ``local``.
        peer: The other site of the KM pair.
        owner: The one site that gives out its bytes, first to last, so two masters never get the same key.
        size_bytes: Bytes that may be given out; the stored bits may have more behind them.
        made_ns: When this site stored it.
        expires_ns: Wall clock; the same at both sites once both said it. None: ``Books`` fills it in.
    """

    piece: BlockId
    parent: BlockId
    account: str
    peer: SiteId
    owner: SiteId
    size_bytes: int
    state: PieceState
    sources: tuple[Source, ...]
    provenance: Provenance
    made_ns: int
    expires_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantRecord:
    """A key that its master holds and of which some slave, at this site, has not fetched it yet.

    Attributes:
        also: Further slaves at this site, none twice.
        fetched: Those of all slaves that have the key.
    """

    key_id: KeyId
    piece: BlockId
    offset: int
    size_bytes: int
    master: SaeId
    slave: SaeId
    granted_ns: int
    also: tuple[SaeId, ...] = ()
    fetched: tuple[SaeId, ...] = ()

    @property
    def slaves(self) -> tuple[SaeId, ...]:
        """All SAEs here that the key was made for."""
        return (self.slave, *self.also)

    @property
    def waiting(self) -> tuple[SaeId, ...]:
        """Those that may still fetch it."""
        return tuple(sae for sae in self.slaves if sae not in self.fetched)


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """All that is stored, except the secret bits.

    Attributes:
        pieces: With the offset of the first byte not yet given out.
        seen: Names of blocks and relays that were taken or refused, oldest first.
        outbox: Messages per peer that it has not acknowledged, by number.
        inbox: Per peer: its stream's name and the number of the last message processed.
        facts: Small values by (kind, name): routes, link states, ledger, revision, ...
    """

    pieces: list[tuple[PieceRecord, int]] = field(default_factory=list)
    grants: list[GrantRecord] = field(default_factory=list)
    seen: list[BlockId] = field(default_factory=list)
    outbox: dict[SiteId, dict[int, bytes]] = field(default_factory=dict)
    inbox: dict[SiteId, tuple[bytes, int]] = field(default_factory=dict)
    facts: dict[tuple[str, str], bytes] = field(default_factory=dict)


class Store(Protocol):
    """One KME's durable state. Writes outside a transaction raise ``LocalProtocolError``.

    A failing disk raises ``EnvironmentProblem`` from whichever call met it.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """All writes inside are durable when it exits normally; on an exception none happened."""

    def load(self) -> Snapshot: ...

    def put_piece(self, record: PieceRecord, bits: SecretBits) -> None:
        """Store a new piece, encrypted at rest, with offset 0."""

    def update_piece(self, record: PieceRecord) -> None: ...

    def set_offset(self, piece: BlockId, offset: int) -> None: ...

    def read_bits(self, piece: BlockId) -> SecretBits:
        """The bits of a piece; the caller owns the copy.

        Raises:
            KeyError: no such piece.
        """

    def delete_piece(self, piece: BlockId) -> None:
        """Erase a piece: its data key is destroyed with it."""

    def put_grant(self, grant: GrantRecord) -> None: ...

    def delete_grant(self, key_id: KeyId) -> None: ...

    def put_seen(self, parent: BlockId) -> None: ...

    def delete_seen(self, parent: BlockId) -> None: ...

    def put_message(self, peer: SiteId, number: int, message: bytes) -> None: ...

    def delete_messages(self, peer: SiteId, up_to: int) -> None:
        """Forget messages with a number of at most ``up_to``."""

    def put_inbox(self, peer: SiteId, stream: bytes, number: int) -> None: ...

    def put_fact(self, kind: str, name: str, value: bytes | None) -> None:
        """None deletes it."""

    def close(self) -> None: ...
