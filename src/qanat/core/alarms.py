"""Alarms (a claim with evidence) and commands (what the controller wants done)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qanat.core.ids import LinkId, SiteId


class AlarmKind(StrEnum):
    QBER = "qber"  # error rate changed
    DETECTION_RATE = "detection_rate"  # light arrives at another rate
    SILENCE = "silence"  # reports stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A claim with evidence.

    Attributes:
        number: Counts alarms of one watcher from 1.
        raised: True when the alarm starts, False when the same monitor has evidence that it is over.
        since_ns: Link time at which the change is estimated to have begun.
        last_good_number: Last pulse block believed to be before the change.
        at_ns: Wall (or world) clock when it was raised.
        statistic, threshold: The test's value and the limit it crossed.
        evidence: Sentence with the numbers: baseline, observed, effect.
        severity: "warning" or "critical".
    """

    number: int
    kind: AlarmKind
    link: LinkId
    raised: bool
    severity: str
    since_ns: int
    last_good_number: int
    at_ns: int
    statistic: float
    threshold: float
    evidence: str


class Action(StrEnum):
    SET_ROUTE = "set_route"  # arguments: pair (source, target), links, others; empty links: no route
    QUARANTINE = "quarantine"  # arguments: link, since_ns
    PAUSE_LINK = "pause_link"  # arguments: link; new blocks of it are refused
    RESUME_LINK = "resume_link"  # arguments: link, from_ns: blocks that begin before it stay refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a controller wants done at one site.

    Attributes:
        revision: Rises with every command of one controller; a KME ignores one it has passed.
        reason: Sentence for the journal.
        alarm: Number of the alarm that caused it, if one did.
        source, target: The KM pair of a SET_ROUTE.
        links: The route's links in order from source to target.
        others: Links of further paths that share no node with it nor with each other, for keys in shares.
        since_ns: Link time; see the action.
    """

    revision: int
    site: SiteId
    action: Action
    reason: str
    at_ns: int
    alarm: int | None = None
    link: LinkId | None = None
    source: SiteId | None = None
    target: SiteId | None = None
    links: tuple[LinkId, ...] = ()
    others: tuple[tuple[LinkId, ...], ...] = ()
    since_ns: int = 0
