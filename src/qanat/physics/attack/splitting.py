"""Photon-number splitting: Eve counts the photons of each pulse without disturbing them.

Sources: Brassard, Luetkenhaus, Mor, Sanders, Phys. Rev. Lett. 85, 1330 (2000); Luetkenhaus and Jahma, New J. Phys. 4,
44 (2002). That she needs a loss of 7.4 dB for mu = 0.5 to hide it wholly follows from P(n >= 2) = mu t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from qanat.physics.attack.base import LightAttack, parameter
from qanat.physics.branch import Branch, Table, split
from qanat.physics.photons import PhotonLaw, photon_numbers

if TYPE_CHECKING:
    from qanat.physics.optics import Optics


@dataclass(frozen=True, slots=True)
class PhotonNumberSplitting(LightAttack):
    """Eve blocks pulses of one photon, and of each with more she keeps all but one until the bases are announced.

    The one photon goes to the receiver over a line without loss, with the probability that keeps the rate of the
    brightest pulses what it was; she cannot know the intensity of a pulse, so dimmer ones betray her. Single photons
    that she does not block go the usual way. Where the loss is too low to hide all, she blocks fewer; below 3.4 dB for
    mu = 0.5 one photon per pulse is not enough to hide anything, and she lets the light pass.
    """

    fraction: float = parameter(1.0, unit="", says="share of the pulses that she counts")
    block_single: float = parameter(1.0, unit="", says="share of the single photons that she blocks, at most")

    name: ClassVar[str] = "photon-number-splitting"
    signature: ClassVar[str] = (
        "dim pulses' gain falls, the brightest pulses' gain and QBER same: only their ratio tells"
    )
    source: ClassVar[str] = "Brassard et al., Phys. Rev. Lett. 85, 1330 (2000)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        return [part for branch in branches for part in self._on_one(branch)]

    def _on_one(self, branch: Branch) -> list[Branch]:
        photons, plan = photons_of(branch), self.plan(branch)
        if plan is None:
            return [branch]
        blocked, sent = plan
        single = branch.transmittance * (1 - blocked) * photons[:, 1] + sent * photons[:, 2:].sum(axis=1)
        counted = {
            "photons": np.stack([1 - single, single], axis=1),
            "transmittance": 1.0,
            "label": self.labelled(branch),
        }
        return split([branch], [(1 - self.fraction, {}), (self.fraction, counted)])

    def plan(self, branch: Branch) -> tuple[float, float] | None:
        """How she keeps the brightest pulses' detections what they were, None if she cannot.

        Share of the single photons blocked, and share of the pulses with more from which one photon is sent.
        """
        photons, t = photons_of(branch)[0], branch.transmittance
        p_one, p_more = float(photons[1]), float(photons[2:].sum())
        detected = float((branch.states @ branch.shares @ branch.efficiency).mean())  # of a photon that arrives
        if detected <= 0 or t <= 0:
            return self.block_single, 0.0
        n = np.arange(photons.size)
        wanted = -float(photons @ np.expm1(n * np.log1p(-min(t * detected, 1 - 1e-16)))) / detected
        room = 1.0 if p_one * t <= 0 else 1 - (wanted - p_more) / (t * p_one)  # she sends from all that have more
        if room < -1e-12:
            return None
        blocked = min(self.block_single, max(0.0, room))
        sent = 0.0 if p_more <= 0 else (wanted - (1 - blocked) * t * p_one) / p_more
        return blocked, min(1.0, max(0.0, sent))

    def eve_information(self, optics: Optics) -> float:
        """Share of the brightest pulses' detections of which she holds a photon; she knows those bits wholly."""
        from qanat.physics.optics import honest_branches  # optics knows attacks

        branch = honest_branches(optics)[0]
        photons = photons_of(branch)[0]
        blocked, sent = self.plan(branch) or (0.0, 0.0)
        kept = sent * float(photons[2:].sum())
        arriving = kept + optics.transmittance * (1 - blocked) * float(photons[1])
        return self.fraction * kept / arriving if arriving > 0 else 0.0


def photons_of(branch: Branch) -> Table:
    """The law of the photon number on the line, written out, with at least the columns 0, 1 and 2."""
    if branch.photons is None:
        return photon_numbers(PhotonLaw.POISSON, branch.light)
    missing = max(0, 3 - branch.photons.shape[1])
    return np.pad(branch.photons, ((0, 0), (0, missing)))
