"""How warm the cabinets are, and what a laser makes of it.

A cabinet follows the day by a sine and wanders around it as an Ornstein-Uhlenbeck process, whose exact transition over
a step h is x' = x exp(-h / tau) + s sqrt(1 - exp(-2 h / tau)) N. Link time 0 is mid-morning, when it warms fastest.
Laser and detectors sit on thermostats that leave a part of it (``room_coupling`` in the datasheets).
Source of the process: Uhlenbeck and Ornstein, Phys. Rev. 36, 823 (1930). Amplitudes are those of a server room that
is cooled but not held; they are ours, not fitted to anybody's room.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from qanat.core.streams import Streams
from qanat.core.topology import Environment
from qanat.physics.drift.grid import GAP_STEPS_MAX, shares, step_ns_of
from qanat.physics.sheets import ROOM_C, TransmitterSheet

DAY_S = 86_400.0
THERMOSTAT_RANGE_K = 40.0  # what a one-stage thermoelectric cooler holds off a laser, representative


class Cabinet:
    """The temperature of one cabinet over ``ROOM_C``, step after step.

    Attributes:
        number: Of the step it is in.
        warmer_k: Its temperature there, over the mean.
    """

    def __init__(self, environment: Environment, stream: np.random.Generator) -> None:
        self._environment, self._stream = environment, stream
        self._step_s = environment.control_interval_s
        self._noise_k = environment.noise_k * float(stream.standard_normal())
        self.number = 0
        self.warmer_k = self._noise_k

    def go_to(self, number: int) -> None:
        """On to this step; back is not possible and changes nothing. Long gaps are leapt over, exactly in law."""
        if number - self.number > GAP_STEPS_MAX:
            self._step(number - self.number)
        while self.number < number:
            self._step(1)

    def _step(self, count: int) -> None:
        environment = self._environment
        kept = math.exp(-count * self._step_s / environment.noise_time_s)
        drawn = environment.noise_k * math.sqrt(1 - kept * kept) * float(self._stream.standard_normal())
        self._noise_k = self._noise_k * kept + drawn
        self.number += count
        phase = 2 * math.pi * math.fmod(self.number * self._step_s, DAY_S) / DAY_S
        self.warmer_k = environment.swing_k * math.sin(phase) + self._noise_k


class LaserState(NamedTuple):
    """Of the transmitter in one window: temperature, intensities over nominal, share of the thermostat's range."""

    laser_c: float
    intensity_factor: float
    thermostat_effort: float


class TransmitterClimate:
    """The transmitter's own weather: the same for the module that tells of it and the light that shows it.

    Args:
        streams: Both must have the same; its stream "drift/transmitter" is used up step by step.
    """

    def __init__(self, environment: Environment, sheet: TransmitterSheet, streams: Streams) -> None:
        self.cabinet = Cabinet(environment, streams.get("drift/transmitter"))
        self._sheet = sheet
        self._step_ns = step_ns_of(environment.control_interval_s)

    def window(self, start_ns: int, duration_ns: int) -> LaserState:
        """Means over a window. Windows must come in order; an earlier one is answered with the present."""
        total = np.zeros(3)
        for number, share in shares(start_ns, duration_ns, self._step_ns):
            self.cabinet.go_to(number)
            total += share * np.array(self.state())
        return LaserState(*total.tolist())

    def state(self) -> LaserState:
        """In the step where the cabinet is."""
        warmer_k, sheet = self.cabinet.warmer_k, self._sheet
        laser_k = sheet.room_coupling * warmer_k
        return LaserState(
            laser_c=sheet.temperature_c + laser_k,
            intensity_factor=max(0.0, 1 + sheet.power_per_k * laser_k),
            thermostat_effort=min(1.0, abs(ROOM_C + warmer_k - sheet.temperature_c) / THERMOSTAT_RANGE_K),
        )
