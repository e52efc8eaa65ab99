"""A protocol's key rate as a callable: parameters in, arrays out, with every term, epsilon and assumption."""

from __future__ import annotations

import math
from collections.abc import Callable, ItemsView, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.parameter import Array, Parameter, ParameterError, Value, checked_values

_EVERYWHERE = (
    "both ends choose at random and keep their choices in their rooms",
    "the classical channel is authenticated",
)


class Values:
    """Checked parameters, as a formula reads them: numbers by ``values["mu"]``, choices by ``values.choice``."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Array:
        value = self._values[name]
        assert isinstance(value, np.ndarray), name
        return value

    def __contains__(self, name: str) -> bool:
        """Whether it was given, or has a default."""
        return self._values.get(name) is not None

    def items(self) -> ItemsView[str, Value]:
        """All of them, by name."""
        return self._values.items()

    def choice(self, name: str) -> str:
        value = self._values[name]
        assert isinstance(value, str), name
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What must hold between parameters, besides each one's range; ``text`` is what people read when it does not."""

    name: str
    text: str
    holds: Callable[[Values], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a formula returns.

    Attributes:
        rate: Secret bits per emitted pulse (per round), signed: below zero there is no key.
        qber: Error rate of the sifted key bits.
        terms: Every intermediate quantity, named as the source names it in words; arrays.
        epsilon: How the total failure probability is spent, by purpose; empty where the formula is asymptotic.
        assumptions: Beyond those of the protocol, from the variant that was chosen.
        sifted: Sifted bits per pulse. An optimiser follows the secret share of them where there is no key: the rate
            itself would lead it to sending no light.
    """

    rate: Array
    qber: Array
    terms: Mapping[str, Array]
    epsilon: Mapping[str, Array] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    sifted: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A key rate with everything that went into it. Arrays have the shape that the parameters broadcast to.

    Attributes:
        protocol: Its name on the command line.
        params: Every parameter, given or by default.
        rate_per_pulse: Secret bits per emitted pulse; zero where the proof gives none, never NaN.
        rate_bps: The same per second, at ``clock_hz``.
        qber: Error rate of the sifted key bits.
        terms: What the rate is made of; ``signed_rate_per_pulse`` tells how far from key it is.
        epsilon: How the failure probability is spent; their sum is the total.
        assumptions: What must hold for this to be secret.
    """

    protocol: str
    params: Mapping[str, Value]
    rate_per_pulse: Array
    rate_bps: Array
    qber: Array
    terms: Mapping[str, Array]
    epsilon: Mapping[str, Array]
    assumptions: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: numbers and lists."""
        return {
            "protocol": self.protocol,
            "params": {name: _plain(value) for name, value in self.params.items()},
            "rate_per_pulse": _plain(self.rate_per_pulse),
            "rate_bps": _plain(self.rate_bps),
            "qber": _plain(self.qber),
            "terms": {name: _plain(value) for name, value in self.terms.items()},
            "epsilon": {name: _plain(value) for name, value in self.epsilon.items()},
            "assumptions": list(self.assumptions),
        }

    def explain(self, index: int = 0) -> str:
        """Every term with its value, one a line, at one point of the arrays."""
        rows = {**self.terms, **{f"epsilon {name}": value for name, value in self.epsilon.items()}}
        rows |= {"qber": self.qber, "rate_per_pulse": self.rate_per_pulse, "rate_bps": self.rate_bps}
        width = max(map(len, rows))
        shape = self.rate_per_pulse.shape
        return "\n".join(
            f"{name:<{width}}  {np.broadcast_to(value, shape).ravel()[index]:.9g}" for name, value in rows.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """One protocol: call it with parameters by name, numbers or arrays that broadcast.

    Attributes:
        name: On the command line.
        title: For people.
        parameters: What it can be asked with; STYLE of names: ``quantities.py``.
        formula: Checked values to what was found.
        assumptions: Besides those that all protocols share.
        sources: Where the formula stands in print.
        constraints: Between parameters.
        bound: What no rate of it may exceed: "plob", "single-repeater", or nothing.
        free: Which tunable parameters matter, given the others; all where it is left out. An optimiser that is told
            no names takes these.
    """

    name: str
    title: str
    parameters: tuple[Parameter, ...]
    formula: Callable[[Values], Found]
    assumptions: tuple[str, ...]
    sources: tuple[str, ...]
    constraints: tuple[Constraint, ...] = ()
    bound: str | None = "plob"
    free: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None

    def __call__(self, **given: Any) -> Rate:
        """The rate at these parameters.

        Raises:
            ParameterError: an unknown name, a value out of its range, or values that contradict each other.
        """
        values = checked_values(self.name, self.parameters, given)
        for constraint in self.constraints:
            if not np.all(constraint.holds(Values(values))):
                raise ParameterError(f"{self.name}: {constraint.text}", name=constraint.name)
        with np.errstate(all="ignore"):  # what overflows or is undefined ends as "no key" below
            found = self.formula(Values(values))
        signed = _finite(found.rate)
        rate = np.maximum(signed, 0.0)
        clock_hz = values.get("clock_hz", np.float64(1.0))
        assert isinstance(clock_hz, float | np.ndarray)
        terms = {name: _finite(value) for name, value in found.terms.items()}
        return Rate(
            protocol=self.name,
            params=values,
            rate_per_pulse=rate,
            rate_bps=rate * clock_hz,
            qber=_finite(found.qber),
            terms={**terms, "signed_rate_per_pulse": signed},
            epsilon=found.epsilon,
            assumptions=(*_EVERYWHERE, *self.assumptions, *found.assumptions),
        )

    @property
    def tunable(self) -> tuple[Parameter, ...]:
        """Those that an optimiser may choose."""
        return tuple(parameter for parameter in self.parameters if parameter.search is not None)


def _finite(value: Array) -> Array:
    """No NaN comes out: a quantity that is undefined where nothing is detected is 0."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0:
        return array if math.isfinite(array) else np.array(0.0)
    return np.where(np.isfinite(array), array, 0.0)


def _plain(value: Value) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
