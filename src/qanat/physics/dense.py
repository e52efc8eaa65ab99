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

from qanat.physics.branch import Branch, Table
from qanat.physics.clicks import stream_state
from qanat.physics.light import Light
from qanat.physics.sampler import Sampler

CHUNK_CLICKS = 1 << 20
TRAP_KINDS_MAX = 32
LANES = 8  # streams side by side for the first draw of each gate


class Places(NamedTuple):
    """Where in a branch's record each staircase begins, and how many steps it has."""

    transmittance: int
    quiet: int
    inverse_quiet: int
    inverse_none: int
    obeys: int
    number: int
    number_count: int
    states: int
    state_count: int
    shares: int
    channel_count: int
    efficiency: int
    p_dark: int
    stray_number: int
    stray_count: int
    stray_channel: int
    answers: int
    pattern_count: int


class Fates(NamedTuple):
    """What may become of the light, as staircases to be met by a uniform number.

    Attributes:
        branch_word: Law of the branch summed up, in units of 2**-53, shape (phases, H).
        empty: Probability that no photon leaves, none strays in and no channel counts dark, in units of 2**-53, per
            branch and intensity; 0 where the detectors obey.
        record: One row per branch, one array for all, because a kernel pays for every array it touches:
            transmittance; probability of no dark count; one over it; one over that of no stray photon; whether
            detectors obey; then staircases of the photon number (per intensity), of a photon's state (per state
            prepared), of its channel (per state; above the last step it is lost); efficiency and dark counts
            per channel; staircases of the number of stray photons, of a stray's channel, of the answers (per
            state prepared).
        at: Where each begins.
    """

    branch_word: NDArray[np.uint64]
    empty: NDArray[np.uint64]
    record: Table
    at: Places


class DenseSampler(Sampler):
    """As ``SparseSampler``, same arguments and methods; chunks must come without gaps."""

    purpose = "dense"

    def _prepare(self, light: Light) -> None:
        self.fates = fates_of(light)
        if not hasattr(self, "_trapped"):
            self._trapped = np.zeros((self.alive_from.size, TRAP_KINDS_MAX), dtype=np.int64)
            words = [stream_state(bytes(self.state), f"dense/lane {lane}") for lane in range(LANES)]
            self._lanes = np.array(words).T.copy()
        self._trapped[:, self.traps.p_release.size :] = 0  # kinds that are no more

    def _clicked(self, start: int, end: int) -> tuple[NDArray[np.int64], int]:
        from qanat.physics import kernels

        parts, first = [np.empty((5, 0), dtype=np.int64)], start
        kinds = self._trapped[:, : self.traps.p_release.size]
        while start < end:
            rows = self._rows(self._room(end - start, CHUNK_CLICKS))
            trapped = kinds.copy()
            count, start = kernels.dense_clicks(
                start,
                end,
                self.choice,
                self.wiring,
                self.traps,
                self.light.pulses,
                self.fates,
                self.state,
                self._lanes,
                trapped,
                self.alive_from,
                rows,
            )
            kinds[:] = trapped
            parts.append(rows[:, :count].copy())
        return np.concatenate(parts, axis=1), end - first


def fates_of(light: Light) -> Fates:
    """The staircases of this light."""
    branches, count = light.numbered, light.branch_count
    numbers = _stairs_of([b.photons if b.photons is not None else _poisson(b.light) for b in branches])
    strays = _stairs_of([_poisson(np.array([branch.background.sum()])) for branch in branches])
    p_branch = [[phase[h].p if h < len(phase) else 0.0 for h in range(count)] for phase in light.phases]
    rows = [_parts(*three) for three in zip(branches, numbers, strays, strict=True)]
    begins = np.cumsum([0, *(part.size for part in rows[0])])[:-1].tolist()
    record = np.array([np.concatenate([part.ravel() for part in row]) for row in rows])
    at = _places(begins, branches[0], number_count=numbers[0].shape[1], stray_count=strays[0].shape[1])
    quiet = record[:, at.quiet] * record[:, at.stray_number]
    none = np.array([number[:, 0] for number in numbers]) * quiet[:, None]
    empty = np.where(record[:, at.obeys, None] > 0, 0.0, none)
    return Fates(branch_word=_words(_stairs(np.array(p_branch))), empty=_words(empty), record=record, at=at)


def _parts(branch: Branch, number: Table, stray: Table) -> list[Table]:
    quiet = float(np.prod(1 - branch.p_dark))
    some = max(branch.background.sum(), 1e-300)
    answers = np.zeros((4, 1 << len(branch.p_dark))) if branch.answers is None else branch.answers
    head = [branch.transmittance, quiet, 1 / max(quiet, 1e-300), 1 / stray[0, 0], float(branch.answers is not None)]
    return [
        np.array(head),
        number,
        _stairs(branch.states),
        np.cumsum(branch.shares, axis=1),
        branch.efficiency,
        branch.p_dark,
        stray,
        _stairs(branch.background / some),
        _stairs(answers),
    ]


def _places(begins: list[int], branch: Branch, *, number_count: int, stray_count: int) -> Places:
    head, number, states, shares, efficiency, p_dark, stray_number, stray_channel, answers = begins
    return Places(
        transmittance=head,
        quiet=head + 1,
        inverse_quiet=head + 2,
        inverse_none=head + 3,
        obeys=head + 4,
        number=number,
        number_count=number_count,
        states=states,
        state_count=branch.states.shape[1],
        shares=shares,
        channel_count=len(branch.p_dark),
        efficiency=efficiency,
        p_dark=p_dark,
        stray_number=stray_number,
        stray_count=stray_count,
        stray_channel=stray_channel,
        answers=answers,
        pattern_count=1 << len(branch.p_dark),
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


def _words(probabilities: Table) -> NDArray[np.uint64]:
    """In units of 2**-53, as random words are."""
    return np.asarray(np.rint(probabilities * 2.0**53)).astype(np.uint64)


def _stairs_of(laws: Sequence[Table]) -> list[Table]:
    """Staircases of one length."""
    length = max(law.shape[-1] for law in laws)
    padded = [np.concatenate([law, np.zeros((*law.shape[:-1], length - law.shape[-1]))], axis=-1) for law in laws]
    return [_stairs(law) for law in padded]
