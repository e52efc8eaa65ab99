"""The QBER monitor: does the error rate of the announced bits rise?

A bank of binomial CUSUMs against a learned baseline, and one absolute limit that needs no learning.

What it does not see (the honest limits):
- Falling error rates are learned, not alarmed.
- An eavesdropper present at a constant, small fraction while the baseline is first learned becomes part
  of it. The absolute limit finds her only above about 11 % QBER, a fraction of some 0.4.
- A change below ``DRIFT_FLOOR`` (0.05 % QBER, intercept-resend of 0.2 % of the pulses) is within the null.
- A ramp slower than about 0.05 % QBER per 300 s is learned along, until the baseline has walked
  ``ANCHOR_BUDGET`` (1 % QBER) above its first value; from there on the sum grows and the alarm comes.
- Drift faster than these allowances (wind on aerial fibre) alarms: it is a change, if not an attack. In 24
  simulated link-hours (design/watch_thresholds.py), mild drift (0.1 % in a day, 0.05 % in an hour) raised no
  alarm; realistic drift (0.3 %, and 0.1 % in half an hour) raised 1 at 1e4 test bits per second and 22 at 8e4.
  The stated interval between false alarms holds for stationary light only.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from qanat.watch.baseline import Baseline
from qanat.watch.cusum import Alternative, Bank, Crossing, Cusum
from qanat.watch.finding import CRITICAL, Finding, begin_with_margin, ended
from qanat.watch.thresholds import kl_binomial
from qanat.watch.windows import HISTORY_COUNT, Window

FRACTIONS = (0.004, 0.01, 0.02, 0.05, 0.15, 0.5, 1.0)  # of pulses measured and resent, the bank's sizes
DRIFT_FLOOR = 0.0005  # QBER; slow drift within it is nobody's fault (design/watch_thresholds.py)
ANCHOR_BUDGET = 0.01  # QBER; as far as learning may follow
LEARNING_SIGMAS = 3.0  # the null reaches this far above the estimate while the baseline is uncertain
LIMIT_FAIR, LIMIT_FOUL = 0.08, 0.15  # QBER; a sum between them rises when the true rate exceeds 11.2 %
RECOVERY_FRACTION = 0.05  # an alarm ends on evidence that she takes less than half of this
LEARNING_WINDOWS, LEARNING_BITS = 8, 2000
REBUILD_EVERY = 100  # windows learned between two refreshes of the thresholds


def qber_from_fraction(qber: float, fraction: float) -> float:
    """Error rate when a fraction of the pulses is measured in a random basis and resent.

    Source: every intercepted pulse is measured in the wrong basis half the time, and half of those err.

    Example:
        >>> qber_from_fraction(0.0, 1.0)
        0.25
    """
    return qber + fraction * 0.25 * (1 - 2 * qber)


def binomial_ratio(null: float, other: float) -> Callable[[Window], float]:
    """Log-likelihood ratio of a window of errors: rate ``other`` against rate ``null``."""
    per_error = math.log(other / null)
    per_good = math.log((1 - other) / (1 - null))

    def ratio(window: Window) -> float:
        return window.count * per_error + (window.size - window.count) * per_good

    return ratio


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


class QberMonitor:
    """Watches the error rate of one link.

    Args:
        gamma: Mean number of windows between its false alarms, at least.
        memory_windows: Time constant of the baseline.
    """

    def __init__(self, *, gamma: float, memory_windows: float) -> None:
        self.baseline = Baseline(memory_windows=memory_windows, windows_min=LEARNING_WINDOWS, size_min=LEARNING_BITS)
        self._gamma = gamma
        self._bank = Bank(2 * gamma)
        self._limit = Bank(2 * gamma)
        limit = Alternative(
            name="above the limit of 11 %",
            ratio=binomial_ratio(LIMIT_FAIR, LIMIT_FOUL),
            information_per_window=math.inf,
        )
        self._limit.set_alternatives([limit])
        self._history: deque[Window] = deque(maxlen=HISTORY_COUNT)
        self._recovery: tuple[Cusum, Callable[[Window], float]] | None = None
        self._recovered = (0, 0)  # errors, bits since the recovery's sum last left zero
        self._rebuild_at = 0

    @property
    def is_alarmed(self) -> bool:
        return self._recovery is not None

    @property
    def null(self) -> float:
        """The highest error rate that still counts as normal."""
        base = self.baseline
        if base.anchor is None:
            return LIMIT_FAIR
        ratio = min(base.ratio, base.anchor + ANCHOR_BUDGET)
        sigma = math.sqrt(ratio * (1 - ratio) / max(base.size, 1.0))
        return min(0.4, ratio + DRIFT_FLOOR + LEARNING_SIGMAS * sigma)

    def observe(self, window: Window) -> list[Finding]:
        """Take the errors of one window; says whether something began or ended."""
        if window.size == 0:
            return []
        if self._recovery is not None:
            return self._watch_recovery(window, *self._recovery)
        previous = self._history[-1] if self._history else None
        self._history.append(window)
        crossed = [bank for bank in (self._bank, self._limit) if bank.add(window, previous)]
        if crossed:
            return [self._raise(max((bank.crossing(self._history) for bank in crossed), key=_excess))]
        self._learn(window)
        return []

    def _learn(self, window: Window) -> None:
        if self._bank.is_suspicious or self._limit.is_suspicious:
            return
        self.baseline.offer(window)
        if self.baseline.is_ready and self.baseline.learned_count >= self._rebuild_at:
            self._rebuild_at = min(2 * self.baseline.learned_count, self.baseline.learned_count + REBUILD_EVERY)
            self._bank.set_alternatives(self._alternatives())

    def _alternatives(self) -> list[Alternative]:
        null, size = self.null, self.baseline.size_per_window
        others = [(fraction, qber_from_fraction(null, fraction)) for fraction in FRACTIONS]
        return [
            Alternative(
                name=f"as if {percent(fraction)} of the pulses were measured and resent",
                ratio=binomial_ratio(null, other),
                information_per_window=size * kl_binomial(other, null),
            )
            for fraction, other in others
        ]

    def _raise(self, found: Crossing) -> Finding:
        windows = [window for window in self._history if window.number >= found.first.number]
        errors = sum(window.count for window in windows)
        bits = sum(window.size for window in windows)
        self._recovery = self._recovery_test(errors / bits)
        self.baseline.drop_pending()
        since_ns, last_good_number = begin_with_margin(found.first, found.before)
        return Finding(
            is_raised=True,
            severity=CRITICAL,
            since_ns=since_ns,
            last_good_number=last_good_number,
            statistic=found.statistic,
            threshold=found.threshold,
            evidence=self._evidence(errors, bits, len(windows), found),
        )

    def _evidence(self, errors: int, bits: int, count: int, found: Crossing) -> str:
        qber = errors / bits
        base = self.baseline
        fraction = max(0.0, 4 * (qber - base.ratio) / (1 - 2 * base.ratio)) if base.is_ready else 4 * qber
        return (
            f"QBER {percent(qber)} ({errors} errors in {bits} test bits of {count} pulse blocks from number "
            f"{found.first.number}); {self._baseline_text()}. Effect: "
            f"{percent(min(1.0, fraction))} of the pulses measured and resent would do this. Log-likelihood ratio "
            f"{found.statistic:.1f}, threshold {found.threshold:.1f}."
        )

    def _baseline_text(self) -> str:
        base = self.baseline
        if not base.is_ready:
            return f"no baseline learned yet, absolute limit between {percent(LIMIT_FAIR)} and {percent(LIMIT_FOUL)}"
        return f"baseline {percent(base.ratio)} from {base.size:.0f} test bits, normal up to {percent(self.null)}"

    def _recovery_test(self, observed: float) -> tuple[Cusum, Callable[[Window], float]]:
        """The same evidence asked for in the other direction: the rate is normal, not still raised."""
        null = self.null
        if not self.baseline.is_ready:
            return Cusum(math.log(self._gamma)), binomial_ratio(LIMIT_FOUL, LIMIT_FAIR)
        least, most = (qber_from_fraction(null, fraction) for fraction in (FRACTIONS[0], RECOVERY_FRACTION))
        return Cusum(math.log(self._gamma)), binomial_ratio(max(least, min(most, observed)), null)

    def _watch_recovery(self, window: Window, test: Cusum, ratio: Callable[[Window], float]) -> list[Finding]:
        self._sums_of_recovery(window, test)
        if not test.add(ratio(window), window, None):
            return []
        errors, bits = self._recovered
        self._recovery = None
        self._bank.reset()
        self._limit.reset()
        self._history.clear()
        text = (
            f"QBER back at {percent(errors / bits)} ({errors} errors in {bits} test bits); {self._baseline_text()}. "
            f"Log-likelihood ratio {test.value:.1f}, threshold {test.threshold:.1f}."
        )
        return [ended(window, test, CRITICAL, text)]

    def _sums_of_recovery(self, window: Window, test: Cusum) -> None:
        errors, bits = self._recovered if test.value > 0 else (0, 0)
        self._recovered = (errors + window.count, bits + window.size)


def _excess(found: Crossing) -> float:
    return found.statistic - found.threshold
