"""StoreReport: what one KME holds, in numbers. It has no field that could hold a secret."""

from __future__ import annotations

import msgspec

from qanat.core.ids import LinkId, SiteId


class PairReport(msgspec.Struct, kw_only=True, frozen=True):
    """One KM pair seen from this site. Keys of the default size.

    Attributes:
        peer: The other site; this site itself for keys between SAEs that are both here.
        stored_keys: May be given to masters at this site now.
        stored_keys_direct, stored_keys_relayed: The same, by kind.
        incoming_keys: Held for masters at the peer.
        granted_keys: Given to masters at the peer, not yet fetched here (any size).
        route: Links towards the peer; empty when there is none.
        relays_in_flight: Sent, not confirmed.
        messages_waiting: For this peer, not acknowledged.
    """

    peer: SiteId
    stored_keys: int
    stored_keys_direct: int
    stored_keys_relayed: int
    incoming_keys: int
    granted_keys: int
    route: tuple[LinkId, ...]
    relays_in_flight: int
    messages_waiting: int


class AccountReport(msgspec.Struct, kw_only=True, frozen=True):
    """Ledger of one account in bits: made = held + delivered + spent + expired + compromised + destroyed.

    ``account`` is the link's id, ``relay/<site>`` or ``local``; ``held_bits`` is counted in the store,
    not computed from the others.
    """

    account: str
    held_bits: int
    made_bits: int
    delivered_bits: int
    spent_bits: int
    expired_bits: int
    compromised_bits: int
    destroyed_bits: int

    @property
    def is_balanced(self) -> bool:
        gone = self.delivered_bits + self.spent_bits + self.expired_bits + self.compromised_bits + self.destroyed_bits
        return self.made_bits == self.held_bits + gone


class LinkStoreReport(msgspec.Struct, kw_only=True, frozen=True):
    """One link of this site: bits held, and what the controller said about it."""

    link: LinkId
    peer: SiteId
    held_bits: int
    held_bits_own: int
    is_paused: bool
    is_condemned: bool


class StoreReport(msgspec.Struct, kw_only=True, frozen=True):
    """What one KME holds.

    Attributes:
        burned_total: Keys made durable as delivered whose answer never left (see ``Kme.burned``).
        revision: Of the last command applied.
    """

    site: SiteId
    at_ns: int
    pairs: tuple[PairReport, ...]
    links: tuple[LinkStoreReport, ...]
    accounts: tuple[AccountReport, ...]
    burned_total: int
    revision: int

    @property
    def link_bits(self) -> dict[LinkId, int]:
        """Bits of each link of this site that are held, as the controller reads them."""
        return {link.link: link.held_bits for link in self.links}
