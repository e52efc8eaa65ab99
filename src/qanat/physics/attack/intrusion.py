"""Light sent into the transmitter: to read its settings (Trojan horse), or to make its laser brighter (seeding).

Sources: Trojan horse: Gisin et al., Phys. Rev. A 73, 022320 (2006); its leak in the key: Lucamarini et al., Phys.
Rev. X 5, 031030 (2015). Seeding: Huang et al., Phys. Rev. Applied 12, 064043 (2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from qanat.physics.attack.base import LightAttack, Place, parameter
from qanat.physics.attack.information import binary_entropy
from qanat.physics.branch import Branch
from qanat.physics.photons import photon_numbers

if TYPE_CHECKING:
    from qanat.physics.instruments import Instruments
    from qanat.physics.optics import Optics

PHOTON_ENERGY_J = 6.62607015e-34 * 299_792_458 / 1550e-9  # h c / lambda, 1.28e-19 J
NW = 1e-9


@dataclass(frozen=True, slots=True)
class TrojanHorse(LightAttack):
    """Eve shines into the transmitter and reads the settings from what is reflected.

    No count changes. Of her light, 10**(-isolation_db / 10) comes back with the setting on it; whether the key
    survives that is for the proof (``phase_error_with_leak``), which must be told the isolation.
    """

    power_nw: float = parameter(1000.0, unit="nW", says="her light at the transmitter's exit", high=1e12)
    isolation_db: float = parameter(100.0, unit="dB", says="loss of her light on its way in and back", high=400.0)

    name: ClassVar[str] = "trojan-horse"
    place: ClassVar[Place] = Place.TRANSMITTER
    signature: ClassVar[str] = "in-port power at the transmitter up; all counts same"
    source: ClassVar[str] = "Lucamarini et al., Phys. Rev. X 5, 031030 (2015)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [replace(branch, label=self.labelled(branch)) for branch in branches]

    def on_instruments(self, instruments: Instruments, optics: Optics) -> Instruments:
        return replace(instruments, in_port_power_nw=instruments.in_port_power_nw + self.power_nw)

    def leaked_photons(self, optics: Optics) -> float:
        """Mean number of photons per gate that come back to Eve, mu_out."""
        per_gate = self.power_nw * NW / PHOTON_ENERGY_J / optics.clock_hz
        return float(per_gate * 10 ** (-self.isolation_db / 10))

    def eve_information(self, optics: Optics) -> float:
        """Holevo's bound for the two coherent states of one basis: h((1 - exp(-2 mu_out)) / 2)."""
        return binary_entropy(-math.expm1(-2 * self.leaked_photons(optics)) / 2)


def phase_error_with_leak(error: float, mu_out: float, yield_one: float) -> float:
    """The phase error rate of single photons when mu_out photons per gate leak from the transmitter.

    e + 4 D (1-D) (1-2e) + 4 (1-2D) sqrt(D (1-D) e (1-e)), with D = (1 - exp(-mu_out) cos(mu_out)) / (2 Y1).

    Args:
        error: Bit error rate e of single photons in the other basis.
        yield_one: Y1, detections per single photon sent.

    Returns:
        1/2 where the leak leaves nothing to bound.

    Source: Lucamarini et al., Phys. Rev. X 5, 031030 (2015).

    Example:
        >>> round(phase_error_with_leak(0.01, 1e-6, 0.0126), 12)
        0.012662433345
    """
    d = (1 - math.exp(-mu_out) * math.cos(mu_out)) / (2 * yield_one)
    if d >= 1 / 2:
        return 0.5
    moved = error + 4 * d * (1 - d) * (1 - 2 * error) + 4 * (1 - 2 * d) * math.sqrt(d * (1 - d) * error * (1 - error))
    return min(0.5, moved)


@dataclass(frozen=True, slots=True)
class LaserSeeding(LightAttack):
    """Eve's light in the laser makes every pulse brighter by one factor, so that the proof counts on too little light.

    ``seen`` is how much of the rise the transmitter's monitor diode shows: 1 all of it, 0 nothing (it looks at other
    light, or was damaged).
    """

    factor: float = parameter(1.1, unit="", says="mean photon numbers over the nominal ones", low=1.0, high=10.0)
    seen: float = parameter(1.0, unit="", says="share of the rise that the monitor diode shows")
    power_nw: float = parameter(1.6e6, unit="nW", says="her light at the transmitter's exit", high=1e12)

    name: ClassVar[str] = "laser-seeding"
    place: ClassVar[Place] = Place.TRANSMITTER
    signature: ClassVar[str] = (
        "all gains but the vacuum's up by one factor; power and in-port meters of the transmitter up"
    )
    source: ClassVar[str] = "Huang et al., Phys. Rev. Applied 12, 064043 (2019); 1310 nm, 1.6 mW: +10 %"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [self._brighter(branch, optics) for branch in branches]

    def _brighter(self, branch: Branch, optics: Optics) -> Branch:
        light = branch.light * self.factor
        photons = None if branch.photons is None else photon_numbers(optics.photon_law, light)
        return replace(branch, light=light, photons=photons, label=self.labelled(branch))

    def on_instruments(self, instruments: Instruments, optics: Optics) -> Instruments:
        return replace(
            instruments,
            power_ratio=instruments.power_ratio * (1 + (self.factor - 1) * self.seen),
            in_port_power_nw=instruments.in_port_power_nw + self.power_nw,
        )
