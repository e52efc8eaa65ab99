"""Decoy-state BB84, asymptotic: Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005).

R = q { -Q_mu f h(E_mu) + Q_1 [1 - h(e_1)] }, eq. (1), with Q_1 = Y_1 mu e^-mu. How Y_1 and e_1 are known is the
variant: ``infinite`` decoys know them exactly, ``two`` bounds them from decoys nu and omega (eqs. 18, 21, 25),
``vacuum_weak`` is the same with omega = 0 (eqs. 34, 37).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.keyrate.fibre import (
    background,
    binary_entropy,
    channel_parameters,
    phase_entropy,
    ratio,
    transmittance,
)
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Constraint, Found, Protocol, Values
from qanat.keyrate.quantities import parameter


@dataclass(frozen=True, slots=True)
class Channel:
    """Expected clicks of a two-detector receiver, afterpulses included as a share of the clicks."""

    eta: Array
    y0: Array
    misalignment: Array
    p_afterpulse: Array

    def gain(self, mu: Array) -> Array:
        """Q_mu = Y0 + 1 - e^(-eta mu), eq. (10), times 1 + p_afterpulse."""
        return (self.y0 - np.expm1(-self.eta * mu)) * (1 + self.p_afterpulse)

    def errors(self, mu: Array) -> Array:
        """E_mu Q_mu = Y0 / 2 + misalignment (1 - e^(-eta mu)), eq. (11), and half of the afterpulses."""
        light = -np.expm1(-self.eta * mu)
        return self.y0 / 2 + self.misalignment * light + self.p_afterpulse * (self.y0 + light) / 2

    @property
    def single(self) -> tuple[Array, Array]:
        """True Y_1 and e_1, eqs. (7) and (9)."""
        y1 = (self.y0 + self.eta) * (1 + self.p_afterpulse)
        wrong = self.y0 / 2 + self.misalignment * self.eta + self.p_afterpulse * (self.y0 + self.eta) / 2
        return y1, ratio(wrong, y1, 0.5)


def bounds(channel: Channel, mu: Array, nu: Array, omega: Array) -> tuple[Array, Array, Array]:
    """Y_0 and Y_1 from below, e_1 from above, from the gains of mu > nu + omega, nu > omega >= 0."""
    q_mu, q_nu, q_omega = (channel.gain(each) * np.exp(each) for each in (mu, nu, omega))
    y0 = np.maximum((nu * q_omega - omega * q_nu) / (nu - omega), 0.0)
    y1 = (mu / (mu * nu - mu * omega - nu**2 + omega**2)) * (q_nu - q_omega - (nu**2 - omega**2) / mu**2 * (q_mu - y0))
    wrong = channel.errors(nu) * np.exp(nu) - channel.errors(omega) * np.exp(omega)
    return y0, np.maximum(y1, 0.0), np.minimum(ratio(wrong, (nu - omega) * y1, 0.5), 0.5)


def formula(values: Values) -> Found:
    """Eq. (1), per emitted pulse."""
    channel = Channel(transmittance(values), background(values), values["misalignment"], values["p_afterpulse"])
    mu, variant = values["mu"], values.choice("decoys")
    y0 = channel.y0
    if variant == "infinite":
        y1, e1 = channel.single
    else:
        y0, y1, e1 = bounds(channel, mu, values["nu"], _omega(values))
    gain, q1 = channel.gain(mu), y1 * mu * np.exp(-mu)
    qber = np.minimum(ratio(channel.errors(mu), gain, 0.5), 0.5)
    correction = gain * values["f_ec"] * binary_entropy(qber)
    secret = q1 * (1 - phase_entropy(e1))
    return Found(
        rate=values["sifting"] * (secret - correction),
        qber=qber,
        terms={
            "gain": gain,
            "yield_vacuum": y0,
            "yield_single_photon": y1,
            "error_single_photon": e1,
            "gain_single_photon": q1,
            "single_photon_secret": secret,
            "error_correction": correction,
        },
        sifted=values["sifting"] * gain,
    )


def _has_decoys(values: Values) -> bool:
    return values.choice("decoys") != "infinite"


def _omega(values: Values) -> Array:
    return values["omega"] * (values.choice("decoys") != "vacuum_weak")


ORDER = (  # eq. (12): the bounds hold for these only
    Constraint(
        name="nu",
        text="nu must be brighter than omega",
        holds=lambda values: np.asarray((values["nu"] > _omega(values)) | (not _has_decoys(values))),
    ),
    Constraint(
        name="mu",
        text="nu + omega must be less than mu, or the bound on Y_1 does not hold",
        holds=lambda values: np.asarray((values["nu"] + _omega(values) < values["mu"]) | (not _has_decoys(values))),
    ),
)

decoy_bb84 = Protocol(
    name="decoy-bb84",
    title="decoy-state BB84 with weak coherent pulses",
    parameters=(
        *channel_parameters(),
        parameter("detector_efficiency", 0.1, "Lim et al. 2014, section IV"),
        parameter("p_dark", 6e-7, "Lim et al. 2014, section IV"),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours; Ma et al. give Y0 per pulse"),
        parameter("p_afterpulse", 0.0, "none"),
        parameter("misalignment", 0.005, "Lim et al. 2014, section IV"),
        parameter("f_ec", 1.16, "Lim et al. 2014, section IV"),
        parameter("sifting", 1.0, "the key basis is chosen nearly always"),
        parameter("decoys", "vacuum_weak", "the variant in use"),
        parameter("mu", 0.48, "Ma et al. 2005, section V", search=(0.01, 1.2)),
        parameter("nu", 0.05, "Ma et al. 2005, section V"),
        parameter("omega", 0.0, "vacuum"),
        parameter("clock_hz", 1e9, "a fast source"),
    ),
    formula=formula,
    assumptions=("phase-randomised pulses: photon numbers follow Poisson's law", "asymptotic: no finite-size effects"),
    constraints=ORDER,
    sources=("Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005)", "Lo, Ma, Chen, PRL 94, 230504 (2005)"),
)
