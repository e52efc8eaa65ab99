"""The law of one gate: given what was prepared, which detectors are marked, and with what probability.

A *mark* is a photon detected or a dark count. By Poisson thinning, the photons that a detector gets are
independent between detectors, so that given the settings s and Eve's hidden variable h

    c_d(h, s) = 1 - (1 - p_dark_d) exp(-lambda_d(h, s)),     independent over detectors and gates,

and the law of the whole pattern of marks given s is the mixture over h. Eve's variable is summed out here: it
differs from gate to gate independently, and nobody asks for her record.

Settings are numbered s = (intensity * 2 + basis) * 2 + bit, detectors d = basis * 2 + bit, and a pattern of
marks is the integer with bit d set where detector d is marked.

Source: Poisson thinning, e.g. Kingman, Poisson Processes (1993), chapter 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.attack import Attack, Cut, InterceptResend, Jamming, Tap
from qanat.physics.datasheet import PerDetector, ReceiverSheet, TransmitterSheet

DETECTOR_COUNT = 4
PATTERN_COUNT = 1 << DETECTOR_COUNT
STATE_COUNT = 4  # polarisation states = (basis, bit) = basis * 2 + bit


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """Everything that light meets between the laser and a click, as plain numbers.

    Attributes:
        transmittance: Of the fibre.
        efficiency: Of the receiver's optics times the detector.
        p_dark: Per gate.
        misalignment: Probability that a photon in the right basis goes to the wrong detector.
        p_x: Share of the light that goes to the receiver's X arm.
    """

    intensities: tuple[float, ...]
    transmittance: float
    efficiency: PerDetector
    p_dark: PerDetector
    misalignment: float
    p_x: float
    clock_hz: float

    @property
    def settings_count(self) -> int:
        return len(self.intensities) * STATE_COUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLaw:
    """What the detectors do in one gate, given the settings.

    Attributes:
        p_hidden: Law of Eve's hidden variable, shape (n_hidden,).
        p_mark: c_d(h, s), shape (n_hidden, n_settings, 4).
        p_pattern: Law of the pattern of marks given the settings, shape (n_settings, 16).
    """

    p_hidden: NDArray[np.float64]
    p_mark: NDArray[np.float64]
    p_pattern: NDArray[np.float64]

    @property
    def p_any(self) -> NDArray[np.float64]:
        """Probability of any mark given the settings, c(s), shape (n_settings,)."""
        any_mark: NDArray[np.float64] = self.p_pattern[:, 1:].sum(axis=1)
        return any_mark


def optics_from_sheets(
    transmitter: TransmitterSheet, receiver: ReceiverSheet, *, loss_db: float, clock_hz: float
) -> Optics:
    """The optics of a link from its datasheets and its fibre's loss."""
    receiver_transmittance = 10 ** (-receiver.loss_db / 10)
    a, b, c, d = (receiver_transmittance * value for value in receiver.efficiency)
    return Optics(
        intensities=transmitter.intensities,
        transmittance=10 ** (-loss_db / 10),
        efficiency=(a, b, c, d),
        p_dark=receiver.p_dark(clock_hz),
        misalignment=receiver.misalignment,
        p_x=receiver.p_x,
        clock_hz=clock_hz,
    )


def gate_law(optics: Optics, attacks: Sequence[Attack] = ()) -> GateLaw:
    """The law of a gate with Eve's attacks in force; their order matters only between intercept-resends.

    Example:
        >>> from qanat.physics.datasheet import load_receiver, load_transmitter
        >>> sheets = load_transmitter("decoy-1ghz"), load_receiver("snspd")
        >>> law = gate_law(optics_from_sheets(*sheets, loss_db=10.0, clock_hz=1e9), [Cut()])
        >>> bool(law.p_any.max() < 5e-7)  # only dark counts are left
        True
    """
    p_hidden, maps = _hidden(attacks)
    # Mean photon numbers at the detectors: settings -> state after Eve -> detector.
    photons = np.repeat(np.asarray(optics.intensities), STATE_COUNT) * _light_left(attacks) * optics.transmittance
    states = np.tile(np.arange(STATE_COUNT), len(optics.intensities))
    routes = detector_shares(optics)
    mean = photons[None, :, None] * (maps @ routes)[:, states, :] * np.asarray(optics.efficiency)
    mean = mean + stray_photons(optics, attacks)
    p_dark = np.asarray(optics.p_dark)
    p_mark = p_dark - (1 - p_dark) * np.expm1(-mean)  # 1 - (1 - p_dark) exp(-mean), without cancellation
    return GateLaw(p_hidden=p_hidden, p_mark=p_mark, p_pattern=_pattern_law(p_hidden, p_mark))


