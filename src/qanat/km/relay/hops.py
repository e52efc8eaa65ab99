"""One hop: a frame from a neighbour is checked, opened and sent on, or handed to the target's part."""

from __future__ import annotations

import msgspec

from qanat.core.errors import AuthenticationFailed, RemoteProtocolError
from qanat.core.ids import LinkId, SiteId
from qanat.core.malformed import MALFORMED
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import MAC_TAG_BYTES, open_hop
from qanat.crypto.shared_block import CHECK_BYTES
from qanat.km import pads as pads_
from qanat.km.context import Context
from qanat.km.events import PeerMisbehaved, RelayForwarded
from qanat.km.messages import Hop, HopHeader, RelayFailed, header_from_bytes
from qanat.km.relay.flights import KEYS_MAX
from qanat.km.relay.sending import emit
from qanat.km.relay.shares import Shares
from qanat.km.relay.target import Target
from qanat.km.relay.trails import CONFIRM_BYTES, check_way, check_ways, name_of_relay, sites_along, sources_of

NAME_BYTES_MAX = 128


class Hops:
    """What a KME does with a relayed block that a neighbour hands over."""

    def __init__(self, context: Context, target: Target, shares: Shares) -> None:
        self._c = context
        self._target = target
        self._shares = shares

    def receive(self, peer: SiteId, message: Hop, now_ns: int) -> None:
        try:
            header = header_from_bytes(message.header)
        except MALFORMED as error:
            raise RemoteProtocolError(f"header of a relayed key: {error}") from None
        index = self._checked_index(peer, header, len(message.sealed))
        pads = pads_.Pads(tag_key=header.tag_key, pads=header.pads, trail=header.trail[-1])
        try:
            pads_.checked(self._c.books, pads, header.route[index], peer, header.size_bytes)
            payload = self._opened(pads, message)
        except (pads_.PadsGone, AuthenticationFailed) as error:
            self._fail(header, "a hop could not be opened")
            self._c.events.append(PeerMisbehaved(peer=peer, reason=error.detail))
            return
        pads_.spend(self._c.books, pads)
        condemned = self._c.links.condemned_link(sources_of((header.trail,)))
        if condemned is not None:
            self._fail(header, f"link {condemned} is condemned by an alarm")
        elif header.target != self._c.site:
            self._forward(header, payload, header.route[index + 1])
        elif header.share is None:
            self._target.arrive(header, payload, now_ns)
        else:
            self._shares.arrive(peer, header, payload, now_ns)
        payload.wipe()

    def _opened(self, pads: pads_.Pads, message: Hop) -> SecretBits:
        secrets = pads_.read(self._c.books, pads)
        try:
            return open_hop(message.sealed, secrets.pad, secrets.tag_key, message.header)
        finally:
            secrets.wipe()

    def _checked_index(self, peer: SiteId, header: HopHeader, sealed_bytes: int) -> int:
        """Which hop of the route just ended here; every field is consistent with our network file."""
        self._check_name(header)
        if not 1 <= len(header.trail) <= len(header.route) <= self._c.network.policy.max_trusted_nodes + 1:
            raise RemoteProtocolError(f"a relay over {len(header.route)} links, of which {len(header.trail)} are done")
        sites = sites_along(self._c.network, header.origin, header.route)
        index = len(header.trail) - 1
        if sites[-1] != header.target or sites[index : index + 2] != [peer, self._c.site]:
            raise RemoteProtocolError(f"the route of {header.relay} does not come from {peer} to us")
        self._check_trail(header)
        self._check_rule(header, sites)
        extra_bytes = CONFIRM_BYTES + (CHECK_BYTES if header.share is not None else 0)
        keys_bytes = header.size_bytes - extra_bytes
        if not 0 < keys_bytes <= KEYS_MAX * self._c.key_bytes or sealed_bytes != header.size_bytes + MAC_TAG_BYTES:
            raise RemoteProtocolError(f"{header.relay} has an impossible size")
        return index

    @staticmethod
    def _check_name(header: HopHeader) -> None:
        """Its origin is in it: nobody can speak of, or take the place of, what another site sends."""
        if not header.relay.startswith(name_of_relay(header.origin, "")) or len(header.relay) > NAME_BYTES_MAX:
            raise RemoteProtocolError("a relay with a name that its origin would not give")

    def _check_trail(self, header: HopHeader) -> None:
        if tuple(hop.link for hop in header.trail) != header.route[: len(header.trail)]:
            raise RemoteProtocolError(f"the trail of {header.relay} is not its route")
        if any(hop.provenance.links != (hop.link,) for hop in header.trail):
            raise RemoteProtocolError(f"the trail of {header.relay} names other links than its hops")
        if not self._c.network.is_simulation and any(hop.provenance.simulated for hop in header.trail):
            raise RemoteProtocolError(f"{header.relay} rests on simulated key, but this is no simulation")

    def _check_rule(self, header: HopHeader, sites: list[SiteId]) -> None:
        """It travels as our network file wants keys of this pair to travel: also a controller cannot change that."""
        rule, share = self._c.network.relay_rule(header.origin, header.target), header.share
        check_way(self._c.network, sites, rule)
        if (share.threshold if share else 1) != rule.threshold:
            raise RemoteProtocolError(
                f"keys for {header.origin} and {header.target} go in {rule.threshold} shares or more"
            )
        if share is None:
            return
        check_ways(self._c.network, header.origin, header.target, share.ways, rule)
        if not 1 <= share.point <= len(share.ways) or share.ways[share.point - 1] != header.route:
            raise RemoteProtocolError(f"a share of {header.relay} that is not on its path")

    def _forward(self, header: HopHeader, payload: SecretBits, link: LinkId) -> None:
        node = self._c.network.links[link].other_end(self._c.site)
        pads = pads_.planned(link, self._c.books.ready(node, link), header.size_bytes)
        if pads is None:
            self._fail(header, f"too little key on link {link}")
            return
        onward = msgspec.structs.replace(
            header, trail=(*header.trail, pads.trail), pads=pads.pads, tag_key=pads.tag_key
        )
        emit(self._c, node, onward, pads, payload)
        self._c.events.append(
            RelayForwarded(
                relay=header.relay, origin=header.origin, target=header.target, size_bits=8 * payload.size_bytes
            )
        )

    def _fail(self, header: HopHeader, reason: str) -> None:
        self._c.channel.post(header.origin, RelayFailed(header.relay, reason))
