"""Tables of the sparse sampler: which marks a gate shows, and what may have made them.

A *row* is a set of detectors that are alive. Where detectors are held off together there is one row; where each has
a hold-off of its own, every set has the law of its own marks alone, so that no work is spent on the dead. Where
that would be too large, one row serves all and marks of dead detectors are deleted: the law is the same.
A *table* is a row in one phase of the pulsed attacks: table = row * phases + phase.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanat.physics.branch import Branch, Table
from qanat.physics.law import GateLaw, law_from_branches, pattern_law
from qanat.physics.light import Light
from qanat.physics.tables import Wiring, inverse_log

TABLE_SIZE_MAX = 1 << 21  # numbers in the largest array: 16 MB


class Marks(NamedTuple):
    """How marks are drawn.

    Attributes:
        cumulative: Per settings, the probabilities of the patterns summed up, most likely first, shape
            (tables, S, 2**C - 1); the last column is c(s).
        pattern: Which pattern each column adds, same shape.
        p_bound: Largest c(s): the bound of the thinning, shape (rows, phases).
        inverse_log_bound: 1 / log(1 - p_bound), for geometric gaps; 0 when nothing can click.
        row_of_alive: Row of each set of detectors that answer, shape (2**D,).
        stops_at_phases: Whether a candidate is drawn anew where a pulsed attack goes on or off; else one bound
            holds for all phases.
    """

    cumulative: Table
    pattern: NDArray[np.int64]
    p_bound: Table
    inverse_log_bound: Table
    row_of_alive: NDArray[np.int64]
    stops_at_phases: bool


class Causes(NamedTuple):
    """How what lies behind the marks is drawn once they are known. H branches.

    Attributes:
        hidden: Posterior of the branch, summed up, shape (tables, S, 2**C, H).
        signal: Law of the pattern that the light alone makes, shape (tables, H, S, 2**C).
        noise: Probability that all channels of a set have noise, shape (phases, H, 2**C).
    """

    hidden: Table
    signal: Table
    noise: Table


def marks_and_causes(light: Light, wiring: Wiring) -> tuple[Marks, Causes]:
    """The tables of this light."""
    laws = [law_from_branches(phase) for phase in light.phases]
    signals = [np.array([light_alone(branch) for branch in phase]) for phase in light.phases]
    rows = _rows(light, wiring, laws)
    channels = [int(wiring.channels_of[alive]) for alive in rows]
    alone = [_only(law, c) for c in channels for law in laws]
    ranked = [_ranked(law.p_pattern[:, 1:]) for law in alone]
    cumulative = np.array([sums for sums, _ in ranked])
    p_bound = cumulative[:, :, -1].max(axis=1).reshape(len(rows), len(laws))
    stops = len(laws) > 1 and float((2 / light.pulses.period).sum()) < p_bound.max()
    if not stops:
        p_bound = np.repeat(p_bound.max(axis=1, keepdims=True), len(laws), axis=1)
    row_of_alive = np.arange(len(wiring.channels_of)) if len(rows) > 1 else np.zeros(len(wiring.channels_of))
    marks = Marks(
        cumulative=cumulative,
        pattern=np.array([order for _, order in ranked]),
        p_bound=p_bound,
        inverse_log_bound=np.vectorize(inverse_log, otypes=[np.float64])(p_bound),
        row_of_alive=row_of_alive.astype(np.int64),
        stops_at_phases=stops,
    )
    count = light.branch_count
    causes = Causes(
        hidden=np.array([_filled(np.cumsum(law.p_hidden_given, axis=2), 2, count) for law in alone]),
        signal=np.array([_filled(_folded(s, c), 0, count) for c in channels for s in signals]),
        noise=np.array([_filled(np.array([_all_noisy(b) for b in phase]), 0, count) for phase in light.phases]),
    )
    return marks, causes


def _rows(light: Light, wiring: Wiring, laws: list[GateLaw]) -> list[int]:
    """Sets of alive detectors that get tables of their own."""
    everyone = len(wiring.channels_of) - 1
    size = (everyone + 1) * len(laws) * laws[0].p_given[0].size * light.branch_count
    return [everyone] if light.memory.is_simultaneous or size > TABLE_SIZE_MAX else list(range(everyone + 1))


def light_alone(branch: Branch) -> Table:
    """Law of the pattern that the light alone makes, given the settings, shape (S, 2**C)."""
    nothing = np.zeros_like(branch.p_dark)
    return pattern_law(replace(branch, background=nothing, p_dark=nothing))


def _all_noisy(branch: Branch) -> Table:
    """Probability that all channels of a set count dark or catch stray light, shape (2**C,)."""
    if branch.answers is not None:
        return np.asarray(np.eye(1, branch.answers.shape[1])[0])
    p_noise = branch.p_dark - (1 - branch.p_dark) * np.expm1(-branch.background)
    members = np.arange(1 << len(p_noise))[:, None] >> np.arange(len(p_noise)) & 1
    return np.asarray(np.where(members == 1, p_noise, 1.0).prod(axis=1))


def _only(law: GateLaw, channels: int) -> GateLaw:
    """The law of the marks of these channels, whatever the others show."""
    p_given = _folded(law.p_given, channels)
    return replace(law, p_given=p_given, p_pattern=np.tensordot(law.p_hidden, p_given, axes=1))


def _folded(law: Table, channels: int) -> Table:
    folded = law.copy()
    size = law.shape[-1]
    for channel in range((size - 1).bit_length()):
        if not channels >> channel & 1:
            paired = folded.reshape(*law.shape[:-1], size >> (channel + 1), 2, 1 << channel)
            paired[..., 0, :] += paired[..., 1, :]
            paired[..., 1, :] = 0.0
    return folded


def _ranked(marked: Table) -> tuple[Table, NDArray[np.int64]]:
    order = np.argsort(-marked, axis=1, kind="stable")
    return np.cumsum(np.take_along_axis(marked, order, axis=1), axis=1), (order + 1).astype(np.int64)


def _filled(values: Table, axis: int, count: int) -> Table:
    """Repeat the last entry along an axis up to this many."""
    missing = count - values.shape[axis]
    last = np.take(values, [-1] * missing, axis=axis)
    return np.concatenate([values, last], axis=axis) if missing else values
