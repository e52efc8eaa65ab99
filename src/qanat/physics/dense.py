"""The dense oracle: every slot, every photon, every trapped carrier, one by one. Slow on purpose.

It shares with the sparse sampler the settings function, the wiring of channels and the time tagger, and none of its
tables: the branch is drawn, then the photon number, and each photon's fate is followed (fibre, state, channel,
efficiency); stray photons and darks are drawn, carriers are released by a hazard per slot, hold-off is counted out.
If both agree in law, void probabilities, thinning, geometric gaps, posteriors and scheduled releases are right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Table
from qanat.physics.light import Light
from qanat.physics.sampler import Sampler

CHUNK_CLICKS = 1 << 20
TRAP_KINDS_MAX = 16


class Fates(NamedTuple):
    """What may become of the light, as staircases to be met by a uniform number. First axes: phase, branch.

    Attributes:
        p_branch: Of the branch, shape (phases, H).
        number: Of the photons that leave, shape (.., K, N).
        transmittance: Shape (phases, H).
        states: Of a photon's state given what was prepared, shape (.., 4, M).
        shares: Of its channel given the state, shape (.., M, C); above the last step it is lost.
        efficiency: Shape (.., C).
        stray_number, stray_channel: Of the stray photons detected, and of their channel.
        has_strays: Whether there are any.
        p_dark, quiet: Dark counts per channel; the probability that no channel has one.
        obeys, answers: Whether the detectors follow ``answers``, a staircase over patterns, shape (.., 4, 2**C).
    """

    p_branch: Table
    number: Table
    transmittance: Table
    states: Table
    shares: Table
    efficiency: Table
    stray_number: Table
    stray_channel: Table
    has_strays: NDArray[np.bool_]
    p_dark: Table
    quiet: Table
    obeys: NDArray[np.bool_]
    answers: Table


class DenseSampler(Sampler):
    """As ``SparseSampler``, same arguments and methods; chunks must come without gaps."""

    purpose = "dense"

    def _prepare(self, light: Light) -> None:
        self.fates = fates_of(light)
        if not hasattr(self, "_trapped"):
            self._trapped = np.zeros((self.alive_from.size, TRAP_KINDS_MAX), dtype=np.int64)
        self._trapped[:, self.traps.p_release.size :] = 0  # kinds that are no more

    def _clicked(self, start: int, end: int) -> tuple[NDArray[np.int64], int]:
        from qanat.physics import kernels

        parts, first = [np.empty((5, 0), dtype=np.int64)], start
        kinds = self._trapped[:, : self.traps.p_release.size]
        while start < end:
            rows = np.empty((5, self._room(end - start, CHUNK_CLICKS)), dtype=np.int64)
            trapped = kinds.copy()
            count, _, start = kernels.dense_clicks(
                start,
                end,
                self.choice,
                self.wiring,
                self.traps,
                self.light.pulses,
                self.fates,
                self.state,
                trapped,
                int(trapped.sum()),
                self.alive_from,
                rows,
            )
            kinds[:] = trapped
            parts.append(rows[:, :count])
        return np.concatenate(parts, axis=1), end - first


def fates_of(light: Light) -> Fates:
    """The staircases of this light."""
    branches, count = light.numbered, light.branch_count

    def column(one: list[Table]) -> Table:
        return np.array(one, dtype=np.float64).reshape(len(light.phases), count, *np.shape(one[0]))

    numbers = [branch.photons if branch.photons is not None else _poisson(branch.light) for branch in branches]
    strays = [_poisson(np.array([branch.background.sum()]))[0] for branch in branches]
    pattern_count = light.optics.layout.pattern_count
    answers = [np.zeros((4, pattern_count)) if b.answers is None else b.answers for b in branches]
    p_branch = [[phase[h].p if h < len(phase) else 0.0 for h in range(count)] for phase in light.phases]
    return Fates(
        p_branch=_stairs(np.array(p_branch)),
        number=column(_stairs_of(numbers)),
        transmittance=column([np.array(branch.transmittance) for branch in branches]),
        states=column([_stairs(branch.states) for branch in branches]),
        shares=column([np.cumsum(branch.shares, axis=1) for branch in branches]),
        efficiency=column([branch.efficiency for branch in branches]),
        stray_number=column(_stairs_of(strays)),
        stray_channel=column(
            [_stairs(branch.background / max(branch.background.sum(), 1e-300)) for branch in branches]
        ),
        has_strays=column([np.array(branch.background.sum() > 0) for branch in branches]) > 0,
        p_dark=column([branch.p_dark for branch in branches]),
        quiet=column([np.asarray(np.prod(1 - branch.p_dark)) for branch in branches]),
        obeys=column([np.array(branch.answers is not None) for branch in branches]) > 0,
        answers=column([_stairs(answer) for answer in answers]),
    )


def _poisson(means: Table) -> Table:
    """P(n) by its recursion, far enough that the rest does not matter; rows of one length."""
    most = float(means.max())
    length = math.ceil(most + 12 * math.sqrt(most + 1) + 20)
    rows = [[math.exp(-mean)] for mean in means]
    for row, mean in zip(rows, means, strict=True):
        for n in range(1, length):
            row.append(row[-1] * mean / n)
    return np.array(rows)


def _stairs(law: Table) -> Table:
    """Summed up; the last step that can be met reaches 1, so that no draw falls beyond it for rounding."""
    stairs = np.cumsum(law, axis=-1)
    stairs[stairs >= stairs[..., -1:]] = 1.0
    return stairs


def _stairs_of(laws: Sequence[Table]) -> list[Table]:
    """Staircases of one length."""
    length = max(law.shape[-1] for law in laws)
    padded = [np.concatenate([law, np.zeros((*law.shape[:-1], length - law.shape[-1]))], axis=-1) for law in laws]
    return [_stairs(law) for law in padded]
