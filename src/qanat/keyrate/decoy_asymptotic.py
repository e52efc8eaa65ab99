"""Asymptotic decoy-state BB84: Ma, Qi, Zhao, Lo, Phys. Rev. A 72, 012326 (2005), and one decoy.

Its bounds are those of the finite keys (``decoy.py``), with counts per pulse of one intensity in place of scaled ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.keyrate import mismatch, trojan, uncertain_light
from qanat.keyrate.correlated import widened
from qanat.keyrate.decoy import single_photon_errors_from, single_photons_from, vacuum_from
from qanat.keyrate.decoy_light import Counts
from qanat.keyrate.fibre import background, binary_entropy, ratio, transmittance
from qanat.keyrate.parameter import ONE, ZERO, Array
from qanat.keyrate.protocol import Found, Values
from qanat.keyrate.uncertain_light import MOST, UncertainLight


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Y_0, Y_1 and the signal's gains from empty pulses and single photons, all from below; e_1 from above."""

    y0: Array
    y1: Array
    e1: Array
    q0: Array
    q1: Array


def known(values: Values, channel: Channel) -> Known:
    """By the variant that was chosen."""
    mu, variant = values["mu"], values.choice("decoys")
    if uncertain_light.is_uncertain(values):
        return known_uncertain(values, channel)
    if variant == "infinite":
        y0, (y1, e1) = channel.y0, channel.single
    elif variant == "one":
        y0, y1, e1 = bounds_one(channel, mu, values["nu"])
    else:
        y0, y1, e1 = bounds(channel, mu, values["nu"], omega_of(values))
    return Known(y0=y0, y1=y1, e1=e1, q0=y0 * np.exp(-mu), q1=y1 * mu * np.exp(-mu))


def known_uncertain(values: Values, channel: Channel) -> Known:
    """Intensities within intervals: ``uncertain_light``, ``correlated``; of the key, the signal is all."""
    light = UncertainLight(
        intensities=intensities_of(values),
        p_intensities=(ONE, *(ZERO,) * (len(intensities_of(values)) - 1)),
        intervals=tuple(uncertain_light.interval(values, each) for each in intensities_of(values)),
    )
    q, m = (widened(values, tuple(map(of, light.intensities))) for of in (channel.gain, channel.errors))
    q0 = np.maximum(light.empty(*q), 0.0)
    single = light.single_beside(*q, m[1], ZERO) if len(q[0]) == 2 else light.single(*q, q0)
    q1 = np.maximum(single, 0.0)
    e1 = np.clip(ratio(light.errors(*m), q1, 0.5), 0.0, 0.5)
    w0, w1 = (light.intervals[0].weight(photons)[MOST] for photons in (0, 1))
    return Known(y0=q0 / w0, y1=q1 / w1, e1=e1, q0=q0, q1=q1)


def asymptotic(values: Values) -> Found:
    """Eq. (1) of Ma et al."""
    channel = Channel(transmittance(values), background(values), values["misalignment"], values["p_afterpulse"])
    found, gain = known(values, channel), channel.gain(values["mu"])
    qber = np.minimum(ratio(channel.errors(values["mu"]), gain, 0.5), 0.5)
    correction = gain * values["f_ec"] * binary_entropy(qber)
    phase = trojan.phase_error(values, found.e1, found.y1)
    secret = found.q1 * (1 - mismatch.unknown_share(values, phase))
    vacuum = found.q0 * credits_vacuum(values, by_source=False)
    return Found(
        rate=values["sifting"] * (vacuum + secret - correction),
        qber=qber,
        terms={
            "gain": gain,
            "yield_vacuum": found.y0,
            "yield_single_photon": found.y1,
            "error_single_photon": found.e1,
            "phase_error_single_photon": phase,
            "gain_single_photon": found.q1,
            "vacuum_secret": vacuum,
            "single_photon_secret": secret,
            "error_correction": correction,
        },
        assumptions=(
            "asymptotic: no finite-size effects",
            trojan.ASSUMPTION,
            mismatch.ASSUMPTION,
            *uncertain_light.assumed(values),
        ),
        sifted=values["sifting"] * gain,
    )


def intensities_of(values: Values) -> Counts:
    """What the source sends, brightest first."""
    two = values["mu"], values["nu"]
    return two if values.choice("decoys") == "one" else (*two, omega_of(values))


def credits_vacuum(values: Values, *, by_source: bool) -> bool:
    """Whether empty pulses count as secret: as asked, else as the formula's source has it."""
    return values.choice("vacuum") == "credited" if "vacuum" in values else by_source


def omega_of(values: Values) -> Array:
    """Of the weakest decoy: vacuum unless there are two free ones."""
    return values["omega"] * (values.choice("decoys") == "two")
