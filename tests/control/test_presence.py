"""Who counts as away, by the times at which lines, links and KMEs were heard of."""

from __future__ import annotations

from qanat.control.presence import FIRST_NS, LINE_QUIET_NS, LOOK_LATE_NS, RETURN_NS, Absent, Presence
from qanat.core.ids import LinkId, SiteId

MS = 1_000_000
LOOK_NS = 250 * MS
AB, BC, SITE = LinkId("a-b"), LinkId("b-c"), SiteId("b")
NOBODY = Absent()


class Reporter:
    """A process with links on one line, and time: every 50 ms the links that live report."""

    def __init__(self, presence: Presence, *links: LinkId) -> None:
        self.presence, self.links, self.now_ns = presence, list(links), 0

    def run(self, duration_ns: int) -> Absent:
        absent = NOBODY
        for _ in range(duration_ns // (50 * MS)):
            self.now_ns += 50 * MS
            for link in self.links:
                self.presence.link_heard("modules", link, self.now_ns)
            if self.now_ns % LOOK_NS == 0:
                absent = self.presence.look(self.now_ns)
        return absent


def test_what_reports_is_not_missed_and_what_was_never_heard_of_neither() -> None:
    presence = Presence()
    assert presence.look(0) == NOBODY
    assert Reporter(presence, AB, BC).run(10_000 * MS) == NOBODY


def test_a_line_that_closes_takes_its_links_and_kmes_with_it_at_once() -> None:
    presence = Presence()
    reporter = Reporter(presence, AB)
    reporter.run(1_000 * MS)
    presence.serves("kme", SITE, reporter.now_ns)
    presence.closed("modules")
    assert presence.look(reporter.now_ns + MS) == Absent(links=frozenset({AB}))
    presence.closed("kme")
    assert presence.look(reporter.now_ns + MS) == Absent(links=frozenset({AB}), sites=frozenset({SITE}))


def test_a_frozen_process_is_away_after_a_second_and_a_quarter() -> None:
    presence = Presence()
    reporter = Reporter(presence, AB, BC)
    presence.serves("kme", SITE, 0)
    assert reporter.run(LINE_QUIET_NS - LOOK_NS) == NOBODY
    assert reporter.run(2 * LOOK_NS) == Absent(sites=frozenset({SITE}))
    reporter.links = []
    presence.heard("kme", reporter.now_ns)
    assert reporter.run(2 * LOOK_NS).links == frozenset()
    assert reporter.run(LINE_QUIET_NS).links == {AB, BC}


def test_notes_do_not_stand_for_a_links_reports() -> None:
    presence = Presence()
    reporter = Reporter(presence, AB)
    reporter.run(1_000 * MS)
    reporter.links = []
    for _ in range(6):
        presence.heard("modules", reporter.now_ns)
        absent = reporter.run(LOOK_NS)
    assert absent.links == {AB}


def test_one_link_that_stops_is_away_while_the_others_on_its_line_go_on() -> None:
    presence = Presence()
    reporter = Reporter(presence, AB, BC)
    reporter.run(1_000 * MS)
    reporter.links = [BC]
    assert reporter.run(LINE_QUIET_NS) == NOBODY
    assert reporter.run(LOOK_NS) == Absent(links=frozenset({AB}))


def test_a_busy_process_is_late_with_all_its_links_or_with_none() -> None:
    presence = Presence()
    presence.link_heard("modules", AB, 0)
    presence.link_heard("modules", BC, 100 * MS)
    sizes = set()
    for now_ns in range(0, 3_000 * MS, 10 * MS):
        sizes.add(len(presence.look(now_ns).links))
    assert sizes == {0, 2}


def test_stretched_links_have_longer() -> None:
    presence = Presence()
    for second in range(40):
        presence.link_heard("modules", AB, second * 1_000 * MS)
    last_ns = 39_000 * MS
    absent = [presence.look(last_ns + step * LOOK_NS).links for step in range(20)]
    late_s = next(step * 0.25 for step, links in enumerate(absent) if links)
    assert 3.5 < late_s < 4.5


def test_who_comes_back_is_gone_around_until_he_has_stayed_for_a_while() -> None:
    presence = Presence()
    presence.serves("kme", SITE, 0)
    presence.closed("kme")
    presence.look(0)
    back_ns = 500 * MS
    presence.serves("kme, started again", SITE, back_ns)
    for now_ns in range(0, 2 * RETURN_NS, LOOK_NS):
        presence.heard("kme, started again", now_ns)
        assert (SITE in presence.look(now_ns).sites) is (now_ns < RETURN_NS)


def test_another_instance_of_a_kme_may_have_taken_over_before_the_first_one_says_goodbye() -> None:
    presence = Presence()
    presence.serves("first", SITE, 0)
    presence.serves("second", SITE, 10)
    presence.serves_no_more("first", SITE)
    presence.closed("first")
    assert presence.look(20) == NOBODY
    presence.serves_no_more("second", SITE)
    assert presence.look(30).sites == {SITE}


def test_who_looks_late_blames_nobody() -> None:
    presence = Presence()
    presence.serves("kme", SITE, 0)
    presence.link_heard("modules", AB, 0)
    presence.look(0)
    assert presence.look(LINE_QUIET_NS + LOOK_LATE_NS) == NOBODY
    now_ns = LINE_QUIET_NS + LOOK_LATE_NS
    for _ in range(6):
        now_ns += LOOK_NS
        absent = presence.look(now_ns)
    assert absent == Absent(links=frozenset({AB}), sites=frozenset({SITE}))


def test_a_kme_that_never_came_is_missed_after_the_start() -> None:
    presence = Presence([SITE])
    steps = range(0, FIRST_NS + 2 * LOOK_NS, LOOK_NS)
    missed = [presence.look(now_ns).sites for now_ns in steps]
    assert set(missed[:-1]) == {frozenset()}
    assert missed[-1] == {SITE}


def test_it_says_in_words_who_is_away() -> None:
    absent = Absent(links=frozenset({BC, AB}), sites=frozenset({SITE}))
    assert absent.sentence() == "not heard of: link a-b, link b-c, KME of b"
    assert NOBODY.sentence() == "all links and KMEs are heard of again"
