"""The receiver's polarisation controller: it dithers, counts errors, and turns back what it believes.

The error rate E(a) = (1 - V cos a) / 2 of an angle a is flat at its best point and does not tell the sign. So the
actuator dithers by +-d, fast against its interval, and errors of both halves are counted apart:
E(a + d) - E(a - d) = V sin(a) sin(d). Counting has shot noise, and the controller weighs a measurement against what
the fibre may have done meanwhile: a scalar Kalman filter with the fibre's rate as its process noise. A link that
counts nothing is not steered at all; a visibility that it does not know only makes it slower.

The dither costs errors, V (1 - cos d) / 2: 6e-4 of QBER at 0.05 rad. Other ways to the same end: Ramos et al., Opt.
Express 28, 5035 (2020), from QBER; Shi et al., arXiv:2107.07654, by stochastic search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qanat.physics.attack import Attack
from qanat.physics.light import light_of
from qanat.physics.meanfield import click_law, grouped_cells
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics
from qanat.physics.settings import SettingsLaw

DITHER_RAD = 0.05
START_RAD = 0.02  # how well it was aligned before, standard deviation as it believes


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSignal:
    """What a controller has to go by.

    Attributes:
        rate_hz: Announced test bits per second.
        qber: Error rate among them when the polarisation is aligned.
    """

    rate_hz: float
    qber: float

    def error_at(self, angle_rad: float) -> float:
        """Error rate at this angle; under an attack the form is taken to stay and only the depth to change."""
        return (1 - (1 - 2 * self.qber) * math.cos(angle_rad)) / 2


def error_signal(
    optics: Optics, memory: DetectorMemory, settings: SettingsLaw, attacks: Sequence[Attack] = ()
) -> ErrorSignal:
    """Of a link in this light, by the mean-field law, in the test basis Z."""
    law = click_law(light_of(replace(optics, rotation_rad=0.0), memory, attacks), settings)
    right, wrong = grouped_cells(law)[:, 1].sum(axis=0).tolist()
    seen = right + wrong
    return ErrorSignal(
        rate_hz=law.rate_per_gate * seen * optics.clock_hz, qber=min(0.5, wrong / seen) if seen > 0 else 0.5
    )


class PolarisationController:
    """One controller.

    Attributes:
        correction_rad: What it has turned so far; the light sees the fibre's angle less this.
        moved_rad: Its last move.
    """

    def __init__(self, stream: np.random.Generator, *, rate: float, interval_s: float) -> None:
        self._stream, self._interval_s = stream, interval_s
        self._grows = rate * rate * interval_s
        self._variance = START_RAD**2
        self.correction_rad = 0.0
        self.moved_rad = 0.0

    def step(self, angle_rad: float, signal: ErrorSignal) -> None:
        """One interval in which the fibre turned by ``angle_rad``: count, believe, turn."""
        measured = self._measured(angle_rad - self.correction_rad, signal)
        self._variance += self._grows
        self.moved_rad = 0.0
        if measured is None:
            return
        angle, noise = measured
        gain = self._variance / (self._variance + noise)
        self._variance *= 1 - gain
        self.moved_rad = gain * angle
        self.correction_rad += self.moved_rad

    def _measured(self, error_rad: float, signal: ErrorSignal) -> tuple[float, float] | None:
        """Angle as it shows and the variance that counting gives it; None when a half has counted nothing."""
        expected = signal.rate_hz * self._interval_s / 2
        counts = [int(self._stream.poisson(expected)) for _ in range(2)]
        halves = [
            int(self._stream.binomial(n, signal.error_at(error_rad + side * DITHER_RAD)))
            for n, side in zip(counts, (1, -1), strict=True)
        ]
        if min(counts) == 0:
            return None
        plus, minus = (wrong / n for wrong, n in zip(halves, counts, strict=True))
        # Half an error more, so that a half without errors is not taken for a certain one.
        spread = [(wrong + 0.5) / (n + 1) for wrong, n in zip(halves, counts, strict=True)]
        variance = sum(p * (1 - p) / n for p, n in zip(spread, counts, strict=True))
        sine = (plus - minus) / math.sin(DITHER_RAD)
        return math.asin(max(-1.0, min(1.0, sine))), variance / math.sin(DITHER_RAD) ** 2
