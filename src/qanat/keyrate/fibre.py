"""From length and losses to transmittance, and from light to clicks, as most protocols model them."""

from __future__ import annotations

import numpy as np

from qanat.keyrate.parameter import Array, Parameter, ParameterError
from qanat.keyrate.protocol import Values
from qanat.keyrate.quantities import parameter

LN2 = float(np.log(2.0))
STANDARD_FIBRE = "G.652 fibre at 1550 nm, typical"


def channel_parameters(attenuation_db_per_km: float = 0.2, source: str = STANDARD_FIBRE) -> tuple[Parameter, ...]:
    """The parameters of a fibre, or of any channel by its loss."""
    return (
        parameter("distance_km", 0.0, "the two ends side by side"),
        parameter("attenuation_db_per_km", attenuation_db_per_km, source),
        parameter("insertion_loss_db", 0.0, "none"),
        parameter("loss_db", None, "from distance_km", is_optional=True),
    )


def channel_loss_db(values: Values) -> Array:
    """Loss between the two ends, without detectors.

    Raises:
        ParameterError: both a distance and a loss were given.
    """
    if "loss_db" not in values:
        return values["distance_km"] * values["attenuation_db_per_km"] + values["insertion_loss_db"]
    if np.any(values["distance_km"] != 0):
        raise ParameterError("give distance_km or loss_db, not both: each says what the whole channel loses")
    return values["loss_db"] + values["insertion_loss_db"]


def transmittance(values: Values, share: float = 1.0) -> Array:
    """Of the channel and a detector, end to end; of a share of the channel for a relay in the middle (0.5)."""
    return values["detector_efficiency"] * channel_transmittance(values, share)


def channel_transmittance(values: Values, share: float = 1.0) -> Array:
    """Of the channel alone, or of a share of it."""
    found: Array = 10 ** (-share * channel_loss_db(values) / 10)
    return found


def background(values: Values) -> Array:
    """Y0: probability that a receiver of two detectors clicks without light, dark counts and noise together."""
    p_dark = values["p_dark"]
    once = np.zeros_like(p_dark) if values.choice("dark_counts") == "per_pulse" else p_dark
    noise = values["p_noise"]
    return _either(_either(p_dark, once), _either(noise, noise))


def _either(a: Array, b: Array) -> Array:
    return a + b - a * b


def binary_entropy(x: Array) -> Array:
    """h(x) in bits, elementwise; x outside [0, 1] counts as its nearer end.

    Example:
        >>> binary_entropy(np.array([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    is_inside = (x > 0) & (x < 1)
    inner = np.where(is_inside, x, 0.5)
    h = -(inner * np.log2(inner) + (1 - inner) * np.log1p(-inner) / LN2)
    return np.where(is_inside, h, 0.0)


def phase_entropy(x: Array) -> Array:
    """h of an upper bound on an error rate: what lies above 1/2 is worth no more than 1/2."""
    return binary_entropy(np.minimum(x, 0.5))


def ratio(numerator: Array, denominator: Array, otherwise: float = 0.0) -> Array:
    """A quotient that is ``otherwise`` where there is nothing to divide by."""
    is_there = denominator > 0
    return np.where(is_there, numerator / np.where(is_there, denominator, 1.0), otherwise)
