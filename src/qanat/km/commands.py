"""What the controller's commands do in one KME, and how a quarantine reaches sites that no command reached.

A quarantine goes to every site. Each end of the link passes it on besides: keys relayed over the link may rest
anywhere, and the controller's line to that place may be down. Whoever hears it twice does it once, by its revision.
"""

from __future__ import annotations

from collections.abc import Callable

from qanat.core.alarms import Action, Command
from qanat.core.errors import RemoteProtocolError
from qanat.core.ids import LinkId, SiteId
from qanat.km.books import Piece
from qanat.km.context import Context
from qanat.km.copies import CopyBook
from qanat.km.events import CommandApplied, CommandIgnored, KeysQuarantined
from qanat.km.ledger import Fate
from qanat.km.messages import REASON_QUARANTINED, Condemned, Gone
from qanat.km.relay import Relay


class Commands:
    """The part of a KME that faces the controller."""

    def __init__(self, context: Context, relay: Relay, copies: CopyBook, facts: dict[tuple[str, str], bytes]) -> None:
        self._c = context
        self._relay = relay
        self._copies = copies
        self.revision = int.from_bytes(facts.get(("kme", "revision"), b""))

    def apply(self, command: Command) -> bool:
        """Do what the controller wants, unless a newer command came before. Returns whether it was done."""
        problem = self._problem(command)
        if problem is not None:
            self._c.events.append(CommandIgnored(command=command, reason=problem))
            return False
        self.revision = command.revision
        self._c.store.put_fact("kme", "revision", command.revision.to_bytes(8))
        self._c.events.append(CommandApplied(command=command))
        _ACTIONS[command.action](self, command)
        return True

    def _problem(self, command: Command) -> str | None:
        if command.site != self._c.site:
            return f"it is for site {command.site}"
        if command.revision <= self.revision:
            return f"revision {command.revision} is not newer than {self.revision}"
        if command.action is Action.SET_ROUTE:
            return self._route_problem(command)
        if command.link not in self._c.network.links:
            return f"there is no link {command.link}"
        return None

    def _route_problem(self, command: Command) -> str | None:
        source, target = command.source, command.target
        if source is None or target is None or source == target or self._c.site not in (source, target):
            return "the route neither begins nor ends here"
        place = source
        for name in command.links:
            link = self._c.network.links.get(name)
            if link is None or place not in link.sites:
                return f"link {name} does not go on from {place}"
            place = link.other_end(place)
        return None if not command.links or place == target else f"the route ends at {place}"

    def _set_route(self, command: Command) -> None:
        if command.source == self._c.site and command.target is not None:
            self._relay.set_route(command.target, command.links)
        elif command.source is not None:
            self._relay.set_route(command.source, command.links[::-1])

    def _pause(self, command: Command) -> None:
        self._c.links.pause(_link(command))

    def _resume(self, command: Command) -> None:
        self._c.links.resume(_link(command), command.since_ns, command.revision)

    # --- quarantine

    def _quarantine(self, command: Command) -> None:
        link = _link(command)
        if self._c.site in self._c.network.links[link].sites:
            for site in self._c.network.sites:
                if site != self._c.site:
                    self._c.channel.post(site, Condemned(link, command.since_ns, command.revision))
        self._condemn(link, command.since_ns, command.revision, None)

    def on_condemned(self, peer: SiteId, message: Condemned) -> None:
        """A KME passes a quarantine on; only the two at the ends of the link may.

        Raises:
            RemoteProtocolError: it is at neither end.
        """
        link = self._c.network.links.get(message.link)
        if link is None or peer not in link.sites:
            raise RemoteProtocolError(f"{peer} condemns link {message.link[:64]}, which does not end there")
        self._condemn(message.link, message.since_ns, message.revision, peer)

    def _condemn(self, link: LinkId, since_ns: int, revision: int, told_by: SiteId | None) -> None:
        """Condemn the link's light since then: nothing that rests on it is delivered from now on, here or there."""
        if self._c.links.has_condemned(link, revision):
            return
        self._c.links.condemn(link, since_ns, revision)
        suspects = [
            piece for piece in self._c.books.pieces.values() if self._c.links.condemned_link(piece.record.sources)
        ]
        size_bits = 8 * sum(self._condemned(piece) for piece in suspects)
        self._copies.condemned()
        self._c.events.append(
            KeysQuarantined(
                link=link,
                since_ns=since_ns,
                count=size_bits // self._c.network.policy.key_size_bits,
                size_bits=size_bits,
                piece_count=len(suspects),
                told_by=told_by,
            )
        )

    def _condemned(self, piece: Piece) -> int:
        record = piece.record
        # Said once per block; copies of our own multicast lie here too, and their sites are told by ``copies``.
        if len(self._c.books.of_parent(record.parent)) == 1 and record.peer != self._c.site:
            self._c.channel.post(record.peer, Gone(record.parent, REASON_QUARANTINED))
        size_bytes = self._c.books.drop(piece, Fate.COMPROMISED)
        self._relay.forget(record.parent, REASON_QUARANTINED)
        return size_bytes


_ACTIONS: dict[Action, Callable[[Commands, Command], None]] = {
    Action.SET_ROUTE: Commands._set_route,
    Action.QUARANTINE: Commands._quarantine,
    Action.PAUSE_LINK: Commands._pause,
    Action.RESUME_LINK: Commands._resume,
}


def _link(command: Command) -> LinkId:
    assert command.link is not None  # _problem looked
    return command.link
