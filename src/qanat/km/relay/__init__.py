"""Key relay: keys for two sites without a link of their own, ahead of demand. Read ``origin.py`` first.

The origin draws a block from its entropy and sends it hop by hop, on each hop under a one-time pad and a
one-time tag taken from that link's key. The target stores it and confirms with a key that came inside the
payload; only then does the origin give keys of it out.

    origin  --Hop-->  node  --Hop-->  target        (each over its neighbour's channel)
    origin  <------------RelayDone / RelayFailed--  (straight back, over any network)

Along one path every node between sees the keys in clear for the length of one transaction and never stores them. Where
the network file asks for shares, the block is split and each share takes a path of its own that shares no node with
the others: nodes on fewer paths than the threshold learn nothing, and the target notices, and mostly names, who
changed a share. Who can know what: docs/explanation/relay-trust.md.

    origin.py    what to send when
    answers.py   what to believe of what comes back
    flights.py   relays on their way, and the pace towards each target
    hops.py      one hop: checked, opened, sent on
    target.py    a block arrives whole
    shares.py    a block arrives in shares
    trails.py    what a route is, what a relayed key rests on, what a confirmation says
"""

from __future__ import annotations

from qanat.core.ids import BlockId, SiteId
from qanat.km.context import Context
from qanat.km.messages import Hop, RelayDone, RelayFailed, SharesDone
from qanat.km.relay.answers import Answers
from qanat.km.relay.flights import Flights, Pace
from qanat.km.relay.hops import Hops
from qanat.km.relay.origin import Origin
from qanat.km.relay.shares import Shares
from qanat.km.relay.target import Target
from qanat.km.relay.trails import Way


class Relay:
    """The relay part of one KME: origin, node between and target."""

    def __init__(self, context: Context, facts: dict[tuple[str, str], bytes]) -> None:
        flights, paces = Flights(context.store, facts), dict[SiteId, Pace]()
        self._origin = Origin(context, facts, flights, paces)
        self._answers = Answers(context, flights, paces)
        self._shares = Shares(context, facts)
        self._hops = Hops(context, Target(context), self._shares)

    @property
    def targets(self) -> list[SiteId]:
        """Sites that demands pair this one with."""
        return self._origin.targets

    @property
    def routes(self) -> dict[SiteId, Way]:
        """Links towards each target, the first path where there are several; empty: no route now."""
        return {target: ways[0] for target, ways in self._origin.ways.items()}

    @property
    def ways(self) -> dict[SiteId, tuple[Way, ...]]:
        """All paths towards each target."""
        return dict(self._origin.ways)

    def problem(self, target: SiteId, ways: tuple[Way, ...]) -> str | None:
        """Why keys for this site may not go these ways, by our own network file; None when they may."""
        return self._origin.problem(target, ways)

    def set_route(self, target: SiteId, ways: tuple[Way, ...]) -> None:
        self._origin.set_ways(target, ways)

    def flights_to(self, target: SiteId) -> int:
        return self._origin.flights_to(target)

    def stored_count(self, target: SiteId) -> int:
        """Keys of the default size that this site may give out for the pair now."""
        return self._origin.stored_count(target)

    def plan(self, now_ns: int) -> int | None:
        """Start the relays that are due; returns when to look again without anything new having come, or None."""
        return self._origin.plan(now_ns)

    def sweep(self, now_ns: int) -> int | None:
        """Give up what nobody confirmed, put together what waited long enough; returns when the next is due."""
        due = (self._answers.sweep(now_ns), self._shares.sweep(now_ns))
        return min((time for time in due if time is not None), default=None)

    def forget(self, relay: BlockId, reason: str) -> None:
        """The piece of this relay is gone."""
        self._answers.forget(relay, reason)

    def on_hop(self, peer: SiteId, message: Hop, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        self._hops.receive(peer, message, now_ns)

    def on_done(self, peer: SiteId, message: RelayDone | SharesDone, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        self._answers.on_done(peer, message, now_ns)

    def on_failed(self, peer: SiteId, message: RelayFailed, now_ns: int) -> None:
        """Raises: RemoteProtocolError."""
        self._answers.on_failed(peer, message, now_ns)
