"""A link's light as plain numbers, and the branches that its gates take when nobody attacks.

Channels are numbered d = basis * 2 + bit for polarisation receivers; other families have layouts of their own.
The tables that follow from the branches are in ``law.py``; what Eve changes is in ``attack/``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qanat.physics.attack import Attack
from qanat.physics.branch import Branch, Table, in_one_alphabet, merged
from qanat.physics.families.sheets import TIME_BIN, checked_fit
from qanat.physics.law import STATE_COUNT, GateLaw, law_from_branches
from qanat.physics.layout import POLARISATION, Layout
from qanat.physics.photons import PhotonLaw, photon_numbers
from qanat.physics.sheets import PerDetector, ReceiverSheet, TransmitterSheet
from qanat.physics.timing import Timing

DETECTOR_COUNT = 4
PATTERN_COUNT = 1 << DETECTOR_COUNT
# Where the prepared states and the measured outcomes lie on their circle of the Poincare sphere, X then Z.
STATE_ANGLES_RAD = (0.0, math.pi, math.pi / 2, -math.pi / 2)
# Three points with the mean, variance and third to fifth moment of a normal law (Gauss and Hermite).
FLUCTUATION_NODES = ((1 / 6, -math.sqrt(3)), (2 / 3, 0.0), (1 / 6, math.sqrt(3)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """Everything that light meets between the laser and a click.

    Attributes:
        intensities: Mean photon numbers, brightest first.
        transmittance: Of the fibre.
        efficiency: Of the receiver's optics times the detector, per channel.
        p_dark: Per gate and channel.
        misalignment: Probability that a photon in the right basis goes to the wrong detector.
        p_x: Share of the light that goes to the receiver's X arm.
        photon_law: Statistics of a pulse.
        fluctuation: Relative standard deviation of a pulse's intensity around its nominal one.
        preparation_error_rad: By how much each prepared state is turned on its circle, per state.
        rotation_rad: By how much the fibre has turned the polarisation (or the interferometers their phase)
            and the controller has not turned it back.
        timing: When in the gate clicks fall.
        background_hz: Unpolarised light at the receiver's door within its filter: Raman scattering, daylight.
        share_rule: Where light in each state goes, for receivers of another family (``families/``); None: polarisation.
    """

    intensities: tuple[float, ...]
    transmittance: float
    efficiency: tuple[float, ...]
    p_dark: tuple[float, ...]
    misalignment: float
    p_x: float
    clock_hz: float
    layout: Layout = POLARISATION
    photon_law: PhotonLaw = PhotonLaw.POISSON
    fluctuation: float = 0.0
    preparation_error_rad: PerDetector = field(default=(0.0, 0.0, 0.0, 0.0))
    rotation_rad: float = 0.0
    background_hz: float = 0.0
    share_rule: Callable[[Optics], Table] | None = None
    timing: Timing = field(default_factory=Timing)

    @property
    def settings_count(self) -> int:
        return len(self.intensities) * STATE_COUNT


def optics_from_sheets(
    transmitter: TransmitterSheet, receiver: ReceiverSheet, *, loss_db: float, clock_hz: float
) -> Optics:
    """The optics of a link from its datasheets and its fibre's loss.

    Raises:
        DatasheetError: the two modules do not fit each other, see ``families.sheets.misfit``.
    """
    checked_fit(transmitter, receiver, clock_hz=clock_hz)
    timing = timing_from_sheets(transmitter, receiver)
    if receiver.family == TIME_BIN:
        from qanat.physics.families.time_bin import time_bin_optics  # noqa: PLC0415 - families build on this file

        return time_bin_optics(transmitter, receiver, loss_db=loss_db, clock_hz=clock_hz, timing=timing)
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
        timing=timing,
    )


def timing_from_sheets(transmitter: TransmitterSheet, receiver: ReceiverSheet) -> Timing:
    """When in the gate clicks fall, as far as the datasheets tell."""
    return Timing(
        pulse_ps=transmitter.pulse_ps,
        jitter_ps=receiver.jitter_ps,
        tail_ps=receiver.tail_ps,
        p_tail=receiver.p_tail,
        gate_centre_ps=receiver.gate_centre_ps,
        gate_width_ps=receiver.gate_width_ps,
        out_of_gate=receiver.out_of_gate,
        window_ps=receiver.window_ps,
    )


def gate_law(optics: Optics, attacks: Sequence[Attack] = ()) -> GateLaw:
    """The law of a gate with Eve's attacks in force, in the order in which the light meets them.

    Example:
        >>> from qanat.physics.attack import Cut
        >>> from qanat.physics.datasheet import load_receiver, load_transmitter
        >>> sheets = load_transmitter("decoy-1ghz"), load_receiver("snspd")
        >>> law = gate_law(optics_from_sheets(*sheets, loss_db=10.0, clock_hz=1e9), [Cut()])
        >>> bool(law.p_any.max() < 5e-7)  # only dark counts are left
        True
    """
    return law_from_branches(branches_of(optics, attacks))


def branches_of(optics: Optics, attacks: Sequence[Attack] = ()) -> list[Branch]:
    """What may happen to the light of a gate: attacks act from the transmitter to the detectors (``Place``)."""
    branches = honest_branches(optics)
    for attack in sorted(attacks, key=lambda attack: attack.place):
        branches = merged(attack.on(branches, optics))
    return in_one_alphabet(branches)


def honest_branches(optics: Optics) -> list[Branch]:
    """Without Eve: one branch, or three when the intensity fluctuates."""
    nodes = FLUCTUATION_NODES if optics.fluctuation else ((1.0, 0.0),)
    return [_honest(optics, p, 1 + optics.fluctuation * x) for p, x in nodes]


def _honest(optics: Optics, p: float, factor: float) -> Branch:
    light = np.asarray(optics.intensities) * factor
    is_poisson = optics.photon_law is PhotonLaw.POISSON
    return Branch(
        p=p,
        photons=None if is_poisson else photon_numbers(optics.photon_law, light),
        light=light,
        transmittance=optics.transmittance,
        states=np.eye(STATE_COUNT),
        shares=detector_shares(optics),
        efficiency=np.asarray(optics.efficiency),
        background=stray_photons(optics, optics.background_hz),
        p_dark=np.asarray(optics.p_dark),
    )


def detector_shares(optics: Optics) -> Table:
    """Share of the photons in a state that reaches each detector, before efficiency; shape (4 states, 4).

    Malus's law on the circle: outcome c of state s has probability (1 + V cos(turn + angle_s - angle_c)) / 2 in its
    arm, with the visibility V = 1 - 2 misalignment.
    """
    if optics.share_rule is not None:
        return optics.share_rule(optics)
    sent = np.asarray(STATE_ANGLES_RAD) + np.asarray(optics.preparation_error_rad) + optics.rotation_rad
    visibility = 1 - 2 * optics.misalignment
    arms = np.array([optics.p_x, optics.p_x, 1 - optics.p_x, 1 - optics.p_x])
    overlap: Table = (1 + visibility * np.cos(sent[:, None] - np.asarray(STATE_ANGLES_RAD))) / 2
    return arms * overlap


def stray_photons(optics: Optics, rate_hz: float) -> Table:
    """Mean number of stray photons detected per gate, shape (4,). Unpolarised: half to either bit."""
    if optics.share_rule is not None:
        unpolarised = optics.share_rule(optics)[:2].mean(axis=0)
        return np.asarray(rate_hz / optics.clock_hz * unpolarised * np.asarray(optics.efficiency), dtype=np.float64)
    arms = np.array([optics.p_x, optics.p_x, 1 - optics.p_x, 1 - optics.p_x]) / 2
    return np.asarray(rate_hz / optics.clock_hz * arms * np.asarray(optics.efficiency), dtype=np.float64)
