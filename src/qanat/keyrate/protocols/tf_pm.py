"""Phase-matching QKD: Ma, Zeng, Zhou, Phys. Rev. X 8, 031043 (2018).

R = (2 / M) Q [1 - f h(E_Z) - h(E_X)]: both ends send pulses with a random phase and a bit in it, announce the phase's
slice of M, and keep rounds whose slices agree or are opposite (2 / M). mu is that of both ends together, eta of one
arm with its detector, p_d of one detector:

- Q = 1 - (1 - p_d)^2 e^(-eta mu) (the paper writes 1 - 2 p_d);
- E_Z = [p_d + eta mu (sin^2(pi / 4 M) + misalignment)] e^(-eta mu) / Q;
- E_X <= 1 - q_1 - q_3 - q_5, what is not an odd photon number counts as a phase error, with q_k = e^-mu mu^k / k! Y_k
  / Q and Y_k = 1 - (1 - p_d)^2 (1 - eta)^k.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from qanat.keyrate.fibre import background, binary_entropy, phase_entropy, ratio
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import (
    ASYMPTOTIC,
    IN_THE_MIDDLE,
    PHASE_LOCKED,
    RANDOM_PHASES,
    USUAL,
    arm_transmittance,
    clicks,
    detector_noise,
    intensity_of_both,
    relay_parameters,
)

ODD = (1, 3, 5)


def formula(values: Values) -> Found:
    """The rate per pair of pulses."""
    eta, p_dark, y0, mu = (
        arm_transmittance(values),
        detector_noise(values),
        background(values),
        intensity_of_both(values),
    )
    gain = clicks(y0, eta * mu)
    turned = np.sin(np.pi / (4 * values["slices"])) ** 2 + values["misalignment"]
    qber = np.minimum(ratio((p_dark + eta * mu * turned) * np.exp(-eta * mu), gain, 0.5), 0.5)
    odd = {}
    for k in ODD:
        sent = np.exp(-mu) * mu**k / factorial(k)
        odd[k] = ratio(sent * (1 - (1 - y0) * (1 - eta) ** k), gain)
    phase = np.clip(1 - sum(odd.values()), 0.0, 1.0)
    correction, amplification = values["f_ec"] * binary_entropy(qber), phase_entropy(phase)
    kept = values["sifting"] * values["duty_factor"] * 2 / values["slices"]
    return Found(
        rate=kept * gain * (1 - correction - amplification),
        qber=qber,
        terms={
            "arm_transmittance": eta,
            "kept_share": kept,
            "gain": gain,
            **{f"share_of_{k}_photons": share for k, share in odd.items()},
            "phase_error": phase,
            "error_correction_per_bit": correction,
            "privacy_amplification_per_bit": amplification,
        },
        sifted=kept * gain,
    )


tf_pm = Protocol(
    name="tf-pm",
    title="phase-matching QKD",
    parameters=(
        *relay_parameters(detector_efficiency=0.145, p_dark=8e-8, misalignment=0.015, f_ec=1.15, source=USUAL),
        parameter("sifting", 1.0, "signal rounds are chosen nearly always"),
        parameter("duty_factor", 1.0, "no time spent on phase references"),
        parameter("slices", 16.0, USUAL),
        parameter("mu", 0.15, "near the best", search=(1e-3, 1.5), is_log_search=True),
        parameter("mu_of", "both_ends", "as the paper counts"),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "infinitely many decoys: yields of photon numbers are known",
        RANDOM_PHASES,
        PHASE_LOCKED,
        IN_THE_MIDDLE,
        ASYMPTOTIC,
    ),
    sources=("Ma, Zeng, Zhou, PRX 8, 031043 (2018)",),
    bound="single-repeater",
)
