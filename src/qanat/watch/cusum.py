"""The sequential test that all monitors share: Page's CUSUM, alone or as a bank of alternatives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from qanat.watch.thresholds import cusum_threshold
from qanat.watch.windows import HISTORY_COUNT, Window, change_start


@dataclass(slots=True)
class Cusum:
    """A sum of log-likelihood ratios that is never below zero.

    Attributes:
        threshold: It has crossed when ``value`` is at or above this.
        first: Window with which the present excursion above zero began.
        before: Window observed just before it, None when there was none.
    """

    threshold: float
    value: float = 0.0
    first: Window | None = None
    before: Window | None = None

    def add(self, ratio: float, window: Window, previous: Window | None) -> bool:
        """Take one window's log-likelihood ratio; says whether the test has crossed."""
        if self.value <= 0.0:
            self.first, self.before = window, previous
        self.value = max(0.0, self.value + ratio)
        return self.has_crossed

    @property
    def has_crossed(self) -> bool:
        return self.value >= self.threshold

    def reset(self) -> None:
        self.value, self.first, self.before = 0.0, None, None


@dataclass(slots=True, kw_only=True)
class Alternative:
    """One hypothesis of a bank: a change of a certain size.

    Attributes:
        name: Its size in words, for the evidence.
        ratio: Log-likelihood ratio of one window under it against the null.
        information_per_window: Kullback-Leibler divergence, nats, for a usual window.
    """

    name: str
    ratio: Callable[[Window], float]
    information_per_window: float


@dataclass(slots=True)
class Crossing:
    """What a bank found: which alternative, how strongly, and since when."""

    alternative: Alternative
    statistic: float
    threshold: float
    first: Window
    before: Window | None


@dataclass(slots=True)
class Bank:
    """CUSUMs against several sizes of change, sharing one false-alarm budget.

    Sizes that are near each other alarm together, so the sum of their rates is an upper bound: with J
    alternatives of gamma * J windows each, the bank has at least gamma windows between false alarms.
    Measured (design/watch_thresholds.py): 3 to 4 times gamma. A factor tuned to 3 instead of 7 would save
    4 to 9 % of the delay; it is not taken, since its margin shrinks as gamma grows.
    """

    gamma: float
    alternatives: list[Alternative] = field(default_factory=list)
    tests: list[Cusum] = field(default_factory=list)

    def set_alternatives(self, alternatives: list[Alternative]) -> None:
        """New sizes or a new null; sums so far are kept, so that learning never hides a change."""
        fresh = len(alternatives) != len(self.tests)
        self.alternatives = alternatives
        if fresh:
            self.tests = [Cusum(0.0) for _ in alternatives]
        share = self.gamma * len(alternatives)
        for alternative, test in zip(alternatives, self.tests, strict=True):
            test.threshold = cusum_threshold(share, alternative.information_per_window)

    def add(self, window: Window, previous: Window | None) -> bool:
        """Take one window; says whether any alternative has crossed."""
        crossed = False
        for alternative, test in zip(self.alternatives, self.tests, strict=True):
            crossed |= test.add(alternative.ratio(window), window, previous)
        return crossed

    @property
    def is_suspicious(self) -> bool:
        """Some alternative is half-way to its threshold: nothing is learned meanwhile."""
        return any(test.value > test.threshold / 2 for test in self.tests)

    def reset(self) -> None:
        for test in self.tests:
            test.reset()

    def crossing(self, history: Iterable[Window]) -> Crossing:
        """The likeliest alternative among those that crossed, and the earliest start it allows.

        Args:
            history: Windows up to now, oldest first, the last one being the one that crossed.
        """
        pairs = [pair for pair in zip(self.alternatives, self.tests, strict=True) if pair[1].has_crossed]
        alternative, test = max(pairs, key=lambda pair: pair[1].value)
        first, before = earliest_start(alternative, test, list(history))
        return Crossing(alternative, test.value, test.threshold, first, before)


def earliest_start(alternative: Alternative, test: Cusum, windows: list[Window]) -> tuple[Window, Window | None]:
    """First window that may belong to the change, and the one before it: whichever of the CUSUM's own
    start and the confidence set's is earlier."""
    assert test.first is not None, "a test that crossed has begun"
    windows = list(islice(windows, max(0, len(windows) - HISTORY_COUNT), None))
    index = change_start([alternative.ratio(window) for window in windows])
    if windows[index].number <= test.first.number and index > 0:
        return windows[index], windows[index - 1]
    return test.first, test.before
