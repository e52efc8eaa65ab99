"""What the weather of one window does to light, detectors and meters."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qanat.physics.instruments import Instruments
from qanat.physics.optics import Optics


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Means over a window.

    Attributes:
        laser_c, detectors_c: Temperatures.
        intensity_factor, efficiency_factor, dark_factor: Over the datasheets' values.
        rotation_rad, coherence: The light's angle as the four states see it: mean of exp(i angle) is coherence times
            exp(i rotation). An angle that moves within the window, and the controller's dither, cost coherence.
        thermostat_effort: The laser's, share of its range.
        control_effort_rad: How far the polarisation controller turned in the window, its moves added up without sign;
            the dither, always the same, is not in it.
    """

    laser_c: float
    detectors_c: float
    intensity_factor: float
    efficiency_factor: float
    dark_factor: float
    rotation_rad: float
    coherence: float
    thermostat_effort: float
    control_effort_rad: float


def drifted(optics: Optics, conditions: Conditions) -> Optics:
    """The link's optics under these conditions, from its optics without weather.

    An angle that takes several values has the mean overlap (1 + V coherence cos(turn + ...)) / 2, which is that of a
    link with less visibility: exact for single photons, and for several in one pulse to first order.
    """
    lost_visibility = (1 - 2 * optics.misalignment) * (1 - conditions.coherence)
    return replace(
        optics,
        intensities=tuple(mu * conditions.intensity_factor for mu in optics.intensities),
        efficiency=tuple(min(1.0, value * conditions.efficiency_factor) for value in optics.efficiency),
        p_dark=tuple(min(1.0, p * conditions.dark_factor) for p in optics.p_dark),
        misalignment=optics.misalignment + lost_visibility / 2,
        rotation_rad=optics.rotation_rad + conditions.rotation_rad,
    )


def meters(base: Instruments, conditions: Conditions) -> Instruments:
    """What the modules' meters show under these conditions."""
    return replace(
        base,
        power_ratio=base.power_ratio * conditions.intensity_factor,
        transmitter_temperature_c=conditions.laser_c,
        receiver_temperature_c=conditions.detectors_c,
        transmitter_effort=conditions.thermostat_effort,
        receiver_effort=conditions.control_effort_rad,
    )
