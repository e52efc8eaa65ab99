"""The controller's nouns: the state of a link, a route, a single point of failure.

    STARTING -- first key --> UP -- critical alarm --> ALARMED -- all alarms over --> REQUALIFYING --+
                              ^      reports stop  --> SILENT  -- reports again  -->                 |
                              +---------- good link time and a key block from it --------------------+

An alarm may come in any state; ALARMED outweighs SILENT.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from qanat.core.alarms import Alarm, AlarmKind
from qanat.core.ids import LinkId, SiteId
from qanat.core.report import BlockReport
from qanat.core.timebase import NS_PER_S

RATE_SMOOTHING = 0.2  # weight of the newest key block
LEVEL_HYSTERESIS = 0.75  # octaves: the rate that routing sees moves only after this much


class LinkState(StrEnum):
    """What the controller believes of a link."""

    STARTING = "starting"  # nothing known against it, no key yet
    UP = "up"  # makes key, nothing known against it
    ALARMED = "alarmed"  # a critical alarm is open
    REQUALIFYING = "requalifying"  # alarms are over, trust is being earned back
    SILENT = "silent"  # reports stopped: nobody watches it


class StoreReportLike(Protocol):
    """What the controller reads of a KME's store report, whoever defines it."""

    @property
    def site(self) -> SiteId: ...

    @property
    def link_bits(self) -> Mapping[LinkId, int]:
        """Secret bits of each link that the site's store still holds for relay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How one site's keys reach another. No links: there is no way at present.

    ``others`` are further paths for shares; ``trusted_nodes`` are those on all paths.
    """

    links: tuple[LinkId, ...]
    trusted_nodes: tuple[SiteId, ...]
    revision: int
    others: tuple[tuple[LinkId, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SinglePoint:
    """A link or a site whose loss leaves pairs without any route."""

    name: str
    is_link: bool
    pairs: tuple[tuple[SiteId, SiteId], ...]

    def sentence(self) -> str:
        """For people: `cutting link a-b leaves a - b without route`."""
        verb = "cutting link" if self.is_link else "losing site"
        return f"{verb} {self.name} leaves {', '.join(f'{a} - {b}' for a, b in self.pairs)} without route"


@dataclass(slots=True, kw_only=True)
class LinkView:
    """What the controller remembers of one link.

    Attributes:
        rate_bits_per_s: Smoothed secret key rate in link time; before the first block a rough guess.
        level: Octave of that rate which routing uses; it moves only with hysteresis.
        open_alarms: Critical alarms that have not ended, by monitor.
        warnings: The others.
        quarantined_since_ns: Earliest since_ns commanded since the link was last up; None when none was.
        recovered_ns: Link time from which blocks may be good again.
        good_ns: Link time with reports since then.
        has_good_block: A key block that began since then was made.
        requalify_factor: Doubles with each relapse, so that a flapping link waits longer and longer.
        resumed_ns: Link time at which it was last resumed.
    """

    state: LinkState = LinkState.STARTING
    rate_bits_per_s: float
    level: int
    has_rate: bool = False
    is_paused: bool = False
    open_alarms: dict[AlarmKind, Alarm] = field(default_factory=dict)
    warnings: dict[AlarmKind, Alarm] = field(default_factory=dict)
    quarantined_since_ns: int | None = None
    recovered_ns: int = 0
    good_ns: int = 0
    has_good_block: bool = False
    requalify_factor: int = 1
    resumed_ns: int | None = None

    def learn_rate(self, report: BlockReport) -> bool:
        """Take a key block's yield; says whether the level that routing sees has moved."""
        seconds = max(1, report.end_ns - report.start_ns) / NS_PER_S
        rate = (0 if report.aborted else report.secret_bits) / seconds
        weight = RATE_SMOOTHING if self.has_rate else 1.0
        self.rate_bits_per_s += weight * (rate - self.rate_bits_per_s)
        self.has_rate = True
        octaves = math.log2(max(1.0, self.rate_bits_per_s))
        if abs(octaves - self.level) < LEVEL_HYSTERESIS:
            return False
        self.level = round(octaves)
        return True
