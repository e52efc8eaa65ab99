"""Detectors that obey: bright light drives them to where they count no photons and click when Eve's pulse says so.

Eve has a receiver of the victim's kind, with quiet detectors that she reads by photon number. When it finds something
she sends one bright pulse polarised as what she found. In the arm of her basis it is above the threshold at one
detector; in the other arm its power is halved and stays below (a window of 3 dB). So the victim sees what she saw:
rates as before, no dark counts, never two clicks.

Why branches and not ``Branch.answers``: what she finds depends on the pulse's intensity, and so must what she makes
the victim find, or the decoy gains would betray her.
Sources: Lydersen et al., Nat. Photonics 4, 686 (2010), blinding; Gerhardt et al., Nat. Commun. 2, 349 (2011),
arXiv:1011.0105, on a running link; Wiechers et al., New J. Phys. 13, 013043 (2011), after the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qanat.physics.attack.base import LightAttack, Place, parameter
from qanat.physics.branch import Branch, Table, split
from qanat.physics.errors import AttackError

if TYPE_CHECKING:
    from qanat.physics.instruments import Instruments
    from qanat.physics.memory import DetectorMemory
    from qanat.physics.optics import Optics

# Photocurrent per power at 1550 nm, q lambda / (h c) = 1.25 A/W times a quantum efficiency of 0.8. The avalanche's
# remaining gain multiplies it, the bias resistor limits it: the order of magnitude is right, not the digit.
RESPONSIVITY_NA_PER_UW = 1000.0
_POWER_SAYS = "bright light on each detector while it is blinded"


@dataclass(frozen=True, slots=True)
class Blinding(LightAttack):
    """Bright light blinds all detectors without a pause; they click when Eve's pulses say so.

    ``fraction`` is the share of the gates in which they are blind and obey, drawn gate by gate.
    """

    fraction: float = parameter(1.0, unit="", says="share of the gates in which the detectors are blind")
    power_uw: float = parameter(400.0, unit="uW", says=_POWER_SAYS, high=1e6)

    name: ClassVar[str] = "blinding"
    place: ClassVar[Place] = Place.DETECTORS
    signature: ClassVar[str] = (
        "bias current up from nA to many uA; double clicks, dark counts and afterpulses vanish; rates and QBER same"
    )
    source: ClassVar[str] = "Lydersen et al., Nat. Photonics 4, 686 (2010): 397 and 765 uW"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [
            part
            for branch in branches
            for part in split(
                [branch], [(1 - self.fraction, {}), (self.fraction, _obeying(branch, label=self.labelled(branch)))]
            )
        ]

    def on_memory(self, memory: DetectorMemory) -> DetectorMemory:
        """No avalanche, no carriers in traps: in the mean over gates."""
        return replace(memory, p_trap=tuple(_scaled(p, 1 - self.fraction) for p in memory.p_trap))

    def on_instruments(self, instruments: Instruments, optics: Optics) -> Instruments:
        return with_photocurrent(instruments, self.power_uw * self.fraction)

    def eve_information(self, optics: Optics) -> float:
        """She knows every bit that she made."""
        return self.fraction


@dataclass(frozen=True, slots=True)
class PulsedBlinding(LightAttack):
    """Blinding in bursts: the detectors are blind and obey for ``length_gates`` of every ``period_gates`` gates.

    The mean photocurrent is that of the power times the share of the time, so that a threshold made for steady light
    is not reached. ``eagerness`` is how many times more results than the link's own rate she hands over in a burst;
    her detectors at the transmitter's door find up to 1 / (transmittance times efficiency) times more.
    """

    period_gates: int = parameter(10_000, unit="gates", says="from burst to burst", low=1, high=1 << 40)
    length_gates: int = parameter(200, unit="gates", says="of a burst", low=1, high=1 << 40)
    power_uw: float = parameter(400.0, unit="uW", says=_POWER_SAYS, high=1e6)
    eagerness: float = parameter(3.0, unit="", says="results in a burst over the link's own rate", high=1e4)

    name: ClassVar[str] = "pulsed-blinding"
    place: ClassVar[Place] = Place.DETECTORS
    signature: ClassVar[str] = "gaps between clicks bunch at the bursts; mean bias current up by the bursts' share only"
    source: ClassVar[str] = "EPJ Quantum Technol. 10, 22 (2023)"

    def __post_init__(self) -> None:
        LightAttack.__post_init__(self)
        if self.length_gates > self.period_gates:
            raise AttackError(
                f"length_gates is {self.length_gates}; it must not exceed period_gates, {self.period_gates}"
            )

    @property
    def pulse_gates(self) -> tuple[int, int]:  # type: ignore[override]
        return self.period_gates, self.length_gates

    @property
    def duty(self) -> float:
        """Share of the time."""
        return self.length_gates / self.period_gates

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [
            replace(branch, **_obeying(branch, times=self.eagerness, label=self.labelled(branch)))  # type: ignore[arg-type]
            for branch in branches
        ]

    def on_instruments(self, instruments: Instruments, optics: Optics) -> Instruments:
        return with_photocurrent(instruments, self.power_uw * self.duty)

    def eve_information(self, optics: Optics) -> float:
        """Share of the detections that fall in bursts; she knows every bit of those."""
        hers = self.duty * self.eagerness
        return hers / (1 - self.duty + hers) if hers > 0 else 0.0


@dataclass(frozen=True, slots=True)
class AfterGate(LightAttack):
    """Bright pulses shortly after the detectors' gates, where they count no photons but answer to power.

    As blinding without blinding light: the gates stay sensitive, so dark counts and noise remain, and every bright
    pulse leaves carriers in the traps.
    """

    fraction: float = parameter(1.0, unit="", says="share of the gates in which Eve answers")
    offset_ps: float = parameter(400.0, unit="ps", says="how long after the gate's centre", low=0.0, high=1e6)
    trap_factor: float = parameter(3.0, unit="", says="carriers trapped by her clicks over a photon's", high=1e3)

    name: ClassVar[str] = "after-gate"
    place: ClassVar[Place] = Place.RECEIVER
    signature: ClassVar[str] = (
        "clicks outside the gate (arrival times), more afterpulses after the dead time; QBER nearly same"
    )
    source: ClassVar[str] = "Wiechers et al., New J. Phys. 13, 013043 (2011)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        made: list[Branch] = []
        for branch in branches:
            faked = _obeying(branch, label=self.labelled(branch)) | {
                "background": branch.background,
                "p_dark": branch.p_dark,
                "offset_ps": self.offset_ps,
            }
            made += split([branch], [(1 - self.fraction, {}), (self.fraction, faked)])
        return made

    def on_memory(self, memory: DetectorMemory) -> DetectorMemory:
        """More carriers per click, in the mean over clicks."""
        factor = 1 + self.fraction * (self.trap_factor - 1)
        return replace(memory, p_trap=tuple(_scaled(p, factor) for p in memory.p_trap))

    def eve_information(self, optics: Optics) -> float:
        """She knows every bit that she made; dark counts and afterpulses are not hers."""
        return self.fraction


def _obeying(branch: Branch, *, label: str, times: float = 1.0) -> dict[str, object]:
    """What changes in a branch whose detectors show what Eve's own receiver found: one result per gate, or none."""
    found = branch.shares * branch.efficiency  # of a photon at the door, (M, C)
    most = float(found.sum(axis=1).max())
    single = np.minimum(1.0, times * p_found(branch, branch.transmittance * most))
    return {
        "label": label,
        "photons": np.stack([1 - single, single], axis=1),
        "transmittance": 1.0,
        "shares": found / most if most > 0 else found,
        "efficiency": np.ones_like(branch.efficiency),
        "background": np.zeros_like(branch.background),
        "p_dark": np.zeros_like(branch.p_dark),
        "answers": None,
        "offset_ps": 0.0,
    }


def p_found(branch: Branch, x: float) -> Table:
    """Probability that at least one photon of a pulse is detected, each with probability x; per intensity."""
    if branch.photons is None:
        return np.asarray(-np.expm1(-branch.light * x))
    n = np.arange(branch.photons.shape[1])
    return np.asarray(-branch.photons @ np.expm1(n * np.log1p(-min(x, 1 - 1e-16))))


def with_photocurrent(instruments: Instruments, power_uw: float) -> Instruments:
    """The meters with this much more light on each detector that does not click."""
    extra = tuple(current + power_uw * RESPONSIVITY_NA_PER_UW for current in instruments.extra_bias_current_na)
    return replace(instruments, extra_bias_current_na=extra)


def _scaled(p: float | tuple[float, ...], factor: float) -> float | tuple[float, ...]:
    return tuple(min(1.0, q * factor) for q in p) if isinstance(p, tuple) else min(1.0, p * factor)
