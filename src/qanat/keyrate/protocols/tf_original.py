"""Twin-field QKD as first published: Lucamarini, Yuan, Dynes, Shields, Nature 557, 400 (2018).

R = q (d / M) { Q_1 [1 - h(e_1)] - f Q h(E) }: decoy BB84 over half of the fibre, of which only rounds are kept where
both ends drew the same of M phase slices (1 / M) while the light was not spent on phase references (duty factor d).
Phases within a slice still differ; the error that this leaves is E_M = 1/2 - M / (4 pi) sin(2 pi / M), 1.275 % for 16
slices, and joins the misalignment e as e + E_M - 2 e E_M. With Y_0 of the two detectors: Q = 1 - (1 - Y_0) e^(-eta
mu), E Q = Y_0 / 2 + e' (1 - e^(-eta mu)), Y_1 = Y_0 + eta, e_1 Y_1 = Y_0 / 2 + e' eta. mu is that of both ends
together.

The first paper argued for security only in part: announcing the slices tells more than decoy BB84 allows for.
``tf-cal``, ``tf-sns`` and ``tf-pm`` have proofs; this one is the field's reference curve.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import background, binary_entropy, phase_entropy, ratio
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import (
    ASYMPTOTIC,
    IN_THE_MIDDLE,
    PHASE_LOCKED,
    USUAL,
    arm_transmittance,
    clicks,
    intensity_of_both,
    relay_parameters,
)


def slice_error(slices: Array) -> Array:
    """E_M: mean of sin^2 of half the phase difference of two phases in the same of M slices.

    Example:
        >>> round(float(slice_error(np.array(16.0))), 5)
        0.01275
    """
    return 0.5 - slices / (4 * np.pi) * np.sin(2 * np.pi / slices)


def formula(values: Values) -> Found:
    """The rate per pair of pulses."""
    eta, y0, mu = arm_transmittance(values), background(values), intensity_of_both(values)
    within, apart = slice_error(values["slices"]), values["misalignment"]
    wrong = apart + within - 2 * apart * within
    gain, light = clicks(y0, eta * mu), -np.expm1(-eta * mu)
    qber = np.minimum(ratio(y0 / 2 + wrong * light, gain, 0.5), 0.5)
    y1 = y0 + eta
    e1 = ratio(y0 / 2 + wrong * eta, y1, 0.5)
    q1 = y1 * mu * np.exp(-mu)
    kept = values["sifting"] * values["duty_factor"] / values["slices"]
    secret, correction = q1 * (1 - phase_entropy(e1)), gain * values["f_ec"] * binary_entropy(qber)
    return Found(
        rate=kept * (secret - correction),
        qber=qber,
        terms={
            "arm_transmittance": eta,
            "kept_share": kept,
            "slice_error": within,
            "gain": gain,
            "yield_single_photon": y1,
            "error_single_photon": e1,
            "gain_single_photon": q1,
            "single_photon_secret": secret,
            "error_correction": correction,
        },
        sifted=kept * gain,
    )


tf_original = Protocol(
    name="tf-original",
    title="twin-field QKD as first published (no full security proof)",
    parameters=(
        *relay_parameters(detector_efficiency=0.3, p_dark=1e-8, misalignment=0.03, f_ec=1.15, source=USUAL),
        parameter("sifting", 1.0, "the key basis is chosen nearly always"),
        parameter("duty_factor", 1.0, "no time spent on phase references"),
        parameter("slices", 16.0, USUAL),
        parameter("mu", 0.45, "near the best", search=(0.01, 1.5)),
        parameter("mu_of", "both_ends", "as the paper counts"),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "NOT PROVEN SECURE as stated: announced phases are taken to help an eavesdropper no more than in decoy BB84",
        "infinitely many decoys",
        PHASE_LOCKED,
        IN_THE_MIDDLE,
        ASYMPTOTIC,
    ),
    sources=("Lucamarini, Yuan, Dynes, Shields, Nature 557, 400 (2018)",),
    bound="single-repeater",
)
