"""Coherent one-way: the rate is 0, because none is proven. What it could never exceed is among the terms.

A signal is two slots, one of them lit (a bit) or both (a decoy). The rate formulas in print since 2008 hold against
beam splitting only (Branciard, Gisin, Scarani, New J. Phys. 10, 013031 (2008)). An attack without errors takes all key
of every link that is long enough (Gonzalez-Payo, Trenyi, Wang, Curty, Phys. Rev. Lett. 125, 260510 (2020); Trenyi and
Curty, New J. Phys. 23, 093005 (2021)): the key falls at least with the square of the transmittance.

``upper_bound_per_signal`` is the least of two bounds, both derived in docs/decisions/0053:

- beam splitting: Eve keeps the lost light, two states of overlap g = e^(-mu (1 - T)). No key can exceed the conditional
  mutual information I(A;B|E) = 1 - h(Q) - h((1 - g) / 2) + h((1 - r) / 2), r^2 = g^2 + (1 - 2 Q)^2 (1 - g^2).
- identify and resend: Eve tells each signal without error with probability p, else she knows that she failed, and
  resends what lies between two slots known as dark. A bit arrives with p u, u = p (1 - f) / (1 - p f) and f the share
  of decoys, with no error and full visibility. Where Bob expects no more clicks than that, there is no key.
"""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import binary_entropy, channel_parameters, channel_transmittance, ratio
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter


def p_identified(mu: Array) -> Array:
    """Greatest equal probability of telling (lit, dark), (dark, lit) and (lit, lit) apart without error.

    It is the least eigenvalue of the states' overlaps: 1 - p = s (sqrt(s^2 + 8) - s) / 2, s = e^(-mu / 2).
    """
    s = np.exp(-mu / 2)
    found: Array = -2 * np.expm1(-mu) / (2 + s**2 + s * np.sqrt(s**2 + 8))
    return found


def zero_error_gain(mu: Array, p_decoy: Array) -> Array:
    """Bits that the identify-and-resend attack delivers, per bit that was sent."""
    p = p_identified(mu)
    return p * p * (1 - p_decoy) / (1 - p * p_decoy)


def split_information(overlap: Array, qber: Array) -> Array:
    """I(A;B|E) in bits per sifted bit, when Eve holds one of two pure states of this overlap."""
    mixed = np.sqrt(overlap**2 + (1 - 2 * qber) ** 2 * (1 - overlap**2))
    known = binary_entropy((1 - overlap) / 2) - binary_entropy((1 - mixed) / 2)
    return np.maximum(1 - binary_entropy(qber) - known, 0.0)


def formula(values: Values) -> Found:
    """Zero, and the two bounds."""
    channel, mu, p_decoy = channel_transmittance(values), values["mu"], values["p_decoy"]
    light = -np.expm1(-mu * channel * values["detector_efficiency"] * values["data_share"])
    dark = 1 - ((1 - values["p_dark"]) * (1 - values["p_noise"])) ** 2  # one detector, two slots
    clicked = light + dark - light * dark
    qber = np.minimum(ratio(dark / 2 + values["misalignment"] * light, clicked, 0.5), 0.5)
    sifted = (1 - p_decoy) * clicked
    splitting = sifted * split_information(np.exp(-mu * (1 - channel)), qber)
    resent = zero_error_gain(mu, p_decoy)
    return Found(
        rate=np.zeros_like(sifted),
        qber=qber,
        terms={
            "gain_per_bit_sent": clicked,
            "sifted_per_signal": sifted,
            "gain_zero_error_attack": resent,
            "upper_bound_beam_splitting_per_signal": splitting,
            "upper_bound_per_signal": np.where(clicked > resent, splitting, 0.0),
        },
    )


cow = Protocol(
    name="cow",
    title="coherent one-way (legacy): upper bounds only, no secure rate",
    parameters=(
        *channel_parameters(),
        parameter("detector_efficiency", 0.1, "InGaAs avalanche diode, typical"),
        parameter("p_dark", 6e-7, "Lim et al. 2014, section IV"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("misalignment", 0.005, "extinction of the modulator, typical"),
        parameter("mu", 0.5, "photons of a lit slot, usual in experiments"),
        parameter("p_decoy", 0.1, "usual in experiments"),
        parameter("data_share", 0.9, "usual in experiments"),
        parameter("clock_hz", 5e8, "signals of two slots of a nanosecond"),
    ),
    formula=formula,
    assumptions=(
        "the rate is 0 because no secure rate is proven for the original protocol: errors and visibility do not reveal"
        " an attack that resends only what it has identified (Gonzalez-Payo et al. 2020; Trenyi, Curty 2021)",
        "upper_bound_per_signal is an upper bound: not a rate, and no promise that any key is secret",
        "a round is a signal of two slots; detections of decoys are not counted apart, as in the original protocol",
    ),
    sources=(
        "Branciard, Gisin, Scarani, NJP 10, 013031 (2008)",
        "Gonzalez-Payo, Trenyi, Wang, Curty, PRL 125, 260510 (2020)",
        "Trenyi, Curty, NJP 23, 093005 (2021)",
    ),
)
