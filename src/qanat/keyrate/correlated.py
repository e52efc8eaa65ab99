"""Correlated intensities: a pulse's mean photon number depends on the settings of the pulses before it.

Up to ``correlation_length`` l pulses back count, and move it by at most ``correlation_spread`` d of its nominal value,
up or down (pattern effect: Yoshino et al., npj Quantum Inf. 4, 8 (2018)). So later pulses tell Eve something of a
pulse's setting, and she may treat the settings differently: yields of n photons need no longer be equal. That this is
bounded by how far the states of the later pulses differ is shown by Zapatero, Navarrete, Tamaki, Curty, Quantum 5, 602
(2021), of which we could read the abstract only. Own derivation:

Fix all settings before a pulse. Given its photon number n, its own state is the same for every intensity setting; the
next l pulses' states are not. Each is a Poisson mixture of photon numbers with a mean between a (1 - d) and a (1 + d);
two such have a fidelity (sum of sqrt(p p')) of exp(-(sqrt m - sqrt m')^2 / 2) >= exp(-a (1 - sqrt(1 - d^2))). So l of
them, with a <= mu (or what drift and seeding make of it), mixed over later settings (fidelity is concave), have

    cos(theta) >= exp(-l mu (1 - sqrt(1 - d^2))).

A measurement cannot raise the angle between states: the probabilities y, y' of any outcome, a click or an error, for
two settings obey |arcsin sqrt(y) - arcsin sqrt(y')| <= theta. The function y' = sin^2(arcsin sqrt(y) + theta), 1 where
it has reached that, is concave, so that the same holds between means over photon numbers and settings before. Hence a
decoy's observed gain, seen as an angle, is at most theta away from the gain that it would have with the *signal's*
yields, and so are its errors. With gains widened by that, and intensities within their intervals, the bounds of
``uncertain_light`` hold for the signal's single photons.

What is assumed besides: nothing depends on earlier bits and bases; observed frequencies are means of single rounds.
Asymptotic.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.decoy_light import Counts
from qanat.keyrate.parameter import ZERO, Array
from qanat.keyrate.protocol import Constraint, Values

ASSUMPTION = (
    "intensities depend on earlier intensity settings alone, correlation_length pulses back and by correlation_spread"
    " at most; frequencies are means of single rounds (own derivation after Zapatero et al. 2021)"
)


def spread_of(values: Values) -> Array:
    """``correlation_spread``, 0 where it is not asked for."""
    if "correlation_spread" not in values:
        return ZERO
    return values["correlation_spread"]


def is_correlated(values: Values) -> bool:
    """Whether any pulse tells of those before it."""
    return bool(spread_of(values).any())


def angle(values: Values) -> Array:
    """theta, at most pi / 2."""
    spread = values["correlation_spread"]
    apart = spread**2 / (1 + np.sqrt(1 - spread**2))  # 1 - sqrt(1 - d^2)
    brightest = values["mu"] * (1 + values["intensity_spread"]) * (1 + values["intensity_rise"])
    exponent = values["correlation_length"] * brightest * apart
    found: Array = np.arcsin(np.sqrt(-np.expm1(-2 * exponent)))
    return found


def widened(values: Values, seen: Counts) -> tuple[Counts, Counts]:
    """Gains or errors, the signal's first, as they may be with the signal's yields: at least, and at most."""
    signal, *decoys = seen
    if not is_correlated(values):
        return seen, seen
    theta = angle(values)
    angles = [np.arcsin(np.sqrt(np.clip(each, 0.0, 1.0))) for each in decoys]
    low = (np.sin(np.maximum(each - theta, 0.0)) ** 2 for each in angles)
    high = (np.sin(np.minimum(each + theta, np.pi / 2)) ** 2 for each in angles)
    return (signal, *low), (signal, *high)


NO_CORRELATION_IN_A_BLOCK = Constraint(
    name="correlation_spread",
    text="the bound on correlated pulses is asymptotic: correlation_spread must be 0 with a block size",
    holds=lambda values: np.asarray(
        ("n_x" not in values and "n_sent" not in values) | (values["correlation_spread"] == 0.0)
    ),
)
