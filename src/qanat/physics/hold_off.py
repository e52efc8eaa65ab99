"""What hold-off leaves of the marks on average: with a common one of the receiver as one, else of each detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.physics.branch import Table
from qanat.physics.renewal import released_alive
from qanat.physics.tables import Traps


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What hold-off does: shape (D,) each; with a common hold-off all are alike and ``is_common``.

    Attributes:
        alive: Share of the gates in which a mark becomes a click.
        after: Afterpulse clicks per gate.
        fano: Of the clicks.
    """

    is_common: bool
    alive: Table
    after: Table
    fano: Table


def load_of(marks: Table, p_settings: Table, firing: Table, traps: Traps) -> Load:
    """The load of these marks, shape (S, 2**C)."""
    joint = p_settings @ marks
    m = joint @ firing  # of each detector
    if not traps.is_simultaneous:
        kept = [
            released_alive(float(m[d]), int(traps.dead_gates[d]), traps.p_trap[d : d + 1], traps.p_release)
            for d in range(len(m))
        ]
        each_a = np.concatenate(kept)
        load = 1 + m * traps.dead_gates - each_a
        return Load(is_common=False, alive=(1 - each_a) / load, after=each_a * m / load, fano=(1 - m) / load**2)
    any_mark = float(joint[1:].sum())
    if any_mark == 0:
        return Load(is_common=True, alive=np.ones_like(m), after=np.zeros_like(m), fano=np.ones_like(m))
    longest = np.where(firing > 0, traps.dead_gates, 0).max(axis=1)
    dead = round(float(joint[1:] @ longest[1:]) / any_mark)
    per_click = m / any_mark  # firings of each detector per click
    a_each = per_click * released_alive(any_mark, dead, traps.p_trap, traps.p_release)
    a = float(a_each.sum())
    load_all = 1 + any_mark * dead - a
    after = a_each * any_mark / load_all
    same = np.ones_like(m)
    fano = same * ((1 - any_mark) / load_all**2)
    return Load(is_common=True, alive=same * ((1 - a) / load_all), after=after, fano=fano)
