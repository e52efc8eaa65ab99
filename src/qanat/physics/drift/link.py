"""One link's weather, window after window: two cabinets, a fibre, a controller, on one grid in link time."""

from __future__ import annotations

import cmath
import math

import numpy as np

from qanat.core.streams import Streams
from qanat.core.topology import Environment
from qanat.physics.drift.conditions import Conditions
from qanat.physics.drift.controller import DITHER_RAD, ErrorSignal, PolarisationController
from qanat.physics.drift.grid import GAP_STEPS_MAX, shares, step_ns_of
from qanat.physics.drift.rotation import FibreRotation
from qanat.physics.drift.warmth import Cabinet, TransmitterClimate
from qanat.physics.errors import SamplerError
from qanat.physics.sheets import ReceiverSheet, TransmitterSheet

_FIELDS = ("laser_c", "intensity_factor", "thermostat_effort", "detectors_c", "efficiency_factor", "dark_factor")


class LinkDrift:
    """What a link's weather is in every window. The same arguments give the same weather, whatever the windows.

    Args:
        length_km: Of the fibre.
        signal: What the controller goes by; set anew, it holds from the next window on.
        streams: Of cabinet, fibre and controller at the receiver's end; each has a stream of its own, so that a
            controller does not change the fibre's luck.
        transmitter_streams: Of the transmitter's cabinet, see ``TransmitterClimate``.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        transmitter: TransmitterSheet,
        receiver: ReceiverSheet,
        length_km: float,
        signal: ErrorSignal,
        streams: Streams,
        transmitter_streams: Streams,
    ) -> None:
        self.signal = self._counted = signal
        self.laser = TransmitterClimate(environment, transmitter, transmitter_streams)
        self.cabinet = Cabinet(environment, streams.get("drift/receiver"))
        self.fibre = FibreRotation(environment, length_km, streams.get("drift/fibre"))
        self._interval_s = environment.control_interval_s
        self.controller = PolarisationController(
            streams.get("drift/controller"), rate=self.fibre.rate, interval_s=self._interval_s
        )
        self._is_controlled = environment.is_controlled
        self._receiver, self._step_ns = receiver, step_ns_of(self._interval_s)
        self._number = 0

    @property
    def angle_rad(self) -> float:
        """By how much the light is turned now, the correction taken off."""
        return self.fibre.angle_rad - self.controller.correction_rad

    def window(self, start_ns: int, duration_ns: int) -> Conditions:
        """Means over a window.

        Raises:
            SamplerError: windows must come in order and have a length.
        """
        total, phasor, effort_rad = np.zeros(len(_FIELDS)), 0j, 0.0
        for number, share in shares(start_ns, duration_ns, self._step_ns):
            self._go_to(number)
            total += share * np.array(self._state())
            phasor += share * cmath.exp(1j * self.angle_rad)
            effort_rad += share * duration_ns / self._step_ns * abs(self.controller.moved_rad)
            self._counted = self.signal
        dither = math.cos(DITHER_RAD) if self._is_controlled else 1.0
        return Conditions(
            **dict(zip(_FIELDS, total.tolist(), strict=True)),
            rotation_rad=cmath.phase(phasor),
            coherence=min(1.0, abs(phasor)) * dither,
            control_effort_rad=effort_rad,
        )

    def _go_to(self, number: int) -> None:
        if number < self._number:
            raise SamplerError(f"weather goes on in order: step {number} was asked for, it is in {self._number}")
        if number - self._number > GAP_STEPS_MAX:
            self._step(number - self._number)
        while self._number < number:
            self._step(1)

    def _step(self, count: int) -> None:
        """The controller acts on what the light was; then weather goes on."""
        if self._is_controlled:
            self.controller.step(self.fibre.angle_rad, self._counted)
        before_k = self._air_k
        self._number += count
        self.laser.cabinet.go_to(self._number)
        self.cabinet.go_to(self._number)
        self.fibre.step(count * self._interval_s, self._air_k - before_k)

    @property
    def _air_k(self) -> float:
        """What the fibre feels: its two ends' mean."""
        return (self.laser.cabinet.warmer_k + self.cabinet.warmer_k) / 2

    def _state(self) -> tuple[float, ...]:
        sheet = self._receiver
        warmer_k = sheet.room_coupling * self.cabinet.warmer_k
        detectors = (
            sheet.temperature_c + warmer_k,
            max(0.0, 1 + sheet.efficiency_per_k * warmer_k),
            2 ** (warmer_k / sheet.dark_doubling_k),
        )
        return (*self.laser.state(), *detectors)
