"""Law of the gaps between a receiver's clicks, in the histogram's bins: the statistical tier's counterpart of counting.

After a click nothing comes for the hold-off, then marks with probability m per gate and what the click left in traps:
P(gap > g) = (1 - m)**(g - D) exp(-sum over traps of p ((1 - h)**D - (1 - h)**g)). With a hold-off per detector, the
detector that clicked does this and the others are met at any moment of theirs: alive, or dead with an even rest.

Neglected: carriers of earlier clicks, tags that leave their gate or the window, clicks that tell no basis (with side
slots of a time-bin receiver gaps come out too short). Phases of pulsed attacks are weighed by their clicks, so gaps
across their edges are missing.
Source: renewal theory, e.g. Cox, Renewal Theory (1962), chapter 5, the equilibrium process.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.core.health import GAP_BIN_COUNT
from qanat.physics.branch import Table
from qanat.physics.law import law_from_branches
from qanat.physics.light import Light
from qanat.physics.patterns import firing_detectors, first_of_each
from qanat.physics.settings import SettingsLaw
from qanat.physics.tables import Traps, traps_from_memory, wiring_from_layout

_EDGES = 2.0 ** np.arange(GAP_BIN_COUNT)  # bin k begins at gaps of 2**k


def gap_law(light: Light, settings: SettingsLaw) -> Table:
    """Probability of each bin, shape (GAP_BIN_COUNT,)."""
    layout = light.optics.layout
    wiring, traps = wiring_from_layout(layout), traps_from_memory(light.memory, layout.detector_count)
    firing, total = firing_detectors(wiring), np.zeros(GAP_BIN_COUNT)
    for share, phase in zip(light.shares, light.phases, strict=True):
        joint = settings.p_settings @ first_of_each(law_from_branches(phase).p_pattern, wiring)
        survival, rate = _common(joint, firing, traps) if traps.is_simultaneous else _own(joint @ firing, traps)
        total += share * rate * np.diff(-np.append(survival, 0.0))
    return total / total.sum() if total.sum() > 0 else total


def _common(joint: Table, firing: Table, traps: Traps) -> tuple[Table, float]:
    """P(gap >= edge) of the receiver as one, and its rate."""
    m = float(joint[1:].sum())
    if m == 0:
        return np.zeros(GAP_BIN_COUNT), 0.0
    longest = np.where(firing > 0, traps.dead_gates, 0).max(axis=1)
    dead = round(float(joint[1:] @ longest[1:]) / m)
    left = (joint @ firing) / m @ traps.p_trap  # carriers per click, of each kind
    return _after_own_click(m, dead, left, traps), m / (1 + m * dead)


def _own(m: Table, traps: Traps) -> tuple[Table, float]:
    """The same for detectors that are held off by themselves."""
    rates = m / (1 + m * traps.dead_gates)
    if rates.sum() == 0:
        return np.zeros(GAP_BIN_COUNT), 0.0
    pairs = list(zip(m.tolist(), traps.dead_gates.tolist(), strict=True))
    others = [_from_any_moment(*pair) for pair in pairs]
    survival = np.zeros(GAP_BIN_COUNT)
    for d, (mark, dead) in enumerate(pairs):
        rest = np.prod([other for k, other in enumerate(others) if k != d], axis=0)
        survival += rates[d] / rates.sum() * rest * _after_own_click(mark, dead, traps.p_trap[d], traps)
    return survival, float(rates.sum())


def _after_own_click(m: float, dead: int, left: Table, traps: Traps) -> Table:
    """P(gap >= edge) after a click at 0: no click in gates 1 .. edge - 1."""
    g = _EDGES - 1
    live = np.maximum(0.0, g - dead)
    keeps = np.log1p(-np.minimum(traps.p_release, 1 - 1e-15))[:, None]
    released = np.exp(keeps * np.minimum(dead, g)) - np.exp(keeps * g)
    return np.asarray(np.exp(live * np.log1p(-min(m, 1 - 1e-15)) - left @ released))


def _from_any_moment(m: float, dead: int) -> Table:
    """P(no click in the next edge - 1 gates) of a detector looked at by chance: alive, or each of its dead gates with
    the probability of a click."""
    g, log_q = _EDGES - 1, float(np.log1p(-min(m, 1 - 1e-15)))
    rate = m / (1 + m * dead)
    woken = np.minimum(g, dead)  # rests of 0 .. woken - 1 gates end before g; a rest u leaves g - u live gates
    inside = np.exp(log_q * (g - woken + 1)) * (-np.expm1(log_q * woken) / m if m > 0 else woken)
    return np.asarray((1 - rate * dead) * np.exp(log_q * g) + rate * (dead - woken + inside))


def drawn_gaps(law: Table, count: int, stream: np.random.Generator) -> NDArray[np.int64]:
    """This many gaps, dealt to the bins."""
    if count <= 0 or law.sum() <= 0:
        return np.zeros(GAP_BIN_COUNT, dtype=np.int64)
    return np.asarray(stream.multinomial(count, law / law.sum()), dtype=np.int64)
