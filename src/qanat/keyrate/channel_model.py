"""Expected counts of a fibre link, as Lim et al. 2014 model them, and the rate they predict.

For studies and for tests against the published figures. The live path measures its counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanat.keyrate.decoy import DecoySettings, Three
from qanat.keyrate.lim2014 import SecretLength, length_from_values
from qanat.keyrate.sampling import binary_entropy

Number = Any  # a float, or an array of them
TAG_BITS_SHORTEST = 0  # then the paper's own log2(2 / epsilon_cor) is charged for verification


def p_detection(eta: Number, mu: Number, y0: Number, p_afterpulse: Number) -> Number:
    """R_k = D_k (1 + p_ap) with D_k = 1 - (1 - Y0) e^(-eta mu): numbers or arrays. Lim et al. 2014, section IV."""
    return (y0 - (1 - y0) * np.expm1(-eta * mu)) * (1 + p_afterpulse)


def p_error(eta: Number, mu: Number, y0: Number, misalignment: Number, p_afterpulse: Number) -> Number:
    """e_k = Y0 / 2 + e_mis (1 - e^(-eta mu)) + p_ap D_k / 2: numbers or arrays. Lim et al. 2014, section IV.

    The paper prints the channel's transmittance here; with the receiver's it agrees with D_k.
    """
    light = -np.expm1(-eta * mu)
    return y0 / 2 + misalignment * light + p_afterpulse * (y0 + (1 - y0) * light) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkModel:
    """A fibre and a receiver. The defaults are those of Lim et al. 2014, section IV.

    Attributes:
        attenuation_db_per_km: Of the fibre.
        p_receiver: Efficiency of the receiver including its detectors (eta_Bob).
        p_dark: Dark count probability per gate and detector.
        p_afterpulse: Afterpulse probability.
        p_misaligned: Probability that a photon takes the wrong detector (e_mis).
        reconciliation_factor: f, leak over the Shannon limit.
    """

    attenuation_db_per_km: float = 0.2
    p_receiver: float = 0.10
    p_dark: float = 6e-7
    p_afterpulse: float = 4e-2
    p_misaligned: float = 5e-3
    reconciliation_factor: float = 1.16

    def transmittance(self, length_km: float) -> float:
        return self.p_receiver * 10 ** (-self.attenuation_db_per_km * length_km / 10)

    def p_detection(self, intensity: float, length_km: float) -> float:
        """R_k: detection probability per pulse with matching bases, afterpulses included."""
        return float(p_detection(self.transmittance(length_km), intensity, 2 * self.p_dark, self.p_afterpulse))

    def p_error(self, intensity: float, length_km: float) -> float:
        """e_k: probability per pulse of a detection with the wrong bit."""
        eta = self.transmittance(length_km)
        return float(p_error(eta, intensity, 2 * self.p_dark, self.p_misaligned, self.p_afterpulse))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCounts:
    """Means, not observations: the counts that n_pulses would give on average."""

    n_pulses: float
    n_x: Three
    n_z: Three
    m_z: Three
    qber_x: float


def expected_counts(
    model: LinkModel, settings: DecoySettings, *, length_km: float, p_x: float, n_pulses: float
) -> ExpectedCounts:
    """Means of all counts. Both ends choose X with ``p_x``; the intensity does not depend on the basis."""
    detections = [
        p * model.p_detection(mu, length_km) for p, mu in zip(settings.p_intensities, settings.intensities, strict=True)
    ]
    errors = [
        p * model.p_error(mu, length_km) for p, mu in zip(settings.p_intensities, settings.intensities, strict=True)
    ]
    return ExpectedCounts(
        n_pulses=n_pulses,
        n_x=_three(detections, n_pulses * p_x**2),
        n_z=_three(detections, n_pulses * (1 - p_x) ** 2),
        m_z=_three(errors, n_pulses * (1 - p_x) ** 2),
        qber_x=math.fsum(errors) / math.fsum(detections),
    )


def pulses_for_key_detections(
    model: LinkModel, settings: DecoySettings, *, length_km: float, p_x: float, n_x: float
) -> float:
    """N: pulses until ``n_x`` detections in X are there, on average."""
    return n_x / math.fsum(expected_counts(model, settings, length_km=length_km, p_x=p_x, n_pulses=1.0).n_x)


def expected_length(
    model: LinkModel, expected: ExpectedCounts, settings: DecoySettings, *, epsilon_sec: float, epsilon_cor: float
) -> SecretLength:
    """The proof on expected counts, with leak f n_X h(E_X)."""
    leak = model.reconciliation_factor * math.fsum(expected.n_x) * binary_entropy(expected.qber_x)
    return length_from_values(
        expected.n_x,
        expected.n_z,
        expected.m_z,
        settings=settings,
        leak_bits=leak,
        tag_bits=TAG_BITS_SHORTEST,
        epsilon_sec=epsilon_sec,
        epsilon_cor=epsilon_cor,
    )


def rate_per_pulse(
    model: LinkModel,
    settings: DecoySettings,
    *,
    length_km: float,
    p_x: float,
    epsilon_sec: float,
    epsilon_cor: float,
    n_x: float | None = None,
    n_pulses: float | None = None,
) -> float:
    """Secret bits per emitted pulse for a block of ``n_x`` key detections, or of ``n_pulses``.

    Negative where there is no key: an optimiser needs to see how far away it is.

    Raises:
        ValueError: not exactly one of ``n_x`` and ``n_pulses``.

    Example:
        >>> settings = DecoySettings(intensities=(0.45, 0.2, 2e-4), p_intensities=(0.6, 0.3, 0.1))
        >>> rate = rate_per_pulse(LinkModel(), settings, length_km=100, p_x=0.9, n_x=1e7,
        ...     epsilon_sec=1e-10, epsilon_cor=1e-15)
        >>> f"{rate:.6e}"
        '3.108241e-05'
    """
    if (n_x is None) == (n_pulses is None):
        raise ValueError("give either n_x or n_pulses")
    if n_pulses is None:
        assert n_x is not None
        n_pulses = pulses_for_key_detections(model, settings, length_km=length_km, p_x=p_x, n_x=n_x)
    expected = expected_counts(model, settings, length_km=length_km, p_x=p_x, n_pulses=n_pulses)
    length = expected_length(model, expected, settings, epsilon_sec=epsilon_sec, epsilon_cor=epsilon_cor)
    return length.signed_bits / n_pulses


def _three(per_pulse: list[float], factor: float) -> Three:
    first, second, third = per_pulse
    return (factor * first, factor * second, factor * third)
