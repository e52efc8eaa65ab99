"""What protocols share whose two ends send to an untrusted relay half way: its detectors and the two fibres to it."""

from __future__ import annotations

import numpy as np

from qanat.keyrate.bessel import i0_less_1
from qanat.keyrate.decoy_asymptotic import omega_of
from qanat.keyrate.fibre import channel_parameters, transmittance
from qanat.keyrate.parameter import Array, Parameter
from qanat.keyrate.protocol import Constraint, Values
from qanat.keyrate.quantities import parameter

USUAL = "usual in comparisons of this protocol; not checked against the paper's own list"
ASYMPTOTIC = "asymptotic: no finite-size effects"
INFINITE_DECOYS = ("infinitely many decoys: yields and errors of photon numbers are known",)
IN_THE_MIDDLE = "the relay stands half way and may be hostile; both arms lose the same"
RANDOM_PHASES = "phase-randomised pulses: photon numbers follow Poisson's law, and the ends' phases stay in their rooms"
PHASE_LOCKED = "the ends' lasers share a phase reference; what is left of their drift is in the misalignment"


def relay_parameters(
    *, detector_efficiency: float, p_dark: float, misalignment: float, f_ec: float, source: str
) -> tuple[Parameter, ...]:
    """Channel, detectors and error correction, with a paper's values."""
    return (
        *channel_parameters(),
        parameter("detector_efficiency", detector_efficiency, source),
        parameter("p_dark", p_dark, source),
        parameter("p_noise", 0.0, "a dark fibre"),
        parameter("dark_counts", "per_detector", "ours"),
        parameter("misalignment", misalignment, source),
        parameter("f_ec", f_ec, source),
    )


def arm_transmittance(values: Values) -> Array:
    """From one end to a click at the relay: half of the channel's decibels, and a detector."""
    return transmittance(values, share=0.5)


def detector_noise(values: Values) -> Array:
    """Probability that one detector clicks without light from the ends: dark counts or noise.

    Where ``dark_counts`` says ``per_pulse``, ``p_dark`` is that of either of two detectors together.
    """
    dark = values["p_dark"]
    if values.choice("dark_counts") == "per_pulse":
        dark = -np.expm1(np.log1p(-dark) / 2)
    noise = values["p_noise"]
    return dark + noise - dark * noise


def is_exact(values: Values) -> bool:
    """Whether decoys are infinitely many."""
    return values.choice("decoys") == "infinite"


def decoy_order(brightest: str, text: str) -> tuple[Constraint, ...]:
    """What the bounds from few decoys ask of them; ``text`` says it of the brightest one."""
    return (
        Constraint(
            name="nu",
            text="nu must be brighter than omega",
            holds=lambda values: np.asarray((values["nu"] > omega_of(values)) | is_exact(values)),
        ),
        Constraint(
            name=brightest,
            text=text,
            holds=lambda values: np.asarray((values[brightest] > values["nu"]) | is_exact(values)),
        ),
        Constraint(
            name="decoys",
            text="decoys: this protocol has infinite, vacuum_weak and two",
            holds=lambda values: np.asarray(values.choice("decoys") != "one"),
        ),
    )


def intensity_of_both(values: Values) -> Array:
    """Mean photon number of the two ends' pulses together; ``mu_of`` says what ``mu`` is."""
    return values["mu"] * (2.0 if values.choice("mu_of") == "each_end" else 1.0)


def clicks(noise: Array, intensity: Array) -> Array:
    """1 - (1 - noise) e^-intensity, with no digits lost where both are small."""
    return noise * np.exp(-intensity) - np.expm1(-intensity)


def window_clicks(eta: Array, p_dark: Array, mu: Array) -> tuple[Array, Array, Array]:
    """Probability that exactly one of two detectors behind a beam splitter clicks: one end, both, or none sent mu.

    Phases are random: of P(a, b) = 2 [(1 - p_d) e^(-eta (a + b) / 2) I0(eta sqrt(a b)) - (1 - p_d)^2 e^(-eta (a + b))].
    """
    g = eta * mu
    one = 2 * (1 - p_dark) * np.exp(-g / 2) * clicks(p_dark, g / 2)
    both = 2 * (1 - p_dark) * np.exp(-g) * (i0_less_1(g) + clicks(p_dark, g))
    return one, both, 2 * p_dark * (1 - p_dark) + 0 * g


def single_photon_clicks(eta: Array, p_dark: Array) -> tuple[Array, Array]:
    """Probability that exactly one of two detectors clicks for one photon sent by either end: by it, and by noise."""
    return eta * (1 - p_dark), 2 * (1 - eta) * p_dark * (1 - p_dark)
