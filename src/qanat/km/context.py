"""What the parts of one KME share. Each part changes memory and store together, after it checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from qanat.core.ids import BlockId, LinkId, SaeId, SiteId
from qanat.core.ports import Entropy
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.km.books import Books
from qanat.km.channel import Channel
from qanat.km.events import KmeEvent
from qanat.km.links import Links
from qanat.km.quotas import Quotas
from qanat.km.store import Store

LOCAL = "local"


@dataclass(slots=True, kw_only=True)
class Context:
    """One KME's parts."""

    site: SiteId
    network: Network
    store: Store
    entropy: Entropy
    books: Books
    links: Links
    channel: Channel
    quotas: Quotas
    events: list[KmeEvent] = field(default_factory=list)
    _pairs: frozenset[frozenset[SaeId]] = field(init=False)  # that some demand names: every request asks for one
    _accounts: dict[SiteId, list[str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._pairs = frozenset(frozenset(demand.saes) for demand in self.network.demands)

    def may_pair(self, a: SaeId, b: SaeId) -> bool:
        """As the network's, without a walk over all demands."""
        return a == b or frozenset((a, b)) in self._pairs

    @property
    def ttl_ns(self) -> int:
        """From the making of a key to its destruction at both ends."""
        return round(self.network.policy.key_ttl_s * NS_PER_S)

    @property
    def key_bytes(self) -> int:
        """Of a key of the default size."""
        return self.network.policy.key_size_bits // 8

    def accounts_to(self, peer: SiteId) -> list[str]:
        """Where keys for this KM pair may come from, best first."""
        found = self._accounts.get(peer)
        if found is None:
            direct: list[str] = [link.id for link in self.network.links_between(self.site, peer)]
            found = self._accounts[peer] = [LOCAL] if peer == self.site else [*direct, relay_account(peer)]
        return found

    def stock_bytes(self, peer: SiteId) -> int:
        """What this site may give out for a KM pair now."""
        return sum(
            piece.remaining_bytes for account in self.accounts_to(peer) for piece in self.books.ready(peer, account)
        )

    def is_pair(self, sae_here: SaeId, sae_there: SaeId, there: SiteId) -> bool:
        """Both exist, at this site and at that one, and policy lets them share keys."""
        saes = self.network.saes
        return (
            sae_here in saes
            and sae_there in saes
            and saes[sae_here].site == self.site
            and saes[sae_there].site == there
            and self.may_pair(sae_here, sae_there)
        )

    def is_relay_with(self, parent: BlockId, peer: SiteId) -> bool:
        """A relayed block's name says who made it: its origin is this site or that one."""
        kind, _, rest = parent.partition("/")
        return kind == "relay" and rest.partition("/")[0] in (self.site, peer)

    def link_of(self, parent: BlockId, peer: SiteId) -> LinkId | None:
        """The link that made this block, if it joins this site and that peer."""
        link = self.network.links.get(LinkId(parent.rsplit("/", 2)[0]))
        return link.id if link is not None and set(link.sites) == {self.site, peer} else None


def share_account(peer: SiteId) -> str:
    return f"share/{peer}"


def relay_account(peer: SiteId) -> str:
    return f"relay/{peer}"
