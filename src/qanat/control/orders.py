"""Orders: the controller's commands, numbered as they are written."""

from __future__ import annotations

from dataclasses import replace

from qanat.core.alarms import Action, Alarm, Command
from qanat.core.ids import LinkId, SiteId

QUARANTINES_KEPT = 64  # per site and link; older ones are merged, on the side of more quarantine


class Orders:
    """Writes commands with rising revisions and remembers the quarantines among them.

    A quarantine is an order about the past: repeated under a new revision it would also take the good blocks
    made since. So it is repeated under its old revision, which a KME that has passed it ignores, and one that
    was away obeys.
    """

    def __init__(self, first_revision: int) -> None:
        self.next_revision = first_revision
        self._quarantines: dict[tuple[SiteId, LinkId], list[Command]] = {}

    def pause(self, site: SiteId, link: LinkId, *, reason: str, now_ns: int, alarm: Alarm | None) -> Command:
        return Command(
            revision=self._number(),
            site=site,
            action=Action.PAUSE_LINK,
            reason=reason,
            at_ns=now_ns,
            alarm=alarm.number if alarm else None,
            link=link,
        )

    def resume(self, site: SiteId, link: LinkId, *, from_ns: int, reason: str, now_ns: int) -> Command:
        return Command(
            revision=self._number(),
            site=site,
            action=Action.RESUME_LINK,
            reason=reason,
            at_ns=now_ns,
            link=link,
            since_ns=from_ns,
        )

    def quarantine(self, site: SiteId, alarm: Alarm, *, since_ns: int, now_ns: int) -> Command:
        """Everything that rests on the alarm's link since that moment of link time."""
        command = Command(
            revision=self._number(),
            site=site,
            action=Action.QUARANTINE,
            reason=f"alarm {alarm.number} ({alarm.kind}): keys resting on link {alarm.link} since then are suspect",
            at_ns=now_ns,
            alarm=alarm.number,
            link=alarm.link,
            since_ns=since_ns,
        )
        self._remember(command, alarm.link)
        return command

    def route(
        self,
        source: SiteId,
        target: SiteId,
        links: tuple[LinkId, ...],
        others: tuple[tuple[LinkId, ...], ...] = (),
        *,
        reason: str,
        now_ns: int,
        alarm: Alarm | None,
    ) -> Command:
        """To the source: which links its keys for the target take, and their shares, where the pair uses shares."""
        return Command(
            revision=self._number(),
            site=source,
            action=Action.SET_ROUTE,
            reason=reason,
            at_ns=now_ns,
            alarm=alarm.number if alarm else None,
            source=source,
            target=target,
            links=links,
            others=others,
        )

    def quarantines(self, site: SiteId) -> list[Command]:
        """All that the site was told, with the revisions of then, in order."""
        return sorted(
            (command for (at, _), kept in self._quarantines.items() if at == site for command in kept),
            key=lambda command: command.revision,
        )

    def _number(self) -> int:
        self.next_revision += 1
        return self.next_revision - 1

    def _remember(self, command: Command, link: LinkId) -> None:
        kept = self._quarantines.setdefault((command.site, link), [])
        kept.append(command)
        if len(kept) > QUARANTINES_KEPT:
            oldest = kept.pop(0)
            if oldest.since_ns < kept[0].since_ns:
                kept[0] = replace(kept[0], since_ns=oldest.since_ns)
