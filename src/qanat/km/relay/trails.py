"""What a route is, what a relayed key rests on, and what a confirmation says: the same at every site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import BlockId, LinkId, SiteId
from qanat.core.provenance import Provenance, in_shares, joined
from qanat.core.secret import SecretBits
from qanat.core.topology import Network
from qanat.core.trust import RelayRule
from qanat.crypto.one_time_pad import seal_hop
from qanat.km.messages import HopHeader, RelayDone, SharesDone, Trail, encoded
from qanat.km.store import Source

Way = tuple[LinkId, ...]

TAG_KEY_BYTES, MASK_BYTES = 32, 16
CONFIRM_BYTES = TAG_KEY_BYTES + MASK_BYTES  # behind the keys of every block
NOTHING = SecretBits(b"")


def sites_along(network: Network, origin: SiteId, way: Way) -> list[SiteId]:
    """The sites of a path, its ends included.

    Raises:
        RemoteProtocolError: it is no path of our network file, or visits a site twice.
    """
    sites = [origin]
    for name in way:
        link = network.links.get(name)
        if link is None or sites[-1] not in link.sites:
            raise RemoteProtocolError(f"link {name[:64]} does not go on from {sites[-1][:64]}")
        sites.append(link.other_end(sites[-1]))
    if len(set(sites)) != len(sites):
        raise RemoteProtocolError("a relay that visits a site twice")
    return sites


def check_way(network: Network, sites: Sequence[SiteId], rule: RelayRule) -> None:
    """The policy allows a relay along these sites.

    Raises:
        RemoteProtocolError: it is too long, or crosses a site that may not relay for this pair.
    """
    nodes_max = network.policy.max_trusted_nodes
    if len(sites) - 2 > nodes_max:
        raise RemoteProtocolError(f"a relay over {len(sites) - 1} links; policy allows {nodes_max + 1}")
    for site in sites[1:-1]:
        if not network.may_relay(site, rule):
            label = network.sites[site].label
            raise RemoteProtocolError(f"site {site} ({label}) may not relay keys for {sites[0]} and {sites[-1]}")


def check_ways(network: Network, origin: SiteId, target: SiteId, ways: tuple[Way, ...], rule: RelayRule) -> None:
    """The paths of shares lead to the target and share no node.

    Raises:
        RemoteProtocolError: they do not, or are too few for the threshold or too many for the rule.
    """
    if not rule.threshold <= len(ways) <= rule.paths:
        raise RemoteProtocolError(
            f"{len(ways)} paths; keys for {origin} and {target} go in {rule.threshold} of {rule.paths} shares"
        )
    between: list[set[SiteId]] = []
    for way in ways:
        sites = sites_along(network, origin, way)
        if sites[-1] != target or len(sites) < 3:
            raise RemoteProtocolError(f"a path of shares that does not lead over other sites to {target}")
        check_way(network, sites, rule)
        between.append(set(sites[1:-1]))
    if any(a & b for a, b in combinations(between, 2)):
        raise RemoteProtocolError("paths of shares that meet at a node: it would see more than one share")


def sources_of(trails: Iterable[tuple[Trail, ...]]) -> tuple[Source, ...]:
    return tuple(source for trail in trails for hop in trail for source in hop.sources)


def provenance_of_path(network: Network, origin: SiteId, trail: tuple[Trail, ...]) -> Provenance:
    """Of a block that went along one path: every site on it saw it."""
    between = sites_along(network, origin, tuple(hop.link for hop in trail))[1:-1]
    return joined(
        tuple(hop.provenance for hop in trail), tuple(between), tuple(network.sites[site].label for site in between)
    )


def provenance_of_shares(
    network: Network, origin: SiteId, ways: tuple[Way, ...], threshold: int, trails: Iterable[tuple[Trail, ...]]
) -> Provenance:
    """Of a block that went in shares: all paths are named, also those whose share never came."""
    paths = tuple(tuple(sites_along(network, origin, way)[1:-1]) for way in ways)
    return in_shares(
        tuple(hop.provenance for trail in trails for hop in trail),
        tuple(link for way in ways for link in way),
        paths,
        {site: network.sites[site].label for path in paths for site in path},
        threshold,
    )


def share_context(header: HopHeader) -> bytes:
    """What all shares of one block say alike; the check inside the shares covers it."""
    assert header.share is not None
    return encoded((header.relay, header.origin, header.target, header.share.threshold, header.share.ways))


def digest_of(keys: SecretBits, point: bytes, mask: SecretBits) -> bytes:
    """Poly1305 of the keys: at a public point, under a secret mask. Says nothing to those without the mask."""
    key = SecretBits(point + mask.reveal())  # the primitive takes both halves as one key
    digest = seal_hop(NOTHING, NOTHING, key, b"qanat relayed keys" + keys.reveal())
    key.wipe()
    return digest


def signed_words(message: RelayDone | SharesDone) -> bytes:
    """What the tag of a confirmation covers: all of it but the tag."""
    if isinstance(message, RelayDone):
        return b"qanat relay stored" + encoded((message.relay, message.trail, message.point, message.digest))
    return b"qanat shares stored" + encoded((message.relay, message.came, message.altered))


def name_of_relay(origin: SiteId, serial: object) -> BlockId:
    """A block's name tells its origin, so that nobody else can speak of it."""
    return BlockId(f"relay/{origin}/{serial}")
