"""From branches to tables: which pattern of marks a gate shows, given its settings.

A *mark* is a photon detected or a dark count. What is needed of a photon-number law is its void probabilities: with
x_S the probability that one photon is detected in the set S of channels, and G(z) = E[z**n],

    P(no mark in S) = G(1 - x_S) exp(-background_S) prod_{c in S} (1 - p_dark_c),

and inclusion and exclusion over S give the law of the whole pattern. For Poisson light marks are independent over
channels and the pattern's law is a product, which loses no digits. All is computed in 1 - P, so that rare marks
keep their digits.

Settings are numbered s = (intensity * 2 + basis) * 2 + bit.

Source: Poisson thinning and void probabilities, e.g. Kingman, Poisson Processes (1993), chapters 2 and 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qanat.physics.branch import Branch, Table

STATE_COUNT = 4  # states that a transmitter prepares: basis * 2 + bit


@dataclass(frozen=True, slots=True, kw_only=True)
class GateLaw:
    """What the channels do in one gate, given the settings. H branches, S settings, C channels.

    Attributes:
        p_hidden: Law of the branch, shape (H,).
        p_given: Law of the pattern given branch and settings, shape (H, S, 2**C).
        p_pattern: The same with the branch summed out, shape (S, 2**C).
    """

    branches: tuple[Branch, ...]
    p_hidden: Table
    p_given: Table
    p_pattern: Table

    @property
    def p_any(self) -> Table:
        """Probability of any mark given the settings, c(s), shape (S,)."""
        any_mark: Table = self.p_pattern[:, 1:].sum(axis=1)
        return any_mark

    @property
    def p_mark(self) -> Table:
        """Probability of a mark in each channel, c_d(h, s), shape (H, S, C)."""
        channel_count = (self.p_given.shape[2] - 1).bit_length()
        patterns = np.arange(self.p_given.shape[2])
        return np.stack([self.p_given[:, :, patterns >> c & 1 == 1].sum(axis=2) for c in range(channel_count)], axis=2)

    @property
    def p_hidden_given(self) -> Table:
        """Law of the branch once settings and pattern are known, shape (S, 2**C, H); zero for impossible patterns."""
        joint = np.moveaxis(self.p_hidden[:, None, None] * self.p_given, 0, 2)
        total = joint.sum(axis=2, keepdims=True)
        posterior: Table = np.divide(joint, total, out=np.zeros_like(joint), where=total > 0)
        return posterior


def law_from_branches(branches: Sequence[Branch]) -> GateLaw:
    """The tables of a gate that takes one of these branches; their probabilities sum to 1."""
    p_hidden = np.array([branch.p for branch in branches])
    if not np.isclose(p_hidden.sum(), 1, rtol=0, atol=1e-9):
        raise ValueError(f"the branches' probabilities sum to {p_hidden.sum()}")
    p_given = np.array([pattern_law(branch) for branch in branches])
    p_pattern = np.tensordot(p_hidden, p_given, axes=1)
    return GateLaw(branches=tuple(branches), p_hidden=p_hidden, p_given=p_given, p_pattern=p_pattern)


def pattern_law(branch: Branch) -> Table:
    """Law of the pattern given the settings in this branch, shape (S, 2**C)."""
    settings = np.arange(len(branch.light) * STATE_COUNT)
    if branch.answers is not None:
        return branch.answers[settings % STATE_COUNT]
    detected = branch.transmittance * (branch.states @ branch.shares) * branch.efficiency  # per photon, (4, C)
    if branch.photons is None:
        mean = np.repeat(branch.light, STATE_COUNT)[:, None] * detected[settings % STATE_COUNT]
        return _product_law(mean + branch.background, branch.p_dark)
    hit = _hit_by_photons(branch.photons, detected)
    quiet = _members(len(branch.p_dark)) @ (np.log1p(-branch.p_dark) - branch.background)
    return patterns_from_hits(hit - (1 - hit) * np.expm1(quiet))  # 1 - (1 - hit) exp(quiet), without cancellation


def patterns_from_hits(hit: Table) -> Table:
    """Law of the exact pattern from hit[S] = P(at least one mark in S), both over the last axis of size 2**C.

    p[A] = sum over B in A of (-1)**(|B| + 1) hit[not A, and B]; rounding may leave -1e-17, which becomes 0.
    """
    law = np.array(hit, dtype=np.float64)
    size = law.shape[-1]
    step = 1
    while step < size:
        paired = law.reshape(*law.shape[:-1], size // (2 * step), 2, step)
        without, within = paired[..., 0, :].copy(), paired[..., 1, :].copy()
        paired[..., 0, :], paired[..., 1, :] = within, without - within
        step *= 2
    law = np.maximum(0.0, -law)
    law[..., 0] = 1 - hit[..., -1]
    return law


def _product_law(mean: Table, p_dark: Table) -> Table:
    """Independent channels with these mean numbers of detected photons, shape (S, C)."""
    p_mark = p_dark - (1 - p_dark) * np.expm1(-mean)  # 1 - (1 - p_dark) exp(-mean), without cancellation
    law = np.ones((mean.shape[0], 1 << mean.shape[1]))
    for pattern in range(law.shape[1]):
        marked = np.array([pattern >> c & 1 for c in range(mean.shape[1])], dtype=bool)
        law[:, pattern] = np.where(marked, p_mark, 1 - p_mark).prod(axis=1)
    return law


def _hit_by_photons(photons: Table, detected: Table) -> Table:
    """P(at least one photon is detected in S), shape (K * 4, 2**C): 1 - G(1 - x_S)."""
    x = np.minimum(detected @ _members(detected.shape[1]).T, 1 - 1e-16)  # (4, 2**C)
    n = np.arange(photons.shape[1], dtype=np.float64)
    hit_by_n = -np.expm1(n[:, None, None] * np.log1p(-x))
    hit: Table = np.einsum("kn,nsp->ksp", photons, hit_by_n).reshape(-1, x.shape[1])
    return hit


def _members(channel_count: int) -> Table:
    """Which channels each set has, shape (2**C, C)."""
    return (np.arange(1 << channel_count)[:, None] >> np.arange(channel_count) & 1).astype(np.float64)
