"""Mode-pairing (asynchronous measurement-device-independent) QKD: Zeng, Zhou, Wu, Ma, Nat. Commun. 13, 3903 (2022);
Xie et al., PRX Quantum 3, 020315 (2022).

Two rounds in which one detector of the relay clicked are paired afterwards, if they are no further apart than the
lasers keep their phase: l = pairing_rounds_max rounds. R = r_p r_s { q_11 [1 - h(e_11)] - f h(E_Z) }:

- r_p = [1 / (p (1 - (1 - p)^l)) + 1 / p]^-1, pairs per round where clicks come with probability p;
- each end sends mu with probability w = p_send, else nothing. With P(a, b) the clicks where the ends send a and b,
  c_ab is P weighted with the probability of sending so; p = c_00 + c_01 + c_10 + c_11;
- r_s = 2 (c_10 c_01 + c_11 c_00) / p^2, the share of pairs where each end sent in exactly one of the rounds: key bits;
- E_Z = c_11 c_00 / (c_10 c_01 + c_11 c_00);
- q_11 = 2 (w (1 - w) mu e^-mu s)^2 / (p^2 r_s), the share of bits from two single photons, s being a single photon's
  clicks, eta (1 - p_d) by itself and 2 (1 - eta) p_d (1 - p_d) by noise;
- e_11: two clicks by photons err as the misalignment says, others in half of the cases (``pair_errors = with_noise``);
  the benchmarks of the literature often fix it (``fixed``), which is too good where noise clicks are many.

This is the benchmark model with one intensity besides vacuum and infinitely many decoys, at equal arms.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import binary_entropy, phase_entropy, ratio
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import (
    ASYMPTOTIC,
    IN_THE_MIDDLE,
    RANDOM_PHASES,
    arm_transmittance,
    detector_noise,
    relay_parameters,
    single_photon_clicks,
    window_clicks,
)

BENCHMARK = "ours, near the experiments"


def pairing_rate(p: Array, rounds_max: Array) -> Array:
    """r_p: pairs per round.

    Example:
        >>> float(pairing_rate(np.array(1e-3), np.array(1e6)))
        0.0005
    """
    is_near = -np.expm1(rounds_max * np.log1p(-p))
    return ratio(p * is_near, 1 + is_near)


def formula(values: Values) -> Found:
    """The rate per round, a pair of pulses."""
    eta, p_dark, mu, w = arm_transmittance(values), detector_noise(values), values["mu"], values["p_send"]
    one, both, none = window_clicks(eta, p_dark, mu)
    c10, c11, c00 = w * (1 - w) * one, w**2 * both, (1 - w) ** 2 * none
    p = 2 * c10 + c11 + c00
    paired = pairing_rate(p, values["pairing_rounds_max"])
    right, wrong = c10**2, c11 * c00
    sifted = ratio(2 * (right + wrong), p**2)
    qber = np.minimum(ratio(wrong, right + wrong, 0.5), 0.5)
    seen, dark = single_photon_clicks(eta, p_dark)
    q11 = ratio((w * (1 - w) * mu * np.exp(-mu) * (seen + dark)) ** 2, right + wrong)
    e11 = values["misalignment"] + 0 * eta
    if values.choice("pair_errors") == "with_noise":
        by_photons = ratio(seen, seen + dark) ** 2
        e11 = 0.5 - (0.5 - e11) * by_photons
    correction, secret = values["f_ec"] * binary_entropy(qber), q11 * (1 - phase_entropy(e11))
    return Found(
        rate=paired * sifted * (secret - correction),
        qber=qber,
        terms={
            "arm_transmittance": eta,
            "p_click": p,
            "pairs_per_round": paired,
            "sifted_share_of_pairs": sifted,
            "share_of_single_photon_pairs": q11,
            "phase_error_single_photon_pairs": e11,
            "secret_per_bit": secret,
            "error_correction_per_bit": correction,
        },
        sifted=paired * sifted,
    )


mode_pairing = Protocol(
    name="mode-pairing",
    title="mode-pairing (asynchronous MDI) QKD",
    parameters=(
        *relay_parameters(detector_efficiency=0.2, p_dark=1e-8, misalignment=0.04, f_ec=1.1, source=BENCHMARK),
        parameter("pair_errors", "with_noise", "ours; benchmarks use fixed"),
        parameter("pairing_rounds_max", 2000.0, "2 us at 1 GHz: lasers without a common reference"),
        parameter("p_send", 0.5, "the benchmark model", search=(0.02, 0.8)),
        parameter("mu", 0.45, "near the best; of each end", search=(0.01, 1.5)),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "infinitely many decoys: single-photon pairs and their phase errors are known",
        RANDOM_PHASES,
        "the lasers keep their relative phase for pairing_rounds_max rounds; what drifts is in the misalignment",
        IN_THE_MIDDLE,
        ASYMPTOTIC,
    ),
    sources=("Zeng, Zhou, Wu, Ma, Nat. Commun. 13, 3903 (2022)", "Xie et al., PRX Quantum 3, 020315 (2022)"),
    bound="single-repeater",
)
