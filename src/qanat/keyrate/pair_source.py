"""Coincidences of a down-conversion source between two ends: gain and errors per pump pulse.

Source: Ma, Fung, Lo, Phys. Rev. A 76, 012307 (2007), section III: one Schmidt mode, lambda half the mean number of
pairs. Their error formula neglects dark counts in its last term and takes the misalignment per pulse, not per photon.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import background, channel_loss_db, channel_parameters, ratio
from qanat.keyrate.parameter import Array, Parameter
from qanat.keyrate.protocol import Values
from qanat.keyrate.quantities import parameter


def pair_parameters() -> tuple[Parameter, ...]:
    """What a link with a pair source asks for, besides how well the pairs agree."""
    return (
        *channel_parameters(),
        parameter("source_share", 0.5, "in the middle"),
        parameter("detector_efficiency", 0.145, "Ma, Fung, Lo 2007, section IV"),
        parameter("p_dark", 3.01e-6, "Ma, Fung, Lo 2007, section IV: Y0 = 6.02e-6 of two detectors"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours; Ma, Fung, Lo give Y0 of each end"),
        parameter("mean_pairs", 0.1, "near the best", search=(0.001, 1.0), is_log_search=True),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("sifting", 1.0, "the key basis is chosen nearly always"),
        parameter("clock_hz", 1e9, "a fast pump"),
    )


def coincidences(values: Values, misalignment: Array) -> tuple[Array, Array]:
    """Gain Q and error rate E, section III; a = eta_A lambda, b = eta_B lambda, y = 1 - Y0.

    Q = 1 - y_A / (1 + a)^2 - y_B / (1 + b)^2 + y_A y_B / (1 + a + b - eta_A eta_B lambda)^2;
    E Q = Q / 2 - (1 - 2 e_d) eta_A eta_B lambda (1 + lambda) / ((1 + a) (1 + b) (1 + a + b - eta_A eta_B lambda)).
    """
    lam, y0 = values["mean_pairs"] / 2, background(values)
    share, loss_db = values["source_share"], channel_loss_db(values)
    eta_a, eta_b = (values["detector_efficiency"] * 10 ** (-part * loss_db / 10) for part in (share, 1 - share))
    a, b, y = eta_a * lam, eta_b * lam, 1 - y0
    both = eta_a * eta_b * lam
    # The same Q without cancellation where little arrives: 1 - u - v + w = (1 - u) (1 - v) + (w - u v), and
    # apart - joint = a b + both.
    u, v = y / (1 + a) ** 2, y / (1 + b) ** 2
    apart, joint = (1 + a) * (1 + b), 1 + a + b - both
    gain = _clicks(y0, a) * _clicks(y0, b) + u * v * (a * b + both) * (apart + joint) / joint**2
    agree = (1 - 2 * misalignment) * both * (1 + lam) / (apart * joint)
    return gain, np.clip(ratio(gain / 2 - agree, gain, 0.5), 0.0, 0.5)


def _clicks(y0: Array, a: Array) -> Array:
    """1 - (1 - Y0) / (1 + a)^2: an end clicks."""
    return (y0 + a * (2 + a)) / (1 + a) ** 2
