"""BB84 with single photons: asymptotic. Shor and Preskill, Phys. Rev. Lett. 85, 441 (2000); GLLP, QIC 4, 325 (2004)."""

from __future__ import annotations

import numpy as np

from qanat.keyrate.fibre import (
    background,
    binary_entropy,
    channel_parameters,
    phase_entropy,
    ratio,
    transmittance,
)
from qanat.keyrate.parameter import Array, Parameter
from qanat.keyrate.protocol import Found, Protocol, Values
from qanat.keyrate.quantities import parameter


def single_photon_clicks(values: Values) -> tuple[Array, Array]:
    """Yield Y = 1 - (1 - Y0)(1 - eta) and error rate E = (Y0 / 2 + misalignment * eta) / Y of one-photon pulses."""
    eta, y0 = transmittance(values), background(values)
    clicked = y0 + eta - y0 * eta
    return clicked, np.minimum(ratio(y0 / 2 + values["misalignment"] * eta, clicked, 0.5), 0.5)


def formula(values: Values) -> Found:
    """R = q Y [1 - f h(E) - h(E)]: the phase error rate of a symmetric channel is its bit error rate."""
    clicked, qber = single_photon_clicks(values)
    correction, phase = values["f_ec"] * binary_entropy(qber), phase_entropy(qber)
    return Found(
        rate=values["sifting"] * clicked * (1 - correction - phase),
        qber=qber,
        terms={"gain": clicked, "error_correction_per_bit": correction, "privacy_amplification_per_bit": phase},
    )


def single_photon_parameters() -> tuple[Parameter, ...]:
    """What single-photon protocols ask for."""
    return (
        *channel_parameters(),
        parameter("detector_efficiency", 0.1, "InGaAs avalanche diode, typical"),
        parameter("p_dark", 6e-7, "Lim et al. 2014, section IV"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours"),
        parameter("misalignment", 0.005, "Lim et al. 2014, section IV"),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("sifting", 1.0, "efficient BB84: the key basis is chosen nearly always"),
        parameter("clock_hz", 1e9, "a fast source"),
    )


bb84 = Protocol(
    name="bb84",
    title="BB84, single photons, asymptotic",
    parameters=single_photon_parameters(),
    formula=formula,
    assumptions=("the source emits exactly one photon per pulse", "asymptotic: no finite-size effects"),
    sources=("Shor, Preskill, PRL 85, 441 (2000)", "Gottesman, Lo, Lutkenhaus, Preskill, QIC 4, 325 (2004)"),
)
