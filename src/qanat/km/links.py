"""What the controller said about QKD links: paused, and which stretches of link time are condemned."""

from __future__ import annotations

import msgspec

from qanat.core.ids import LinkId
from qanat.km.store import Snapshot, Source, Store

STRETCHES_MAX = 64  # the oldest two are joined beyond that: more is condemned, never less


class LinkState(msgspec.Struct):
    """Times are link time.

    Attributes:
        resume_from_ns: Blocks that begin before it are refused.
        condemned: Stretches (since, until); until None: not over yet.
        condemned_by: Revisions of the quarantines that are in it, the newest ones.
        resumed_by: Revision of the last resumption.
    """

    is_paused: bool = False
    resume_from_ns: int | None = None
    condemned: list[tuple[int, int | None]] = []
    condemned_by: list[int] = []
    resumed_by: int = 0

    def condemns(self, start_ns: int, end_ns: int) -> bool:
        """Some light of this block lies in a condemned stretch."""
        return any(end_ns >= since and (until is None or start_ns < until) for since, until in self.condemned)

    def refusal(self, start_ns: int, end_ns: int) -> str | None:
        """Why a new block is not taken; None when it is."""
        if self.condemns(start_ns, end_ns):
            return "condemned by an alarm"
        if self.is_paused:
            return "the link is paused"
        if self.resume_from_ns is not None and start_ns < self.resume_from_ns:
            return "it began before the link was re-qualified"
        return None


class Links:
    """The state of every link that a command has named, stored with every change."""

    def __init__(self, store: Store, snapshot: Snapshot) -> None:
        self._store = store
        self._states: dict[LinkId, LinkState] = {
            LinkId(name): msgspec.msgpack.decode(value, type=LinkState)
            for (kind, name), value in snapshot.facts.items()
            if kind == "link"
        }

    def state(self, link: LinkId) -> LinkState:
        return self._states.get(link) or LinkState()

    def condemned_link(self, sources: tuple[Source, ...]) -> LinkId | None:
        """The first link whose alarm condemns one of these blocks."""
        for source in sources:
            if self.state(source.link).condemns(source.start_ns, source.end_ns):
                return source.link
        return None

    def pause(self, link: LinkId) -> None:
        state = self._own(link)
        state.is_paused = True
        self._save(link, state)

    def resume(self, link: LinkId, from_ns: int, revision: int) -> None:
        state = self._own(link)
        state.is_paused = False
        state.resume_from_ns = from_ns
        state.resumed_by = revision
        state.condemned = [(since, max(since, from_ns) if until is None else until) for since, until in state.condemned]
        self._save(link, state)

    def has_condemned(self, link: LinkId, revision: int) -> bool:
        """This very quarantine is known here."""
        return revision in self.state(link).condemned_by

    def condemn(self, link: LinkId, since_ns: int, revision: int) -> None:
        """A quarantine that comes after the resumption which followed it condemns only up to there."""
        state = self._own(link)
        is_over = revision < state.resumed_by and state.resume_from_ns is not None
        until_ns = max(since_ns, state.resume_from_ns or 0) if is_over else None
        state.condemned_by = [*state.condemned_by, revision][-STRETCHES_MAX:]
        state.condemned = [*state.condemned, (since_ns, until_ns)]
        if len(state.condemned) > STRETCHES_MAX:
            (first, _), (second, until), *rest = state.condemned
            state.condemned = [(min(first, second), until), *rest]
        self._save(link, state)

    def _own(self, link: LinkId) -> LinkState:
        return self._states.setdefault(link, LinkState())

    def _save(self, link: LinkId, state: LinkState) -> None:
        self._store.put_fact("link", link, msgspec.msgpack.encode(state))
