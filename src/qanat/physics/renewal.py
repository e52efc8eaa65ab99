"""When a detector is alive after a click: renewal theory, for the afterpulses that the mean-field law counts."""

from __future__ import annotations

import numpy as np

from qanat.physics.branch import Table

STEPS_PER_DEAD_TIME = 400
HORIZON_DEAD_TIMES = 20  # ringing has died out by then: each dead time damps it


def released_alive(m: float, dead: int, p_traps: Table, p_release: Table) -> Table:
    """Mean number of carriers per firing that are released into a live detector, per detector.

    Needs the probability that it is alive t gates after a click: ``alive_after_click`` up to the horizon, and
    1 / (1 + m D) after it. First order in the afterpulses themselves.

    Args:
        m: Probability of a mark in a live gate.
        dead: Dead gates after a click.
        p_traps: Carriers left per firing in each kind of trap, shape (D, T).
        p_release: Hazard per gate of each kind, shape (T,).
    """
    if not p_traps.any():
        return np.zeros(len(p_traps))
    if dead == 0:
        return np.asarray(p_traps.sum(axis=1))
    step = max(1, dead // STEPS_PER_DEAD_TIME)  # gates per step
    per_dead = round(dead / step)
    p_step = float(-np.expm1(step * np.log1p(-min(m, 1 - 1e-12))))
    alive = _alive(p_step, per_dead)
    survive = (1 - p_release[:, None]) ** (step * np.arange(len(alive) + 1, dtype=np.float64))
    each = (survive[:, :-1] - survive[:, 1:]) @ alive + survive[:, -1] / (1 + m * dead)
    return np.asarray(p_traps @ each)


def _alive(p_step: float, per_dead: int) -> Table:
    from qanat.physics import kernels

    alive = np.zeros(HORIZON_DEAD_TIMES * per_dead)
    kernels.alive_after_click(p_step, per_dead, alive)
    return alive


def alive_after_click_plain(p_step: float, per_dead: int) -> Table:
    """Probability that the detector is alive in each step after a click: the kernel's twin.

    Zero up to the dead time, one just after it; in between it rings: alive(t) = 1 - sum of p alive(t - D .. t - 1).
    """
    alive, clicked = [0.0] * (HORIZON_DEAD_TIMES * per_dead), 0.0  # probability of a click in the last dead time
    for t in range(per_dead, len(alive)):
        # The click at 0 blocks steps 0 .. per_dead-1; later clicks block per_dead steps after them.
        alive[t] = max(0.0, 1.0 - clicked)
        clicked += p_step * alive[t]
        if t >= 2 * per_dead - 1:
            clicked -= p_step * alive[t - per_dead + 1]
    return np.array(alive)
