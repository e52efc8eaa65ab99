"""Detectors whose efficiencies differ in time: Eve chooses when her light arrives, and with it which detector answers.

A receiver of equal gates is immune; ``timing.Timing`` says how unequal a link's are. r is the efficiency of the
detector that Eve disfavours over that of the one she favours, at the time she chose.
Sources: time shift: Qi, Fung, Lo, Ma, Quantum Inf. Comput. 7, 73 (2007). Faked states: Makarov, Anisimov, Skaar,
Phys. Rev. A 74, 022313 (2006), with their error rate 2 r / (1 + 3 r).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qanat.physics.attack.alphabet import NOTHING, STATE_COUNT_WIDE, measured, widened
from qanat.physics.attack.base import LightAttack, parameter
from qanat.physics.attack.information import biased_bit_information
from qanat.physics.branch import Branch, Table, split
from qanat.physics.timing import efficiency_at

if TYPE_CHECKING:
    from qanat.physics.optics import Optics

SHIFT_PS_MAX = 1e6


@dataclass(frozen=True, slots=True)
class TimeShift(LightAttack):
    """Eve measures nothing: she delays or hastens each pulse by chance, and so tilts which bit is detected.

    Bits of a pulse shifted to r are 0 or 1 with probabilities 1 / (1 + r) and r / (1 + r), and she knows which shift
    it was.
    """

    shift_ps: float = parameter(200.0, unit="ps", says="by how much a pulse comes earlier or later", high=SHIFT_PS_MAX)
    fraction: float = parameter(1.0, unit="", says="share of the pulses that she shifts")
    early: float = parameter(0.5, unit="", says="share of those that she makes come earlier")

    name: ClassVar[str] = "time-shift"
    signature: ClassVar[str] = (
        "arrival times move or widen, counts fall, bits of early and late clicks are biased; QBER same"
    )
    source: ClassVar[str] = "Qi, Fung, Lo, Ma, Quantum Inf. Comput. 7, 73 (2007)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [
            part
            for branch in branches
            for part in split([branch], [(1 - self.fraction, {}), *self._shifted(branch, optics)])
        ]

    def _shifted(self, branch: Branch, optics: Optics) -> list[tuple[float, dict[str, object]]]:
        ways = ((self.early, -self.shift_ps), (1 - self.early, self.shift_ps))
        return [
            (self.fraction * p, {**arriving(branch.offset_ps + shift_ps, optics), "label": self.labelled(branch)})
            for p, shift_ps in ways
        ]

    def imbalance(self, optics: Optics, basis: int = 0) -> tuple[float, float]:
        """r of early and of late pulses: efficiency of this basis's worse detector over its better one's."""
        early, late = (bit_efficiencies(optics, shift_ps, basis) for shift_ps in (-self.shift_ps, self.shift_ps))
        return _ratio(early), _ratio(late)

    def eve_information(self, optics: Optics) -> float:
        """1 - h(r / (1 + r)), each shift weighted by what is detected of it."""
        early, late = self.fraction * self.early, self.fraction * (1 - self.early)
        ways = ((1 - self.fraction, 0.0), (early, -self.shift_ps), (late, self.shift_ps))
        seen = [(p, bit_efficiencies(optics, shift_ps, 0)) for p, shift_ps in ways]
        total = sum(p * float(bits.sum()) for p, bits in seen)
        known = sum(p * float(bits.sum()) * biased_bit_information(_ratio(bits)) for p, bits in seen[1:])
        return known / total if total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class FakedStates(LightAttack):
    """Eve measures, and sends the opposite state of the other basis when only the detector of her result answers.

    A receiver that chose her basis then finds her result or nothing; one that chose the other basis mostly nothing.
    She serves one bit value per gate, chosen before, and sends nothing when she finds the other; ``brightness`` makes
    up for that, and for the detections lost to the bad times.
    """

    shift_ps: float = parameter(200.0, unit="ps", says="her light's distance from the gate's centre", high=SHIFT_PS_MAX)
    fraction: float = parameter(1.0, unit="", says="share of the pulses that she takes")
    brightness: float = parameter(2.0, unit="", says="her light over what would have arrived", high=1e4)

    name: ClassVar[str] = "faked-states"
    signature: ClassVar[str] = "QBER 2r/(1+3r) of an imbalance r; arrival times in two groups, one per bit value"
    source: ClassVar[str] = "Makarov, Anisimov, Skaar, Phys. Rev. A 74, 022313 (2006)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        taken: list[Branch] = []
        for branch in branches:
            taken += split([branch], [(1 - self.fraction, {})])
            taken += [self._faked(branch, optics, basis, bit) for basis in (0, 1) for bit in (0, 1)]
        return [branch for branch in taken if branch.p > 0]

    def _faked(self, branch: Branch, optics: Optics, basis: int, bit: int) -> Branch:
        """She measured in this basis and serves this bit value."""
        wide = brightened(widened(branch), self.brightness)
        states = wide.states @ measured("xz"[basis]) @ _only(basis * 2 + bit, sends=(1 - basis) * 2 + 1 - bit)
        arrives = arriving(self.time_ps(optics, basis, bit), optics)
        return replace(wide, p=branch.p * self.fraction / 4, label=self.labelled(branch), states=states, **arrives)  # type: ignore[arg-type]

    def time_ps(self, optics: Optics, basis: int, bit: int) -> float:
        """Early or late: when the detector of her result answers best against those that must stay silent."""

        def contrast(shift_ps: float) -> float:
            wanted, other = bit_efficiencies(optics, shift_ps, basis)[[bit, 1 - bit]]
            crossed = bit_efficiencies(optics, shift_ps, 1 - basis)[1 - bit]
            return float(wanted / max(wanted + other + crossed, 1e-300))

        return max((self.shift_ps, -self.shift_ps), key=contrast)

    def eve_information(self, optics: Optics) -> float:
        """Of the receiver's bits, for one imbalance r in both bases and all pulses taken (derived here).

        Where the bases agree she is right with 1 / (1 + r), else always: ((1 + r) (1 - h(r/(1+r))) + 2 r) / (1 + 3 r).
        """
        r = _ratio(bit_efficiencies(optics, self.time_ps(optics, 0, 0), 0))
        return ((1 + r) * biased_bit_information(r) + 2 * r) / (1 + 3 * r)


def arriving(offset_ps: float, optics: Optics) -> dict[str, object]:
    """What changes in a branch whose light arrives then."""
    return {"offset_ps": offset_ps, "efficiency": efficiency_at(optics, offset_ps)}


def bit_efficiencies(optics: Optics, offset_ps: float, basis: int) -> Table:
    """Of the detectors of bit 0 and bit 1 of this basis, for light that comes this late, shape (2,)."""
    efficiency, sums = efficiency_at(optics, offset_ps), np.zeros(2)
    for c, channel in enumerate(optics.layout.channels):
        if channel.basis == basis:
            sums[channel.bit] += efficiency[c]
    return sums


def brightened(branch: Branch, factor: float) -> Branch:
    """As many times the light at the receiver's door. Photons of a law that is not Poisson come over a better line;
    more than all of them cannot arrive."""
    if branch.photons is None:
        return replace(branch, light=branch.light * factor)
    return replace(branch, transmittance=min(1.0, branch.transmittance * factor))


def _ratio(bits: Table) -> float:
    return float(bits.min() / bits.max()) if bits.max() > 0 else 1.0


def _only(found: int, *, sends: int) -> Table:
    """She sends this state for that result and nothing for any other, shape (7, 7)."""
    moved = np.zeros((STATE_COUNT_WIDE, STATE_COUNT_WIDE))
    moved[:, NOTHING] = 1.0
    moved[found, [sends, NOTHING]] = 1.0, 0.0
    return moved
