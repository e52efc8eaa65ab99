"""Twin-field QKD without phase post-selection: Curty, Azuma, Lo, npj Quantum Inf. 5, 64 (2019).

Key rounds send coherent states of amplitude +a or -a, test rounds phase-randomised light; the relay announces which
one detector clicked. R = 2 p_XX [1 - f h(e_XX) - h(e_Z)], the 2 for the two detectors. With g = eta a^2 arriving from
each end and W = 1 - 2 misalignment:

- p_XX = (1 - p_d) e^-g [cosh(g W) - (1 - p_d) e^-g], the probability that one given detector alone clicks;
- e_XX = [e^(-g W) - (1 - p_d) e^-g] / (2 [cosh(g W) - (1 - p_d) e^-g]);
- e_Z <= (1 / p_XX) sum over j = 0, 1 of [sum over m, n of parity j of c_m c_n sqrt(Y_mn)]^2, c_n = e^(-a^2 / 2) a^n /
  sqrt(n!): the phase error follows from the yields Y_mn of photon numbers m and n, which decoys measure.

How the Y_mn are known is the variant. ``infinite`` decoys know them exactly up to 11 photons; what is brighter counts
as Y_mn = 1, which can only lower the rate; near the best a^2 this changes it by less than 1e-9. In closed form, for
this channel: P(none at the other detector) = sum_j C(m, j) C(n, j) (1 - eta / 2)^(m + n - 2 j) (eta / 2)^(2 j), a
permanent of the beam splitter's matrix, and Y_mn = (1 - p_d) [P(none at the other) - (1 - p_d)(1 - eta)^(m + n)].

``two`` has test rounds of three intensities, mu_test > nu > omega, and bounds Y_mn for up to two photons of each end
(ours; docs/decisions/0051). F(a, b) = e^(a + b) G(a, b) = sum_mn a^m b^n Y_mn / (m! n!), G being the measured gains; a
divided difference of F of order m in a and n in b is Y_mn / (m! n!) plus terms of which none is negative. So it bounds
Y_mn from above, whatever the relay does. Y_mn of more photons counts as 1. ``vacuum_weak`` is the same with omega = 0.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.decoy_asymptotic import omega_of
from qanat.keyrate.fibre import binary_entropy, phase_entropy, ratio
from qanat.keyrate.photon_pairs import CUT, CUT_DECOYS, gain_of_test_light, phase_errors, yield_bounds, yields
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import (
    ASYMPTOTIC,
    IN_THE_MIDDLE,
    INFINITE_DECOYS,
    PHASE_LOCKED,
    USUAL,
    arm_transmittance,
    decoy_order,
    detector_noise,
    is_exact,
    relay_parameters,
)


def formula(values: Values) -> Found:
    """The rate per pair of key pulses."""
    eta, p_dark, mu = arm_transmittance(values), detector_noise(values), values["mu"]
    g, w = eta * mu, 1 - 2 * values["misalignment"]
    # cosh(g W) - (1 - p_d) e^-g, from three parts of which none is negative
    bright = 2 * np.sinh(g * w / 2) ** 2 - np.expm1(-g) + p_dark * np.exp(-g)
    gain = (1 - p_dark) * np.exp(-g) * bright
    qber = np.minimum(ratio(np.exp(-g) * (np.expm1(g * (1 - w)) + p_dark), 2 * bright, 0.5), 0.5)
    if is_exact(values):
        known, cut = yields(eta, p_dark), CUT
    else:
        tests = (omega_of(values), values["nu"], values["mu_test"])
        known, cut = yield_bounds(lambda a, b: gain_of_test_light(eta, p_dark, a, b), tests), CUT_DECOYS
    phase = np.minimum(ratio(phase_errors(known, cut, mu), gain, 0.5), 0.5)
    correction, amplification = values["f_ec"] * binary_entropy(qber), phase_entropy(phase)
    both = 2 * values["sifting"] * gain
    return Found(
        rate=both * (1 - correction - amplification),
        qber=qber,
        terms={
            "arm_transmittance": eta,
            "gain_per_detector": gain,
            **{f"yield_{m}_{n}": known[m, n] for m, n in ((0, 0), (1, 1), (0, 2), (2, 2))},
            "phase_error": phase,
            "error_correction_per_bit": correction,
            "privacy_amplification_per_bit": amplification,
        },
        assumptions=INFINITE_DECOYS if is_exact(values) else (),
        sifted=both,
    )


tf_cal = Protocol(
    name="tf-cal",
    title="twin-field QKD of Curty, Azuma and Lo",
    parameters=(
        *relay_parameters(detector_efficiency=1.0, p_dark=1e-8, misalignment=0.02, f_ec=1.16, source=USUAL),
        parameter("sifting", 1.0, "key rounds are chosen nearly always"),
        parameter("decoys", "infinite", "yields known; finite decoys by choice"),
        parameter("mu", 0.0366, "near the best; a^2, of each end", search=(1e-3, 0.5), is_log_search=True),
        parameter("mu_test", 0.1, "ours: bright enough to count, dim enough to bound well"),
        parameter("nu", 0.02, "ours, likewise"),
        parameter("omega", 0.0, "vacuum"),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "test light is phase-randomised, key light has one of two phases; test rounds may be rare",
        PHASE_LOCKED,
        IN_THE_MIDDLE,
        ASYMPTOTIC,
    ),
    constraints=decoy_order("mu_test", "mu_test must be brighter than nu"),
    sources=("Curty, Azuma, Lo, npj Quantum Inf. 5, 64 (2019)",),
    bound="single-repeater",
)
