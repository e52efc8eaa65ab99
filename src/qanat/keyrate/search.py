"""The best parameters for many links at once: a space-filling look around, then simplexes in step, in numpy.

Nelder and Mead, Comput. J. 7, 308 (1965), one simplex per link and start, all moved together. No gradients: the rates
have kinks where a bound is clamped. No claim that nothing better exists; tests compare with dense grids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanat.keyrate.parameter import Array, Parameter, ParameterError, Value, checked_values, near_miss
from qanat.keyrate.protocol import Protocol, Rate, Values
from qanat.keyrate.simplex import maximised

LOOKS_PER_DIMENSION = {1: 24, 2: 96, 3: 192}  # points of the first look around; more dimensions: 384
STARTS = {1: 1, 2: 2, 3: 3}  # of them, the best so many begin a search each; more dimensions: 4
EVALUATIONS_AT_ONCE = 2**17  # links are taken in groups, so that arrays stay in the cache's reach


def optimised(protocol: Protocol, over: Sequence[str] | None = None, **given: Any) -> Rate:
    """The rate with the best values of ``over``, at each point of the arrays given; all tunable ones by default.

    Parameters that are given are held fixed, unless ``over`` names them.

    Raises:
        ParameterError: a name that cannot be optimised, or a bad value.

    Example:
        >>> from qanat.keyrate import decoy_bb84
        >>> best = optimised(decoy_bb84, distance_km=[0, 100], decoys="infinite", misalignment=0.03)
        >>> [round(float(mu), 2) for mu in best.params["mu"]]
        [0.54, 0.53]
    """
    chosen = _chosen(protocol, over, given)
    held = {name: value for name, value in given.items() if name not in {each.name for each in chosen}}
    values = checked_values(protocol.name, protocol.parameters, held)
    shape = np.broadcast_shapes(*(value.shape for value in values.values() if isinstance(value, np.ndarray)))
    flat = {name: _flat(value, shape) for name, value in values.items()}
    count = int(np.prod(shape))
    task = Task(protocol, chosen)
    group = max(1, EVALUATIONS_AT_ONCE // len(task.looks))
    parts = [
        task.best(_rows(flat, slice(first, first + group)), min(group, count - first))
        for first in range(0, count, group)
    ]
    best = np.concatenate(parts) if parts else np.empty((0, len(chosen)))
    found = {parameter.name: best[:, which].reshape(shape) for which, parameter in enumerate(chosen)}
    return protocol(**{name: value for name, value in held.items() if value is not None}, **found)


def _chosen(protocol: Protocol, over: Sequence[str] | None, given: dict[str, Any]) -> tuple[Parameter, ...]:
    tunable = {parameter.name: parameter for parameter in protocol.tunable}
    if over is None:
        matter = tunable if protocol.free is None else protocol.free(given)
        return tuple(tunable[name] for name in matter if name not in given)
    for name in over:
        if name not in tunable:
            listed = f"{near_miss(name, tunable)}these can: {', '.join(tunable) or 'none'}"
            raise ParameterError(f"{protocol.name}: {name} cannot be optimised ({listed})", name=name)
    return tuple(tunable[name] for name in over)


def _flat(value: Value, shape: tuple[int, ...]) -> Value:
    return np.broadcast_to(value, shape).ravel() if isinstance(value, np.ndarray) and value.shape else value


def _rows(values: dict[str, Value], rows: slice) -> dict[str, Value]:
    return {
        name: value[rows, None] if isinstance(value, np.ndarray) and value.shape else value
        for name, value in values.items()
    }


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be chosen, in a cube of side 1."""

    protocol: Protocol
    chosen: tuple[Parameter, ...]

    @property
    def looks(self) -> Array:
        """Points of the cube, evenly spread: Roberts' additive recurrence, from the generalised golden ratio."""
        dimensions = len(self.chosen)
        golden = 1.5
        for _ in range(60):  # x**(d + 1) = x + 1
            golden = (1 + golden) ** (1 / (dimensions + 1))
        steps = golden ** -np.arange(1, dimensions + 1, dtype=np.float64)
        count = LOOKS_PER_DIMENSION.get(dimensions, 384) if dimensions else 1
        points: Array = (0.5 + np.arange(1, count + 1)[:, None] * steps[None, :]) % 1.0
        return points

    def best(self, rows: dict[str, Value], count: int) -> Array:
        """Best values of the chosen, shape (count, dimensions)."""
        dimensions = len(self.chosen)
        if not dimensions:
            return np.empty((count, 0))
        looks = self.looks
        seen = self.worth(rows, np.broadcast_to(looks, (count, *looks.shape)))
        starts = min(STARTS.get(dimensions, 4), len(looks))
        first = looks[np.argsort(-seen, axis=1)[:, :starts]]
        found, worth = maximised(lambda points, which: self.worth(_taken(rows, which), points), first)
        at = np.argmax(worth, axis=1)
        return self.scaled(found[np.arange(count), at])

    def scaled(self, points: Array) -> Array:
        """From the cube to the parameters' own ranges."""
        columns = []
        for which, parameter in enumerate(self.chosen):
            assert parameter.search is not None
            low, high = parameter.search
            u = points[..., which]
            columns.append(low * (high / low) ** u if parameter.is_log_search else low + (high - low) * u)
        return np.stack(columns, axis=-1)

    def worth(self, rows: dict[str, Value], points: Array) -> Array:
        """What is maximised, at points of shape (links, points, dimensions): the rate, or how near to one."""
        scaled = self.scaled(points)
        values = Values({**rows, **{each.name: scaled[..., which] for which, each in enumerate(self.chosen)}})
        with np.errstate(all="ignore"):
            found = self.protocol.formula(values)
            nearness = found.rate / found.sifted if found.sifted is not None else found.rate
            worth = np.where(found.rate > 0, found.rate, np.minimum(nearness, 0.0))
            allowed = np.isfinite(worth)
            for constraint in self.protocol.constraints:
                allowed = allowed & constraint.holds(values)
        return np.broadcast_to(np.where(allowed, worth, -np.inf), points.shape[:-1])


def _taken(rows: dict[str, Value], which: Any) -> dict[str, Value]:
    return {
        name: value[which] if isinstance(value, np.ndarray) and value.shape else value for name, value in rows.items()
    }
