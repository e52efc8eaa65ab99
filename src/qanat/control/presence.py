"""Who was heard of lately: what routes had better go around, long before silence is an alarm.

QKD modules and KMEs hold a line to whoever runs the controller. A process that ends closes its line, one that hangs
says nothing on it; a KME reports twice a second, a link many times. Nothing is condemned or paused for it: a process
that is away is no evidence against the light. See docs/decisions/0087.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from qanat.core.ids import LinkId, SiteId
from qanat.core.timebase import NS_PER_MS, NS_PER_S

Name = TypeVar("Name", LinkId, SiteId)

LINE_QUIET_NS = 1250 * NS_PER_MS  # more than two reports of a KME; with the host's ticks a new route within 2 s
GAPS_QUIET = 4  # times a link's usual time between reports: stretched links report less often
GAP_WEIGHT = 0.1  # of the newest gap in the usual one
RETURN_NS = 5 * NS_PER_S  # heard again for so long before routes come back: a process that falls again and again
LOOK_LATE_NS = 750 * NS_PER_MS  # who looks this late was away himself, and judges nobody by it
FIRST_NS = 20 * NS_PER_S  # for KMEs to come up


@dataclass(frozen=True, slots=True)
class Absent:
    """What routes go around while there is another way."""

    links: frozenset[LinkId] = frozenset()
    sites: frozenset[SiteId] = frozenset()

    def sentence(self) -> str:
        """For people: `not heard of: link a-b, KME of c`."""
        names = [*(f"link {link}" for link in sorted(self.links)), *(f"KME of {site}" for site in sorted(self.sites))]
        return f"not heard of: {', '.join(names)}" if names else "all links and KMEs are heard of again"


@dataclass(slots=True)
class _Line:
    """``report_ns``: when a report of any link came on it."""

    heard_ns: int
    report_ns: int
    is_open: bool = True


@dataclass(slots=True)
class _Heard:
    """A link's reports."""

    line: Hashable
    heard_ns: int
    usual_gap_ns: float = 0.0

    @property
    def limit_ns(self) -> float:
        return max(LINE_QUIET_NS, GAPS_QUIET * self.usual_gap_ns)


class Presence:
    """Lines, links and KMEs, by a clock that never jumps.

    Args:
        sites: Whose KMEs should come up soon after the first look. Links may take their time: the controller knows
            which of them made key.
    """

    def __init__(self, sites: Iterable[SiteId] = ()) -> None:
        self._expected = frozenset(sites)
        self._lines: dict[Hashable, _Line] = {}
        self._links: dict[LinkId, _Heard] = {}
        self._sites: dict[SiteId, Hashable] = {}
        self._links_back_ns: dict[LinkId, int] = {}
        self._sites_back_ns: dict[SiteId, int] = {}
        self._begun_ns: int | None = None
        self._looked_ns = 0

    def heard(self, line: Hashable, now_ns: int) -> None:
        """Something came on the line."""
        self._lines.setdefault(line, _Line(now_ns, now_ns)).heard_ns = now_ns

    def link_heard(self, line: Hashable, link: LinkId, now_ns: int) -> None:
        """A link's report came on it."""
        self.heard(line, now_ns)
        self._lines[line].report_ns = now_ns
        known = self._links.get(link)
        if known is None or known.line != line:
            self._links[link] = _Heard(line, now_ns)
            return
        known.usual_gap_ns += GAP_WEIGHT * (now_ns - known.heard_ns - known.usual_gap_ns)
        known.heard_ns = now_ns

    def serves(self, line: Hashable, site: SiteId, now_ns: int) -> None:
        """The site's KME is at the other end of this line."""
        self.heard(line, now_ns)
        self._sites[site] = line

    def serves_no_more(self, line: Hashable, site: SiteId) -> None:
        """It is not, unless another line has it already."""
        if self._sites.get(site) == line:
            self._sites[site] = None

    def closed(self, line: Hashable) -> None:
        """Whoever spoke on the line is away until another line brings them back."""
        if line in self._lines:
            self._lines[line].is_open = False

    def look(self, now_ns: int) -> Absent:
        """Who is missing now, or came back a moment ago. Call it several times a second."""
        if self._begun_ns is None:
            self._begun_ns = self._looked_ns = now_ns
        if now_ns - self._looked_ns > LOOK_LATE_NS:
            self._excuse(now_ns)
        self._looked_ns = now_ns
        self._forget_lines()
        self._links_back_ns = _still_away(self._links_back_ns, self._missing_links(now_ns), now_ns)
        self._sites_back_ns = _still_away(self._sites_back_ns, self._missing_sites(now_ns), now_ns)
        return Absent(links=frozenset(self._links_back_ns), sites=frozenset(self._sites_back_ns))

    def _excuse(self, now_ns: int) -> None:
        """What was said while we were away may still wait to be read."""
        for line in self._lines.values():
            line.heard_ns = line.report_ns = now_ns
        for known in self._links.values():
            known.heard_ns = now_ns

    def _forget_lines(self) -> None:
        used = {*self._sites.values(), *(known.line for known in self._links.values())}
        self._lines = {line: known for line, known in self._lines.items() if known.is_open or line in used}

    def _missing_sites(self, now_ns: int) -> Iterator[SiteId]:
        for site, name in self._sites.items():
            line = self._lines.get(name)
            if line is None or not line.is_open or now_ns - line.heard_ns > LINE_QUIET_NS:
                yield site
        if self._begun_ns is not None and now_ns - self._begun_ns > FIRST_NS:
            yield from self._expected - self._sites.keys()

    def _missing_links(self, now_ns: int) -> Iterator[LinkId]:
        """A link is late against others on its line: a busy process is late with all, and then none of them died."""
        limits_ns: dict[Hashable, float] = {}
        for known in self._links.values():
            limits_ns[known.line] = max(known.limit_ns, limits_ns.get(known.line, 0))
        for link, known in self._links.items():
            line = self._lines[known.line]
            is_line_quiet = not line.is_open or now_ns - line.report_ns > limits_ns[known.line]
            if is_line_quiet or line.report_ns - known.heard_ns > known.limit_ns:
                yield link


def _still_away(back_ns: dict[Name, int], missing: Iterable[Name], now_ns: int) -> dict[Name, int]:
    """Until when each name counts as away: those missing now, and those who have not been back for long."""
    kept = {name: until_ns for name, until_ns in back_ns.items() if now_ns < until_ns}
    return kept | dict.fromkeys(missing, now_ns + RETURN_NS)
