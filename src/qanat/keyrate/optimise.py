"""The best settings for a link: intensities, their probabilities and the basis bias, by search.

For studies and for choosing a datasheet's settings. The live path uses the settings it was given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.channel_model import LinkModel, pulses_for_key_detections, rate_per_pulse
from qanat.keyrate.counts import CountsError
from qanat.keyrate.decoy import DecoySettings

_DOUBLINGS_MAX = 30.0  # a block 1e9 times larger: beyond that no block size helps

# Where the search starts: (p_x, p1, p2, mu1, mu2).
_STARTS = ((0.85, 0.40, 0.45, 0.45, 0.20), (0.65, 0.15, 0.60, 0.50, 0.18))


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """Best settings found, and the expected secret bits per pulse; 0 when none gives key."""

    rate: float
    p_x: float
    settings: DecoySettings
    epsilon_sec: float


def best_settings(
    model: LinkModel,
    *,
    length_km: float,
    epsilon_cor: float,
    n_x: float | None = None,
    n_pulses: float | None = None,
    epsilon_sec: float | None = None,
    epsilon_per_bit: float | None = None,
    weakest_intensity: float = 2e-4,
) -> Optimum:
    """Search by Nelder-Mead from several starts; no claim that nothing better exists.

    Args:
        n_x, n_pulses: Block size, exactly one of them.
        epsilon_sec, epsilon_per_bit: Secrecy of the block, or per secret bit (the paper's kappa, then
            solved as a fixed point); exactly one of them.
        weakest_intensity: mu3, held fixed.

    Raises:
        ValueError: not exactly one of each pair.
    """
    from scipy.optimize import minimize  # noqa: PLC0415 - only studies need scipy

    if (epsilon_sec is None) == (epsilon_per_bit is None) or (n_x is None) == (n_pulses is None):
        raise ValueError("give one of n_x and n_pulses, and one of epsilon_sec and epsilon_per_bit")

    def evaluate(x: NDArray[np.float64], scale: float) -> Optimum:
        p_x, settings = _settings_from(x.tolist(), weakest_intensity)
        per_detection = pulses_for_key_detections(model, settings, length_km=length_km, p_x=p_x, n_x=1.0)
        pulses = scale * (n_pulses if n_pulses is not None else (n_x or 0.0) * per_detection)

        def rate(epsilon: float) -> float:
            return rate_per_pulse(
                model,
                settings,
                length_km=length_km,
                p_x=p_x,
                epsilon_sec=epsilon,
                epsilon_cor=epsilon_cor,
                n_pulses=pulses,
            )

        if epsilon_sec is not None:
            return Optimum(rate=rate(epsilon_sec), p_x=p_x, settings=settings, epsilon_sec=epsilon_sec)
        found, epsilon = _fixed_point(rate, (epsilon_per_bit or 0.0) * pulses)
        return Optimum(rate=found, p_x=p_x, settings=settings, epsilon_sec=epsilon)

    def doublings_missing(x: NDArray[np.float64]) -> float:
        """How often the block would have to be doubled before these settings give key."""
        low, high = 0.0, _DOUBLINGS_MAX
        if evaluate(x, 2.0**high).rate <= 0:
            return high
        while high - low > 1e-3:
            middle = (low + high) / 2
            low, high = (low, middle) if evaluate(x, 2.0**middle).rate > 0 else (middle, high)
        return high

    def cost(x: NDArray[np.float64]) -> float:
        try:
            rate = evaluate(x, 1.0).rate
            # Without key the rate shows no way to it (an empty link would look best); the block size does.
            return -rate if rate > 0 else doublings_missing(x)
        except (CountsError, OverflowError):
            return _DOUBLINGS_MAX

    candidates = []
    for start in _STARTS:
        x = np.array(_point_from(*start))
        for _ in range(3):  # a fresh simplex gets the search out of a collapsed one
            # Absolute tolerances: 1e-14 is 1e-8 of the smallest rate worth having, 1e-6 bits per pulse.
            x = minimize(cost, x, method="Nelder-Mead", options={"xatol": 1e-5, "fatol": 1e-14, "maxfev": 600}).x
            if cost(x) > 0:
                break  # no key here: refining how much is missing would be the slowest part
        candidates.append(x)
    found = evaluate(min(candidates, key=cost), 1.0)
    return Optimum(rate=max(0.0, found.rate), p_x=found.p_x, settings=found.settings, epsilon_sec=found.epsilon_sec)


def _fixed_point(rate: Callable[[float], float], epsilon_per_rate: float) -> tuple[float, float]:
    """The rate r with epsilon = epsilon_per_rate * r, from above: a smaller epsilon gives a smaller rate."""
    epsilon = min(0.5, epsilon_per_rate)
    found = rate(epsilon)
    for _ in range(20):
        if found <= 0:
            break
        previous, epsilon = found, min(0.5, epsilon_per_rate * found)
        found = rate(epsilon)
        if abs(found - previous) <= 1e-10 * previous:
            break
    return found, epsilon


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def _point_from(p_x: float, p1: float, p2: float, mu1: float, mu2: float) -> tuple[float, ...]:
    p3 = 1 - p1 - p2
    return (_logit(p_x), math.log(p1 / p3), math.log(p2 / p3), math.log(mu1), _logit(mu2 / mu1))


def _settings_from(x: Sequence[float], mu3: float) -> tuple[float, DecoySettings]:
    p_x = _sigmoid(x[0])
    weights = (math.exp(x[1]), math.exp(x[2]), 1.0)
    total = math.fsum(weights)
    mu1 = math.exp(x[3])
    # Fences far outside any use, so that the search does not wander off where no key is anyway.
    if not (1e-6 < p_x < 1 - 1e-6 and mu1 < 2 and min(weights) > 1e-4 * total):
        raise CountsError(f"p_x {p_x}, mu1 {mu1}, weights {weights} are out of reach")
    settings = DecoySettings(
        intensities=(mu1, mu1 * _sigmoid(x[4]), mu3),
        p_intensities=(weights[0] / total, weights[1] / total, weights[2] / total),
    )
    return p_x, settings
