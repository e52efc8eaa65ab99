"""Clock recovery: which clock slot a time tag belongs to, when two clocks run at slightly different rates.

The phase of a tag t in slots is (t - t0) / period. Clicks crowd around whole numbers, so the mean direction of
exp(2 pi i phase) over a few hundred of them tells how far the phase is off. *Acquisition* looks through all rates
that the header allows for the one at which the first clicks crowd most; *tracking* then follows offset and rate,
window by window (an alpha-beta filter). Neither can tell a shift by whole slots: the header's offset must be right to
half a slot, and a pause so long that the clocks may have parted by a quarter of a slot ends the recording.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import QanatError
from qanat.node.recordings.header import Tags

WINDOW_COUNT = 256  # clicks per step of the tracking; their mean phase is known to a sixteenth of the jitter
ACQUIRE_COUNT = 512
ACQUIRE_COUNT_MIN = 32
RATES_MAX = 1 << 16
# With clicks at random, count * R**2 is exponential with mean 1: passing this happens once in e**20 = 5e8 tries.
CROWDED = 20.0
ALPHA, BETA = 0.5, 0.1
# Two locked clocks are taken to keep this rate; in a pause they may part by PART_MAX before slots are lost.
HOLD_OVER = 2e-8
PART_MAX = 0.25
DRIFT_ROOM = 1.5  # times the header's limit, while tracking

Phases = NDArray[np.float64]
Column = NDArray[np.int64]


class ClockLost(QanatError):
    """The clicks do not tell any more which clock slot is which. What came before is used; look at offset, period and
    drift in the recording's header, and at the light."""


def mean_phase(phase: Phases) -> tuple[float, float]:
    """How far clicks are from whole slots on average, in -0.5 to 0.5, and how much they crowd there: count * R**2.

    Example:
        >>> offset, crowding = mean_phase(np.array([0.1, 5.1, 7.1, -2.9]))
        >>> round(offset, 6), round(crowding, 6)
        (0.1, 4.0)
    """
    total = complex(np.exp(2j * np.pi * phase).sum())
    return math.atan2(total.imag, total.real) / (2 * math.pi), abs(total) ** 2 / max(1, phase.size)


class SlotClock:
    """Follows one recording; feed it all detector tags in order."""

    def __init__(self, tags: Tags) -> None:
        self._header = tags
        self._period_ps = tags.period_ps
        self._t0 = tags.offset_ps  # tag of the middle of slot ``_slot0``, up to ``_part`` of a slot
        self._slot0 = 0
        self._part = 0.0
        self._locked_slot = 0  # where clicks last told the phase
        self.is_locked = False

    @property
    def period_ps(self) -> float:
        """As it is now believed to be."""
        return self._period_ps

    def acquire(self, tag_ps: Column) -> None:
        """Find rate and offset from the first clicks.

        Raises:
            ClockLost: too few, no crowding at any allowed rate, or the offset is outside its window.
        """
        header, tag_ps = self._header, tag_ps[:ACQUIRE_COUNT]
        rates = _rates(tag_ps, header)
        since = (tag_ps - header.offset_ps) / header.period_ps
        middle = float(since.mean())
        crowding = np.array([abs(np.exp(2j * np.pi * (since - middle) * rate).sum()) ** 2 for rate in 1 + rates])
        best = int(crowding.argmax())
        if crowding[best] / tag_ps.size < CROWDED + math.log(len(rates)):
            raise ClockLost(
                f"the first {tag_ps.size} clicks crowd at no clock rate within {header.drift_ppm_max:g} ppm of "
                f"{header.period_ps:g} ps"
            )
        rate, offset = _fitted(since, middle, 1 + float(rates[best]))
        if abs(offset) * header.period_ps > header.offset_window_ps:
            raise ClockLost(
                f"the clicks lie {offset * header.period_ps:.0f} ps from where the header says; its window is "
                f"{header.offset_window_ps:g} ps"
            )
        self._period_ps = header.period_ps / rate
        self._part = -offset
        self.is_locked = True

    def phases(self, tag_ps: Column) -> tuple[Column, Phases]:
        """Slot of each tag, and how far from the slot's middle it fell, in slots. Advances the clock.

        Raises:
            ClockLost: a pause too long.
        """
        slots, parts = [], []
        for window in np.array_split(tag_ps, max(1, tag_ps.size // WINDOW_COUNT)) if tag_ps.size else []:
            phase = (window - self._t0) / self._period_ps + self._part
            self._correct(window, phase)
            phase = (window - self._t0) / self._period_ps + self._part
            whole = np.rint(phase)
            slots.append(self._slot0 + whole.astype(np.int64))
            parts.append(phase - whole)
        if not slots:
            return np.empty(0, dtype=np.int64), np.empty(0)
        return np.concatenate(slots), np.concatenate(parts)

    def _correct(self, window: Column, phase: Phases) -> None:
        """Move the reference into this window, by whole slots, and turn phase and rate to its clicks."""
        within = float(np.diff(phase).max(initial=0.0))
        pause = max(self._slot0 + float(phase[0]) - self._locked_slot, within)
        if pause * HOLD_OVER > PART_MAX:
            raise ClockLost(
                f"{pause * self._period_ps / 1e9:.3g} ms without light at tag {int(window[0])} ps: which slot is which "
                "is not known behind it"
            )
        error, crowding = mean_phase(phase)
        whole = math.floor(float(phase.mean()))
        centre = self._t0 + round((whole - self._part) * self._period_ps)
        self._part += (centre - self._t0) / self._period_ps - whole
        elapsed = max(1, self._slot0 + whole - self._locked_slot)
        self._t0, self._slot0 = centre, self._slot0 + whole
        if crowding < CROWDED:
            return  # noise alone: keep rate and phase as they are
        self._part -= ALPHA * error
        self._period_ps *= 1 + BETA * error / max(elapsed, window.size)
        self._locked_slot = self._slot0
        drift = self._period_ps / self._header.period_ps - 1
        if abs(drift) > DRIFT_ROOM * self._header.drift_ppm_max * 1e-6 + HOLD_OVER:
            raise ClockLost(f"the clock has drifted by {drift * 1e6:.3g} ppm, past {self._header.drift_ppm_max:g} ppm")


def _rates(tag_ps: Column, header: Tags) -> NDArray[np.float64]:
    """Relative clock rates to try, four per turn that the clicks span."""
    if tag_ps.size < ACQUIRE_COUNT_MIN:
        raise ClockLost(f"{tag_ps.size} clicks in all; {ACQUIRE_COUNT_MIN} are needed to find the clock")
    span = max(1.0, float(tag_ps[-1] - tag_ps[0]) / header.period_ps)
    most = header.drift_ppm_max * 1e-6
    steps = math.ceil(4 * span * most)
    if 2 * steps + 1 > RATES_MAX:
        raise ClockLost(
            f"{tag_ps.size} clicks over {span:.3g} slots are too few for {header.drift_ppm_max:g} ppm of drift"
        )
    return np.linspace(-most, most, 2 * steps + 1)


def _fitted(since: Phases, middle: float, rate: float) -> tuple[float, float]:
    """Rate and offset refined by a straight line through the clicks' phases, unwrapped around their mean."""
    line = since - middle
    phase = since * rate
    offset, _ = mean_phase(phase)
    residual = (phase - offset + 0.5) % 1.0 - 0.5
    spread = float((line**2).sum())
    slope = float((residual * line).sum()) / spread if spread else 0.0
    at_middle = offset + float(residual.mean())
    at_start = at_middle - slope * middle
    return rate - slope, (at_start + 0.5) % 1.0 - 0.5
