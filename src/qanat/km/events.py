"""What a KME tells its host. Counts and names only: no event can hold a secret."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.core.alarms import Command
from qanat.core.ids import BlockId, KeyId, LinkId, SaeId, SiteId


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDelivered:
    """Keys left to an application; ``role`` is "master" or "slave". Key IDs are for the audit, which hashes them."""

    role: str
    caller: SaeId
    partner: SaeId
    count: int
    size_bits: int
    key_ids: tuple[KeyId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStored:
    block: BlockId
    link: LinkId
    size_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRefused:
    block: BlockId
    link: LinkId | None
    size_bits: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysQuarantined:
    """Keys of the default size that will never be delivered; ``count`` rounds bits down to such keys.

    ``told_by`` is the KME at an end of the link that passed the quarantine on; None for the controller's command.
    """

    link: LinkId
    since_ns: int
    count: int
    size_bits: int
    piece_count: int
    told_by: SiteId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysExpired:
    """Bits of one ledger account that came to the end of their lifetime undelivered."""

    account: str
    size_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysBurned:
    """Keys made durable as delivered whose answer never left."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayCompleted:
    relay: BlockId
    target: SiteId
    size_bits: int
    links: tuple[LinkId, ...]
    duration_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLost:
    relay: BlockId
    target: SiteId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayForwarded:
    """This site saw a relayed key in clear and passed it on."""

    relay: BlockId
    origin: SiteId
    target: SiteId
    size_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerMisbehaved:
    peer: SiteId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerRefused:
    """Another operator's key management system refuses a request of ours for good."""

    partner: str
    path: str
    status_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRestored:
    """A peer remembers more of this KME than its store does: an old copy. Nothing is delivered from now on."""

    peer: SiteId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysDiscarded:
    """All shared key was destroyed, here (``peer`` is this site) or because a peer lost its store."""

    peer: SiteId
    size_bits: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandApplied:
    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandIgnored:
    command: Command
    reason: str


KmeEvent = (
    KeyDelivered
    | BlockStored
    | BlockRefused
    | KeysQuarantined
    | KeysExpired
    | KeysBurned
    | RelayCompleted
    | RelayLost
    | RelayForwarded
    | PeerMisbehaved
    | PartnerRefused
    | StoreRestored
    | KeysDiscarded
    | CommandApplied
    | CommandIgnored
)
