"""Taking light from the line or adding to it: tap, cut, jamming."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from qanat.physics.attack.base import LightAttack, Place, parameter
from qanat.physics.branch import Branch

if TYPE_CHECKING:
    from qanat.physics.optics import Optics


@dataclass(frozen=True, slots=True)
class Tap(LightAttack):
    """A beam splitter or bend: of the light, the share ``transmittance`` goes on to the receiver.

    What she takes out she keeps until the bases are announced. A tap whose loss she makes up for by a better line
    leaves no trace at all, and is what every proof pays for.
    """

    transmittance: float = parameter(0.5, unit="", says="share of the light that goes on")

    name: ClassVar[str] = "tap"
    signature: ClassVar[str] = "all gains fall by one factor; vacuum gain same; QBER up only by the darks' share"
    source: ClassVar[str] = "Bennett et al., J. Cryptology 5, 3 (1992), beam splitting"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [
            replace(branch, transmittance=branch.transmittance * self.transmittance, label=self.labelled(branch))
            for branch in branches
        ]

    def eve_information(self, optics: Optics) -> float:
        """Probability that at least one photon of a bright pulse went out by the tap: 1 - exp(-mu (1 - t)).

        At the transmitter's door, with a laser's pulses: what she takes is independent of what goes on.
        """
        return -math.expm1(-optics.intensities[0] * (1 - self.transmittance))


@dataclass(frozen=True, slots=True)
class Cut(LightAttack):
    """The fibre is cut: no light of the transmitter arrives. Dark counts and jamming light remain."""

    name: ClassVar[str] = "cut"
    signature: ClassVar[str] = "counts fall to the dark level, QBER 50 %"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [replace(branch, transmittance=0.0, label=self.labelled(branch)) for branch in branches]

    def eve_information(self, optics: Optics) -> float:
        """None is left to know."""
        return 0.0


@dataclass(frozen=True, slots=True)
class Jamming(LightAttack):
    """Unpolarised stray light at the receiver's door, ``rate_hz`` photons per second, Poisson."""

    rate_hz: float = parameter(1e7, unit="photons per second", says="stray light at the receiver's door", high=1e15)

    name: ClassVar[str] = "jamming"
    place: ClassVar[Place] = Place.RECEIVER
    signature: ClassVar[str] = "vacuum gain and QBER up together, in both bases, at all times in the gate"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        from qanat.physics.optics import stray_photons  # optics knows attacks

        stray = stray_photons(optics, self.rate_hz)
        return [
            replace(branch, background=branch.background + stray, label=self.labelled(branch)) for branch in branches
        ]

    def eve_information(self, optics: Optics) -> float:
        """None: her light is random."""
        return 0.0
