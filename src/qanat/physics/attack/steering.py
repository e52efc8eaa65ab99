"""Wavelengths at which the receiver's beam splitter does not split: Eve chooses the basis for the receiver.

Source: Li et al., Phys. Rev. A 84, 062308 (2011): a fused coupler of nominally 1/2 sends 0.986 of the light at 1470 nm
to one arm and 0.003 of that at 1290 nm (figures unconfirmed in reference/threats.md; they are parameters).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qanat.physics.attack.base import LightAttack, parameter
from qanat.physics.attack.resend import resent
from qanat.physics.branch import Branch, Table, split
from qanat.physics.layout import Layout

if TYPE_CHECKING:
    from qanat.physics.optics import Optics


@dataclass(frozen=True, slots=True)
class WavelengthSteering(LightAttack):
    """Intercept and resend at two wavelengths: what Eve measured in X she sends where the X arm gets nearly all light.

    Detectors are taken to be as efficient there as at the link's own wavelength.
    """

    fraction: float = parameter(1.0, unit="", says="share of the pulses that she takes")
    coupling_x: float = parameter(0.986, unit="", says="share of light to the X arm, at the wavelength for X")
    coupling_z: float = parameter(0.003, unit="", says="share of light to the X arm, at the wavelength for Z")
    choose_x: float = parameter(0.5, unit="", says="share of the pulses that she measures in X")

    name: ClassVar[str] = "wavelength-steering"
    signature: ClassVar[str] = "share of the detections in X leaves the splitter's; QBER up by less than 1 %"
    source: ClassVar[str] = "Li et al., Phys. Rev. A 84, 062308 (2011)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        taken: list[Branch] = []
        for branch in branches:
            taken += split([branch], [(1 - self.fraction, {})])
            ways = (("x", self.choose_x, self.coupling_x), ("z", 1 - self.choose_x, self.coupling_z))
            for basis, p, coupling in ways:
                sent = resent(branch, basis)
                shares = steered(sent.shares, optics.layout, coupling)
                taken.append(replace(sent, p=branch.p * self.fraction * p, shares=shares, label=self.labelled(branch)))
        return [branch for branch in taken if branch.p > 0]

    def eve_information(self, optics: Optics) -> float | None:
        """Where the receiver measured in X, the share of detections for which she did too; with all pulses taken."""
        if self.fraction < 1:
            return None
        same, other = self.choose_x * self.coupling_x, (1 - self.choose_x) * self.coupling_z
        return same / (same + other) if same + other > 0 else 0.0


def steered(shares: Table, layout: Layout, coupling_x: float) -> Table:
    """Shares (M, C) when the splitter sends this share of all light that reaches a basis to the arm of X."""
    bases = np.array([-1 if channel.basis is None else channel.basis for channel in layout.channels])
    is_x, is_told = bases == 0, bases >= 0
    whole = shares[:, is_told].sum(axis=1)
    moved = shares.copy()
    for arm, share in ((is_x, coupling_x), (is_told & ~is_x, 1 - coupling_x)):
        inside = shares[:, arm]
        before = inside.sum(axis=1, keepdims=True)
        inside = np.divide(inside, before, out=np.zeros_like(inside), where=before > 0)
        moved[:, arm] = share * whole[:, None] * inside
    return moved
