"""Sending-or-not-sending twin-field QKD: Wang, Yu, Hu, Phys. Rev. A 98, 062323 (2018).

In a key window each end sends a phase-randomised pulse of intensity mu with probability p = p_send, or nothing;
whether it sent is its bit. A window counts where exactly one detector of the relay clicks. Right bits come from
windows where one end sent; single photons of those, which no photon-number splitting reaches, make the key:

    R = 2 p (1 - p) mu e^-mu s_1 [1 - h(e_1)] - f S h(E).

With eta of one arm and p_d of one detector, clicks per window are

- one sent: 2 (1 - p_d) e^(-eta mu / 2) [1 - (1 - p_d) e^(-eta mu / 2)];
- both sent: 2 (1 - p_d) e^(-eta mu) [I0(eta mu) - (1 - p_d) e^(-eta mu)], averaged over their phases: an error;
- none sent: 2 p_d (1 - p_d): an error;
- S = 2 p (1 - p) one + p^2 both + (1 - p)^2 none; E S = p^2 both + (1 - p)^2 none;
- s_1 = eta (1 - p_d) + 2 (1 - eta) p_d (1 - p_d); e_1 s_1 = eta (1 - p_d) misalignment + (1 - eta) p_d (1 - p_d).

**Actively odd-parity pairing** (``pairing = active_odd_parity``; Xu, Yu, Jiang, Hu, Wang, Phys. Rev. A 101, 042330
(2020)): Bob pairs each of his bits where he sent with one where he did not, at random; Alice says which pairs have odd
parity at hers too; one bit of each is kept. A pair survives where both of its bits are right or both wrong, so errors
become rare. Of n_s and n_n bits where Bob sent and did not, N = min(n_s, n_n) pairs are made; r_s and r_n being the
shares of right bits, N [r_s r_n + (1 - r_s)(1 - r_n)] survive, with error rate (1 - r_s)(1 - r_n) over that bracket.
Single photons are never wrong, so all pairs of two of them survive: N (u_s / n_s)(u_n / n_n), u_s = u_n = p (1 - p) mu
e^-mu s_1; a kept bit has the phase errors of both, 2 e_1 (1 - e_1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.keyrate.fibre import binary_entropy, phase_entropy, ratio
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter
from qanat.keyrate.relay import (
    ASYMPTOTIC,
    IN_THE_MIDDLE,
    PHASE_LOCKED,
    RANDOM_PHASES,
    USUAL,
    arm_transmittance,
    detector_noise,
    relay_parameters,
    single_photon_clicks,
    window_clicks,
)


@dataclass(frozen=True, slots=True)
class Bits:
    """Sifted bits per window: all, share of wrong ones, those of single photons, share of their phase errors."""

    count: Array
    qber: Array
    untagged: Array
    phase_error: Array


def paired(right: Array, both: Array, none: Array, untagged: Array, e1: Array) -> Bits:
    """After actively odd-parity pairing; ``right`` bits of each of Bob's values, ``untagged`` of single photons."""
    sent, kept_dark = right + both, right + none
    pairs = np.minimum(sent, kept_dark)
    right_pairs = ratio(right, sent) * ratio(right, kept_dark)
    wrong_pairs = ratio(both, sent) * ratio(none, kept_dark)
    survive = right_pairs + wrong_pairs
    return Bits(
        count=pairs * survive,
        qber=ratio(wrong_pairs, survive, 0.5),
        untagged=pairs * ratio(untagged, sent) * ratio(untagged, kept_dark),
        phase_error=2 * e1 * (1 - e1),
    )


def formula(values: Values) -> Found:
    """The rate per window."""
    eta, p_dark, mu, p = arm_transmittance(values), detector_noise(values), values["mu"], values["p_send"]
    one, both, none = window_clicks(eta, p_dark, mu)
    seen, dark = single_photon_clicks(eta, p_dark)
    s1, e1 = seen + dark, ratio(seen * values["misalignment"] + dark / 2, seen + dark, 0.5)
    right, both_sent, none_sent = p * (1 - p) * one, p**2 * both, (1 - p) ** 2 * none
    untagged = p * (1 - p) * mu * np.exp(-mu) * s1
    count = 2 * right + both_sent + none_sent
    bits = Bits(count, np.minimum(ratio(both_sent + none_sent, count, 0.5), 0.5), 2 * untagged, e1)
    before = bits
    if values.choice("pairing") == "active_odd_parity":
        bits = paired(right, both_sent, none_sent, untagged, e1)
    secret = bits.untagged * (1 - phase_entropy(bits.phase_error))
    correction = bits.count * values["f_ec"] * binary_entropy(bits.qber)
    return Found(
        rate=values["sifting"] * (secret - correction),
        qber=bits.qber,
        terms={
            "arm_transmittance": eta,
            "gain_before_pairing": before.count,
            "qber_before_pairing": before.qber,
            "yield_single_photon": s1,
            "phase_error_single_photon": e1,
            "gain": bits.count,
            "gain_single_photon": bits.untagged,
            "phase_error": bits.phase_error,
            "single_photon_secret": secret,
            "error_correction": correction,
        },
        sifted=values["sifting"] * bits.count,
    )


tf_sns = Protocol(
    name="tf-sns",
    title="sending-or-not-sending twin-field QKD",
    parameters=(
        *relay_parameters(detector_efficiency=0.8, p_dark=1e-11, misalignment=0.03, f_ec=1.1, source=USUAL),
        parameter("sifting", 1.0, "key windows are chosen nearly always"),
        parameter("pairing", "none", "the protocol as first published"),
        parameter("mu", 0.45, "near the best; of each end", search=(0.01, 1.5)),
        parameter("p_send", 0.03, "near the best without pairing", search=(1e-4, 0.5), is_log_search=True),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=(
        "infinitely many decoys: yield and phase errors of single photons are known",
        RANDOM_PHASES,
        PHASE_LOCKED,
        IN_THE_MIDDLE,
        ASYMPTOTIC,
    ),
    sources=(
        "Wang, Yu, Hu, PRA 98, 062323 (2018)",
        "Xu, Yu, Jiang, Hu, Wang, PRA 101, 042330 (2020), for the pairing",
    ),
    bound="single-repeater",
)
