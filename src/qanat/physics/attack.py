"""What Eve may do to the light. She never touches a count or an error rate: those follow.

Where she stands: at the transmitter's door for intercept-resend, on the fibre for tap and cut, at the
receiver's door for jamming. Her equipment is perfect; that makes her hardest to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from qanat.physics.branch import Branch, Table, split
from qanat.physics.errors import AttackError, near_miss

if TYPE_CHECKING:
    from qanat.physics.instruments import Instruments
    from qanat.physics.memory import DetectorMemory
    from qanat.physics.optics import Optics


class LightAttack:
    """What every attack may touch; each overrides what it does. Attacks are frozen dataclasses.

    Attributes:
        pulse_gates: (period, length) in gates of an attack that is on for the first ``length`` gates of every
            ``period``, counted from slot 0 of the link; None: always on.
    """

    __slots__ = ()
    pulse_gates: tuple[int, int] | None = None

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        """The light of a gate, attacked."""
        return list(branches)

    def on_memory(self, memory: DetectorMemory) -> DetectorMemory:
        """The detectors' memory under the attack."""
        return memory

    def on_instruments(self, instruments: Instruments, optics: Optics) -> Instruments:
        """What the meters show under the attack."""
        return instruments


@dataclass(frozen=True, slots=True)
class InterceptResend(LightAttack):
    """Eve measures a share of the pulses and sends on what she found.

    Per pulse she takes part with probability ``fraction`` and then chooses X or Z evenly. She measures every
    photon of the pulse in that basis and sends one photon on in the state found, so that the rates stay what
    they were and only the errors tell: 25 % of them per attacked pulse in either basis.
    """

    fraction: float

    def __post_init__(self) -> None:
        _probability("fraction", self.fraction)

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        taken: list[Branch] = []
        for branch in branches:
            choices: list[tuple[float, dict[str, object]]] = [(1 - self.fraction, {})]
            for basis in (0, 1):
                states = branch.states @ measured_state_map(basis)
                choices.append((self.fraction / 2, {"states": states, "label": "intercept-resend"}))
            taken += split([branch], choices)
        return taken


@dataclass(frozen=True, slots=True)
class Tap(LightAttack):
    """A beam splitter or bend: of the light, the share ``transmittance`` goes on to the receiver."""

    transmittance: float

    def __post_init__(self) -> None:
        _probability("transmittance", self.transmittance)

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [replace(branch, transmittance=branch.transmittance * self.transmittance) for branch in branches]


@dataclass(frozen=True, slots=True)
class Cut(LightAttack):
    """The fibre is cut: no light of the transmitter arrives. Dark counts and jamming light remain."""

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [replace(branch, transmittance=0.0) for branch in branches]


@dataclass(frozen=True, slots=True)
class Jamming(LightAttack):
    """Unpolarised stray light at the receiver's door, ``rate_hz`` photons per second, Poisson."""

    rate_hz: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate_hz <= 1e15:
            raise AttackError(f"rate_hz is {self.rate_hz}; it must lie between 0 and 1e15 photons per second")

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        from qanat.physics.optics import stray_photons  # optics knows attacks by this file

        stray = stray_photons(optics, self.rate_hz)
        return [replace(branch, background=branch.background + stray) for branch in branches]


Attack = InterceptResend | Tap | Cut | Jamming

ATTACK_NAMES = ("cut", "intercept-resend", "jamming", "tap")
_DEFAULTS = {"intercept-resend": ("fraction", 1.0), "tap": ("transmittance", 0.5), "jamming": ("rate_hz", 1e7)}


def attack_from_name(
    name: str, *, fraction: float | None = None, transmittance: float | None = None, rate_hz: float | None = None
) -> Attack:
    """The attack of that name; what is not given is: fraction 1, transmittance 0.5, rate 1e7 photons/s.

    Raises:
        AttackError: unknown name (the nearest is named), a number the attack does not take, or one out of range.

    Example:
        >>> attack_from_name("tap", transmittance=0.8)
        Tap(transmittance=0.8)
    """
    if name not in ATTACK_NAMES:
        raise AttackError(near_miss("attack", name, ATTACK_NAMES))
    given = {"fraction": fraction, "transmittance": transmittance, "rate_hz": rate_hz}
    key, default = _DEFAULTS.get(name, ("", 0.0))
    for other, value in given.items():
        if value is not None and other != key:
            takes = f"it takes {key}" if key else "it takes no number"
            raise AttackError(f"attack {name!r} does not take {other}; {takes}")
    value = given.get(key)
    number = default if value is None else value
    match name:
        case "intercept-resend":
            return InterceptResend(number)
        case "tap":
            return Tap(number)
        case "jamming":
            return Jamming(number)
        case _:
            return Cut()


def name_from_attack(attack: Attack) -> str:
    """The inverse of ``attack_from_name``.

    Example:
        >>> name_from_attack(Cut())
        'cut'
    """
    return {InterceptResend: "intercept-resend", Tap: "tap", Cut: "cut", Jamming: "jamming"}[type(attack)]


def measured_state_map(basis: int) -> Table:
    """Eve measures in this basis and sends on what she found: state -> law of the new state, shape (4, 4)."""
    moved = np.zeros((4, 4))
    for state in range(4):
        if state // 2 == basis:
            moved[state, state] = 1.0
        else:
            moved[state, basis * 2 : basis * 2 + 2] = 0.5
    return moved


def _probability(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise AttackError(f"{what} is {value}; it must lie between 0 and 1")
