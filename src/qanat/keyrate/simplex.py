"""Many Nelder-Mead searches in step. Each row of links has the same number of starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.parameter import Array

Objective = Callable[[Array, NDArray[np.int64]], Array]
SIDE = 0.08  # of the first simplex, in a cube of side 1
ROUNDS_MAX = 400
SIZE_DONE = 1e-7  # of a simplex
SPREAD_DONE = 1e-11  # of its values, relative
RESTARTS = 2  # a fresh simplex gets a search out of a collapsed one


def maximised(objective: Objective, starts: Array) -> tuple[Array, Array]:
    """The best points and their values.

    Args:
        objective: Points of shape (links, points, dimensions) and the indices of these links; values (links, points).
        starts: Shape (links, starts, dimensions), in the cube [0, 1].

    Returns:
        Points of shape (links, starts, dimensions), values of shape (links, starts).
    """
    best = starts
    for _ in range(RESTARTS):
        best, values = _searched(objective, best)
    return best, values


def _searched(objective: Objective, starts: Array) -> tuple[Array, Array]:
    links, count, dimensions = starts.shape
    corners = np.repeat(starts[:, :, None, :], dimensions + 1, axis=2)
    for axis in range(dimensions):  # towards the inside of the cube
        corners[:, :, axis + 1, axis] += np.where(starts[..., axis] > 0.5, -SIDE, SIDE)
    every = np.arange(links)
    values = objective(corners.reshape(links, -1, dimensions), every).reshape(links, count, dimensions + 1).copy()
    active = every
    for number in range(ROUNDS_MAX):
        if number % 10 == 9:
            active = active[~_is_done(corners[active], values[active])]
        if not len(active):
            break
        corners[active], values[active] = _moved(objective, corners[active], values[active], active)
    at = np.argmax(values, axis=2)[..., None]
    points = np.take_along_axis(corners, at[..., None], axis=2)[:, :, 0]
    return points, np.take_along_axis(values, at, axis=2)[..., 0]


def _is_done(corners: Array, values: Array) -> NDArray[np.bool_]:
    size = np.ptp(corners, axis=2).max(axis=2)
    spread = np.ptp(values, axis=2)
    is_flat = spread <= SPREAD_DONE * np.abs(values).max(axis=2)
    done: NDArray[np.bool_] = np.all((size < SIZE_DONE) | (is_flat & (size < 1e-3)), axis=1)
    return done


def _moved(objective: Objective, corners: Array, values: Array, active: NDArray[np.int64]) -> tuple[Array, Array]:
    """One step of every simplex: reflect; then expand, or contract, or shrink."""
    order = np.argsort(-values, axis=2)
    links, starts = np.ogrid[: order.shape[0], : order.shape[1]]
    values = values[links[..., None], starts[..., None], order]
    corners = corners[links[..., None], starts[..., None], order]
    centre, worst = corners[:, :, :-1].mean(axis=2), corners[:, :, -1]
    reflected = _inside(2 * centre - worst)
    at_reflected = objective(reflected, active)
    is_best, is_worst = at_reflected > values[..., 0], at_reflected <= values[..., -1]
    is_between = ~is_best & (at_reflected > values[..., -2])
    factor = np.where(is_best, 2.0, np.where(is_worst, -0.5, 0.5))[..., None]
    other = _inside(centre + factor * (centre - worst))
    at_other = objective(other, active)
    takes_other = ~is_between & (at_other > at_reflected) & (at_other > values[..., -1])
    takes_reflected = ~takes_other & (at_reflected > values[..., -1])
    for takes, points, found in ((takes_other, other, at_other), (takes_reflected, reflected, at_reflected)):
        corners[..., -1, :] = np.where(takes[..., None], points, corners[..., -1, :])
        values[..., -1] = np.where(takes, found, values[..., -1])
    shrinks = ~takes_other & ~takes_reflected
    if shrinks.any():
        rows = np.flatnonzero(shrinks.any(axis=1))
        halved = (corners[rows] + corners[rows][:, :, :1]) / 2
        found = objective(halved.reshape(len(rows), -1, halved.shape[-1]), active[rows]).reshape(halved.shape[:-1])
        here = shrinks[rows]
        corners[rows] = np.where(here[..., None, None], halved, corners[rows])
        values[rows] = np.where(here[..., None], found, values[rows])
    return corners, values


def _inside(points: Array) -> Array:
    return np.clip(points, 0.0, 1.0)
