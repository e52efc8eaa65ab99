"""Intercept and resend: Eve measures pulses and sends on what she found.

Sources: Bennett, Bessette, Brassard, Salvail, Smolin, J. Cryptology 5, 3 (1992), for the attack and for the basis
between the two (Breidbart's): it gives every bit with probability cos(pi/8)**2 = 0.854 and no basis certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from qanat.physics.attack.alphabet import PREPARED_COUNT, measured, widened
from qanat.physics.attack.base import LightAttack, Place, choice, parameter
from qanat.physics.attack.information import binary_entropy
from qanat.physics.branch import Branch, Table, split

if TYPE_CHECKING:
    from qanat.physics.optics import Optics

_BASES = {"random": ("x", "z"), "x": ("x",), "z": ("z",), "breidbart": ("breidbart",)}
# Probability that Eve guesses a bit of basis X right, once the basis is announced.
_GUESSES_X = {"random": 3 / 4, "x": 1.0, "z": 1 / 2, "breidbart": math.cos(math.pi / 8) ** 2}


@dataclass(frozen=True, slots=True)
class InterceptResend(LightAttack):
    """Eve measures a share of the pulses and sends on what she found.

    Every photon of a pulse that she takes is measured and goes on in the state found, so that the rates stay what they
    were and only the errors tell. With intrinsic error e0, error rate e0 + fraction (1 - 2 e0) / 4 in both bases for
    ``random`` and ``breidbart``; with one basis only, none in that basis and (1 - 2 e0) / 2 in the other.
    """

    fraction: float = parameter(1.0, unit="", says="share of the pulses that she takes")
    basis: str = choice("random", says="how she chooses what to measure", options=tuple(_BASES))

    name: ClassVar[str] = "intercept-resend"
    place: ClassVar[Place] = Place.LINE
    signature: ClassVar[str] = (
        "QBER up (25 % of the pulses taken, in both bases; one basis only: in the other); rates same"
    )
    source: ClassVar[str] = "Bennett et al., J. Cryptology 5, 3 (1992)"

    def on(self, branches: Sequence[Branch], optics: Optics) -> list[Branch]:
        bases = _BASES[self.basis]
        taken: list[Branch] = []
        for branch in branches:
            taken += split([branch], [(1 - self.fraction, {})])
            for basis in bases:
                after = resent(branch, basis)
                taken.append(replace(after, p=branch.p * self.fraction / len(bases), label=self.labelled(branch)))
        return taken

    @property
    def guessing_probability(self) -> float:
        """That Eve guesses a sifted bit of basis X that she took."""
        return _GUESSES_X[self.basis]

    def eve_information(self, optics: Optics) -> float:
        """``random``: she knows half of the bits, and which; else a binary channel with her guessing probability."""
        whole = 1 / 2 if self.basis == "random" else 1 - binary_entropy(self.guessing_probability)
        return self.fraction * whole


def resent(branch: Branch, basis: str) -> Branch:
    """The light after Eve measured it in this basis and sent on what she found."""
    if branch.states.shape[1] == PREPARED_COUNT and basis != "breidbart":
        return replace(branch, states=branch.states @ measured(basis)[:PREPARED_COUNT, :PREPARED_COUNT])
    wide = widened(branch)
    return replace(wide, states=wide.states @ measured(basis))


def measured_state_map(basis: int) -> Table:
    """Eve measures in this basis and sends on what she found: state -> law of the new state, shape (4, 4)."""
    return measured("xz"[basis])[:PREPARED_COUNT, :PREPARED_COUNT]
