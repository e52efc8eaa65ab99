"""What a module's meters show beside clicks. Attacks and weather move them; ``core.health`` carries the readings."""

from __future__ import annotations

from dataclasses import dataclass

from qanat.physics.sheets import ReceiverSheet, TransmitterSheet


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """Mean readings of one window.

    Attributes:
        power_ratio: Launched power over nominal, by the transmitter's monitor diode.
        in_port_power_nw: Light entering the transmitter by its exit.
        dark_bias_current_na: Bias current of each detector without a click; every click adds to it.
        extra_bias_current_na: What light that does not click adds, per detector: bright light on a blinded one.
        transmitter_temperature_c, receiver_temperature_c: Of laser and detectors.
        transmitter_effort: The laser's thermostat, share of its range in use, 0 to 1.
        receiver_effort: How far the polarisation controller turned in the window, in radians.
    """

    power_ratio: float = 1.0
    in_port_power_nw: float = 0.0
    dark_bias_current_na: tuple[float, ...] = (0.1, 0.1, 0.1, 0.1)
    extra_bias_current_na: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    transmitter_temperature_c: float = 25.0
    receiver_temperature_c: float = -40.0
    transmitter_effort: float = 0.0
    receiver_effort: float = 0.0


def instruments_from_sheets(transmitter: TransmitterSheet, receiver: ReceiverSheet) -> Instruments:
    """The meters of these modules while nothing drifts and nobody attacks."""
    return Instruments(
        transmitter_temperature_c=transmitter.temperature_c, receiver_temperature_c=receiver.temperature_c
    )
