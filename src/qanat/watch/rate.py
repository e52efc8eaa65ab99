"""The detection-rate monitor: does more or less light arrive than usual?

A two-sided bank of CUSUMs on detection counts. The ratio is that of Poisson counts divided by an
overdispersion of 1 + OVERDISPERSION_SIGMA**2 * mean, i.e. windows may scatter by 1 % beyond shot noise.
For Poisson counts, and for the sub-Poisson counts that dead time makes, this only lowers the number of
false alarms: E[exp(x/phi)] <= E[exp(x)]**(1/phi) for phi >= 1. For slower drift it is what keeps the
monitor quiet: the drift zone is half of the smallest alternative, 1.5 %.

What it does not see (the honest limits):
- A loss below about 1.5 % (0.07 dB); a loss that grows by less than 1.5 % per 300 s, until the baseline
  has walked 20 % from its first value.
- An eavesdropper who replaces what she takes by brighter pulses: the total stays, decoy ratios move.
- A cable already tapped when the baseline was learned.

A drop to less than half is critical (no key will come), and so is a rise above 1.3 (light that the
transmitter did not send); the rest is a warning: key distillation accounts for loss by itself.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from qanat.watch.baseline import Baseline
from qanat.watch.cusum import Alternative, Bank, Crossing, Cusum
from qanat.watch.finding import CRITICAL, WARNING, Finding, begin_with_margin, ended
from qanat.watch.thresholds import kl_poisson
from qanat.watch.windows import HISTORY_COUNT, Window

RATIOS = (0.97, 0.93, 0.85, 0.6, 0.1, 1.03, 1.07, 1.15, 1.5, 3.0)  # the bank's sizes
OVERDISPERSION_SIGMA = 0.01  # relative; see above
ANCHOR_BUDGET = 0.2  # relative; as far as learning may follow
LEARNING_SIGMAS = 3.0
LEARNING_WINDOWS, LEARNING_COUNTS = 8, 100
REBUILD_EVERY = 100
CRITICAL_BELOW, CRITICAL_ABOVE = 0.5, 1.3
# A sum between the two members of a pair changes direction near the critical ratio of its side.
CRITICAL_PAIRS = {False: (0.65, 0.35), True: (1.15, 1.45)}  # is it a rise: (mild, grave)
RECOVERY_RATIOS = {False: (0.93, 0.97), True: (1.03, 1.07)}

Ratio = Callable[[Window], float]


class RateMonitor:
    """Watches the detections per pulse of one link.

    Args:
        gamma: Mean number of windows between its false alarms, at least.
        memory_windows: Time constant of the baseline.
    """

    def __init__(self, *, gamma: float, memory_windows: float) -> None:
        self.baseline = Baseline(memory_windows=memory_windows, windows_min=LEARNING_WINDOWS, count_min=LEARNING_COUNTS)
        self._gamma = gamma
        self._bank = Bank(gamma)
        self._history: deque[Window] = deque(maxlen=HISTORY_COUNT)
        self._alarm: tuple[str, bool] | None = None  # severity, is it a rise
        self._recovery = Cusum(math.inf)
        self._recovery_ratio: Ratio = _nothing
        self._escalation = Bank(gamma)
        self._rebuild_at = 0

    @property
    def is_alarmed(self) -> bool:
        return self._alarm is not None

    @property
    def usual(self) -> float:
        """Detections per pulse that count as normal."""
        base = self.baseline
        if base.anchor is None:
            return base.ratio
        low, high = base.anchor * (1 - ANCHOR_BUDGET), base.anchor * (1 + ANCHOR_BUDGET)
        return min(high, max(low, base.ratio))

    def observe(self, window: Window) -> list[Finding]:
        """Take the detections of one window; says whether something began or ended."""
        if window.size == 0:
            return []
        previous = self._history[-1] if self._history else None
        self._history.append(window)
        if self._alarm is not None:
            return self._watch_alarm(window, previous, *self._alarm)
        if self._bank.add(window, previous):
            return [self._raise(self._bank.crossing(self._history))]
        if not self._bank.is_suspicious:
            self._learn(window)
        return []

    def _learn(self, window: Window) -> None:
        self.baseline.offer(window)
        if self.baseline.is_ready and self.baseline.learned_count >= self._rebuild_at:
            self._rebuild_at = min(2 * self.baseline.learned_count, self.baseline.learned_count + REBUILD_EVERY)
            self._bank.set_alternatives([self._alternative(1.0, ratio) for ratio in RATIOS])

    def _alternative(self, null: float, other: float) -> Alternative:
        """Rate ``other`` against rate ``null``, both relative to the baseline and widened by what
        learning has left uncertain."""
        usual = self.usual * (1 + math.copysign(self._uncertainty, other - 1))
        mean = usual * self.baseline.size_per_window * null
        step = other / null
        return Alternative(
            name=f"{other:g} of the usual rate",
            ratio=_poisson_ratio(usual * null, step),
            information_per_window=mean * kl_poisson(step) / _overdispersion(mean),
        )

    @property
    def _uncertainty(self) -> float:
        base = self.baseline
        return min(0.5, LEARNING_SIGMAS * math.sqrt(1 / max(base.count, 1) + OVERDISPERSION_SIGMA**2 / base.windows))

    def _raise(self, found: Crossing) -> Finding:
        windows = [window for window in self._history if window.number >= found.first.number]
        count = sum(window.count for window in windows)
        expected = self.usual * sum(window.size for window in windows)
        ratio = count / expected
        severity = WARNING if CRITICAL_BELOW <= ratio <= CRITICAL_ABOVE else CRITICAL
        self._enter(severity, ratio)
        since_ns, last_good_number = begin_with_margin(found.first, found.before)
        return Finding(
            is_raised=True,
            severity=severity,
            since_ns=since_ns,
            last_good_number=last_good_number,
            statistic=found.statistic,
            threshold=found.threshold,
            evidence=(
                f"{count} detections in {len(windows)} pulse blocks from number {found.first.number}, expected "
                f"{expected:.0f} from a baseline of {self.usual:.3g} per pulse. Effect: rate x {ratio:.3f} "
                f"({_db(ratio)}). Log-likelihood ratio {found.statistic:.1f}, threshold {found.threshold:.1f}, "
                f"window scatter of {100 * OVERDISPERSION_SIGMA:g} % beyond shot noise allowed for."
            ),
        )

    def _enter(self, severity: str, ratio: float) -> None:
        """Arm the test for the end of the alarm and, for a warning, the one for its growing critical."""
        is_rise = ratio > 1
        self._alarm = (severity, is_rise)
        self.baseline.drop_pending()
        mild, grave = CRITICAL_PAIRS[is_rise]
        low, high = RECOVERY_RATIOS[is_rise]
        if severity == CRITICAL:
            test = self._alternative(mild, grave)
        else:
            test = self._alternative(1.0, min(high, max(low, ratio)))
        self._recovery, self._recovery_ratio = Cusum(math.log(self._gamma)), test.ratio
        self._escalation = Bank(self._gamma)
        self._escalation.set_alternatives([self._alternative(mild, grave)])

    def _watch_alarm(self, window: Window, previous: Window | None, severity: str, is_rise: bool) -> list[Finding]:
        if severity == WARNING and self._escalation.add(window, previous):
            return [self._raise(self._escalation.crossing(self._history))]
        if not self._recovery.add(-self._recovery_ratio(window), window, previous):
            return []
        self._alarm = None
        self._bank.reset()
        self._history.clear()
        ratio = window.count / (self.usual * window.size)
        text = (
            f"Rate back at x {ratio:.3f} of the baseline {self.usual:.3g} per pulse ({window.count} detections); no "
            f"longer a {severity} {'rise' if is_rise else 'loss'}. Log-likelihood ratio {self._recovery.value:.1f}, "
            f"threshold {self._recovery.threshold:.1f}."
        )
        return [ended(window, self._recovery, severity, text)]


def _overdispersion(mean: float) -> float:
    return 1 + OVERDISPERSION_SIGMA**2 * mean


def _poisson_ratio(per_pulse: float, step: float) -> Ratio:
    """Quasi-Poisson log-likelihood ratio: rate ``step * per_pulse`` against ``per_pulse``."""
    log_step = math.log(step)

    def ratio(window: Window) -> float:
        mean = per_pulse * window.size
        return (window.count * log_step - mean * (step - 1)) / _overdispersion(mean)

    return ratio


def _nothing(_window: Window) -> float:
    return 0.0


def _db(ratio: float) -> str:
    return f"{10 * math.log10(ratio):+.2f} dB" if ratio > 0 else "no light"