def detector_shares(optics: Optics) -> NDArray[np.float64]:
    """Share of the photons in a state that reaches each detector, before efficiency; shape (4 states, 4)."""
    arms = (optics.p_x, 1 - optics.p_x)
    shares = np.empty((STATE_COUNT, DETECTOR_COUNT))
    for state in range(STATE_COUNT):
        for detector in range(DETECTOR_COUNT):
            basis, bit = divmod(detector, 2)
            if state // 2 != basis:
                shares[state, detector] = arms[basis] / 2
            elif state % 2 == bit:
                shares[state, detector] = arms[basis] * (1 - optics.misalignment)
            else:
                shares[state, detector] = arms[basis] * optics.misalignment
    return shares


def stray_photons(optics: Optics, attacks: Sequence[Attack]) -> NDArray[np.float64]:
    """Mean number of jamming photons detected per gate, shape (4,). Unpolarised: half to either bit."""
    rate_hz = sum(attack.rate_hz for attack in attacks if isinstance(attack, Jamming))
    arms = np.array([optics.p_x, optics.p_x, 1 - optics.p_x, 1 - optics.p_x]) / 2
    return np.asarray(rate_hz / optics.clock_hz * arms * np.asarray(optics.efficiency), dtype=np.float64)


def measured_state_map(basis: int) -> NDArray[np.float64]:
    """Eve measures in this basis and sends on what she found: state -> law of the new state, shape (4, 4)."""
    moved = np.zeros((STATE_COUNT, STATE_COUNT))
    for state in range(STATE_COUNT):
        if state // 2 == basis:
            moved[state, state] = 1.0
        else:
            moved[state, basis * 2 : basis * 2 + 2] = 0.5
    return moved


def _hidden(attacks: Sequence[Attack]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eve's hidden variable: its law, and what each value does to a photon's state; equal effects merged."""
    branches = [(1.0, np.eye(STATE_COUNT))]
    for attack in attacks:
        if not isinstance(attack, InterceptResend):
            continue
        choices = [(1 - attack.fraction, np.eye(STATE_COUNT))]
        choices += [(attack.fraction / 2, measured_state_map(basis)) for basis in (0, 1)]
        merged: dict[bytes, tuple[float, NDArray[np.float64]]] = {}
        for p_before, before in branches:
            for p_now, now in choices:
                effect = before @ now
                p_seen = merged.get(effect.tobytes(), (0.0, effect))[0]
                merged[effect.tobytes()] = (p_seen + p_before * p_now, effect)
        branches = [branch for branch in merged.values() if branch[0] > 0]
    return np.array([p for p, _ in branches]), np.array([effect for _, effect in branches])


def _light_left(attacks: Sequence[Attack]) -> float:
    left = 1.0
    for attack in attacks:
        if isinstance(attack, Tap):
            left *= attack.transmittance
        elif isinstance(attack, Cut):
            left = 0.0
    return left


def _pattern_law(p_hidden: NDArray[np.float64], p_mark: NDArray[np.float64]) -> NDArray[np.float64]:
    law = np.zeros((p_mark.shape[1], PATTERN_COUNT))
    for pattern in range(PATTERN_COUNT):
        marked = np.array([pattern >> d & 1 for d in range(DETECTOR_COUNT)], dtype=bool)
        given_hidden = np.where(marked, p_mark, 1 - p_mark).prod(axis=2)
        law[:, pattern] = p_hidden @ given_hidden
    return law
