"""Branches: what may happen to the light of a gate, with its probability. Attacks turn branches into branches.

A gate takes one branch, drawn independently of all other gates and of the settings. Inside a branch everything
is plain numbers, so that one table builder (``law.py``) and one photon-by-photon oracle (``dense.py``) serve all
effects and all attacks. The branch taken is nature's secret: its ``label`` is the ground truth that no engine reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.float64]
HONEST = "honest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One thing that may happen to the light of a gate. K intensities, M states of light, C channels.

    Light takes this way: ``photons`` leave the transmitter's door; each that survives ``transmittance`` is in one of
    the M states by ``states`` (row: what was prepared, basis * 2 + bit); each reaches a channel by ``shares`` and
    is detected with that channel's ``efficiency``. Stray photons and dark counts come on top.

    Attributes:
        label: Who or what did it; the ground truth.
        p: Share of the gates.
        photons: Law of the photon number on the line, shape (K, N), rows sum to 1; None: Poisson with ``light``.
        light: Mean photon numbers per intensity, shape (K,).
        transmittance: From the transmitter's door to the receiver's.
        states: Law of a photon's state at the receiver's door given what was prepared, shape (4, M).
        shares: Share of the photons in a state that reach each channel, before efficiency, shape (M, C).
        efficiency, background, p_dark: Per channel: of detection, mean stray photons *detected* per gate, and
            dark counts per gate, shape (C,).
        answers: Law of the pattern given what was prepared, shape (4, 2**C): detectors that do not count photons but
            obey (blinded ones). It replaces light, background and dark counts.
        offset_ps: By how much the light arrives later than it should.
    """

    label: str = HONEST
    p: float
    photons: Table | None = None
    light: Table
    transmittance: float
    states: Table
    shares: Table
    efficiency: Table
    background: Table
    p_dark: Table
    answers: Table | None = None
    offset_ps: float = 0.0


def split(branches: Iterable[Branch], choices: Iterable[tuple[float, dict[str, object]]]) -> list[Branch]:
    """Every branch, once per choice: with probability and with these fields changed. Impossible ones are left out."""
    listed = list(choices)
    return [
        replace(branch, p=branch.p * p, **changes)  # type: ignore[arg-type]
        for branch in branches
        for p, changes in listed
        if branch.p * p > 0
    ]


def in_one_alphabet(branches: Sequence[Branch]) -> list[Branch]:
    """The same branches, all with as many states of light as the one that has most; nothing is in the new ones."""
    size = max((branch.states.shape[1] for branch in branches), default=0)
    return [_padded(branch, size - branch.states.shape[1]) for branch in branches]


def _padded(branch: Branch, count: int) -> Branch:
    states, shares = np.pad(branch.states, ((0, 0), (0, count))), np.pad(branch.shares, ((0, count), (0, 0)))
    return replace(branch, states=states, shares=shares) if count else branch


def merged(branches: Iterable[Branch]) -> list[Branch]:
    """Branches that differ in nothing but their probability become one."""
    seen: dict[tuple[object, ...], Branch] = {}
    for branch in branches:
        if branch.p <= 0:
            continue
        key = _key(branch)
        before = seen.get(key)
        seen[key] = branch if before is None else replace(before, p=before.p + branch.p)
    return list(seen.values())


def _key(branch: Branch) -> tuple[object, ...]:
    values = (getattr(branch, name) for name in Branch.__dataclass_fields__ if name != "p")
    return tuple(value.tobytes() if isinstance(value, np.ndarray) else value for value in values)
