"""Asymptotic decoy-state BB84: Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005), and one decoy.

Its bounds are those of the finite keys (``decoy.py``), with counts per pulse of one intensity in place of scaled ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.keyrate import trojan
from qanat.keyrate.decoy import single_photon_errors_from, single_photons_from, vacuum_from
from qanat.keyrate.fibre import background, binary_entropy, phase_entropy, ratio, transmittance
from qanat.keyrate.parameter import ONE, ZERO, Array
from qanat.keyrate.protocol import Found, Values


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
    y0 = np.maximum(vacuum_from(ONE, nu, omega, q_nu, q_omega), 0.0)
    y1 = single_photons_from(ONE, (mu, nu, omega), q_mu, q_nu, q_omega, y0)
    m_nu, m_omega = (channel.errors(each) * np.exp(each) for each in (nu, omega))
    wrong = single_photon_errors_from(ONE, nu, omega, m_nu, m_omega)
    return y0, np.maximum(y1, 0.0), np.minimum(ratio(wrong, y1, 0.5), 0.5)


def bounds_one(channel: Channel, mu: Array, nu: Array) -> tuple[Array, Array, Array]:
    """The same from mu and nu alone: half of what empty pulses make are errors, so errors bound it from above."""
    q_mu, q_nu = (channel.gain(each) * np.exp(each) for each in (mu, nu))
    m_mu, m_nu = (channel.errors(each) * np.exp(each) for each in (mu, nu))
    y0 = np.maximum(vacuum_from(ONE, mu, nu, q_mu, q_nu), 0.0)
    most: Array = 2 * np.minimum(m_mu, m_nu)
    y1 = single_photons_from(ONE, (mu, nu, ZERO), q_mu, q_nu, most, most)
    wrong = single_photon_errors_from(ONE, mu, nu, m_mu, m_nu)
    return y0, np.maximum(y1, 0.0), np.minimum(ratio(wrong, y1, 0.5), 0.5)


def asymptotic(values: Values) -> Found:
    """Eq. (1) of Ma et al."""
    channel = Channel(transmittance(values), background(values), values["misalignment"], values["p_afterpulse"])
    mu, variant = values["mu"], values.choice("decoys")
    if variant == "infinite":
        y0, (y1, e1) = channel.y0, channel.single
    elif variant == "one":
        y0, y1, e1 = bounds_one(channel, mu, values["nu"])
    else:
        y0, y1, e1 = bounds(channel, mu, values["nu"], omega_of(values))
    gain, q1 = channel.gain(mu), y1 * mu * np.exp(-mu)
    qber = np.minimum(ratio(channel.errors(mu), gain, 0.5), 0.5)
    correction = gain * values["f_ec"] * binary_entropy(qber)
    phase = trojan.phase_error(values, e1, y1)
    secret = q1 * (1 - phase_entropy(phase))
    vacuum = y0 * np.exp(-mu) * credits_vacuum(values, by_source=False)
    return Found(
        rate=values["sifting"] * (vacuum + secret - correction),
        qber=qber,
        terms={
            "gain": gain,
            "yield_vacuum": y0,
            "yield_single_photon": y1,
            "error_single_photon": e1,
            "phase_error_single_photon": phase,
            "gain_single_photon": q1,
            "vacuum_secret": vacuum,
            "single_photon_secret": secret,
            "error_correction": correction,
        },
        assumptions=("asymptotic: no finite-size effects", trojan.ASSUMPTION),
        sifted=values["sifting"] * gain,
    )


def credits_vacuum(values: Values, *, by_source: bool) -> bool:
    """Whether empty pulses count as secret: as asked, else as the formula's source has it."""
    return values.choice("vacuum") == "credited" if "vacuum" in values else by_source


def omega_of(values: Values) -> Array:
    """Of the weakest decoy: vacuum unless there are two free ones."""
    return values["omega"] * (values.choice("decoys") == "two")
