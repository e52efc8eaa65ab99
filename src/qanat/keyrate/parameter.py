"""What a protocol is asked with: one name, one unit and one allowed range per quantity, the same in every protocol."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import MisuseError

Array = NDArray[np.float64]
Value = float | str | Array | None
ZERO: Array = np.array(0.0)
ONE: Array = np.array(1.0)
_NUMBERS = {int, float, np.float64}


class ParameterError(MisuseError, ValueError):
    """A key rate cannot be computed from these parameters. `qanat rate PROTOCOL --params` lists each with its unit,
    range, default and source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """What a name means, in every protocol.

    Attributes:
        unit: In words, as people read it.
        low, high: The allowed range; an end is excluded where ``is_open`` says so.
        text: One line.
        choices: For names that are a convention or a variant instead of a number.
    """

    unit: str
    text: str
    low: float = 0.0
    high: float = np.inf
    is_low_open: bool = False
    is_high_open: bool = False
    choices: tuple[str, ...] = ()

    @property
    def range_text(self) -> str:
        """As a mathematician writes it: [0, 1), or the choices."""
        if self.choices:
            return " | ".join(self.choices)
        left, right = "(" if self.is_low_open else "[", ")" if self.is_high_open or self.high == np.inf else "]"
        return f"{left}{self.low:g}, {self.high:g}{right}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A quantity as one protocol takes it.

    Attributes:
        default: None where there is none: then it must be given, or ``is_optional`` says what leaving it out means.
        source: Where the default comes from.
        search: Range within which it may be optimised; None where that makes no sense.
        is_log_search: Search its logarithm.
    """

    name: str
    quantity: Quantity
    default: Value
    source: str
    is_optional: bool = False
    search: tuple[float, float] | None = None
    is_log_search: bool = False

    def checked(self, value: Any, protocol: str) -> Value:
        """The value as an array of floats, or as one of the choices.

        Raises:
            ParameterError: it is not a number, not finite, out of range, or no such choice.
        """
        if value is None and self.is_optional:
            return None
        if self.quantity.choices:
            return self._choice(value, protocol)
        if type(value) in _NUMBERS and self._is_number_allowed(value):
            return np.array(value, dtype=np.float64)
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise self._error(value, protocol, "is not a number") from None
        wrong = ~self._is_allowed(array)
        if wrong.any():
            raise self._error(float(array[wrong].flat[0]), protocol, "is outside its range")
        return array

    def _choice(self, value: Any, protocol: str) -> str:
        if value not in self.quantity.choices:
            raise self._error(value, protocol, "is none of its choices")
        return str(value)

    def _is_number_allowed(self, value: float) -> bool:
        """The same of one number, in a tenth of the time; the slow way names what is wrong."""
        q = self.quantity
        above = value > q.low if q.is_low_open else value >= q.low
        below = value < q.high if q.is_high_open else value <= q.high
        return above and below and math.isfinite(value)

    def _is_allowed(self, array: Array) -> NDArray[np.bool_]:
        q = self.quantity
        above = array > q.low if q.is_low_open else array >= q.low
        below = array < q.high if q.is_high_open else array <= q.high
        return above & below & np.isfinite(array)

    def _error(self, value: Any, protocol: str, why: str) -> ParameterError:
        q = self.quantity
        unit = "" if q.choices else f" {q.unit}"
        detail = f"{protocol}: {self.name} = {value!r} {why}; allowed: {q.range_text}{unit}"
        return ParameterError(detail, name=self.name, value=value, allowed=q.range_text)


def total_of(parts: Iterable[Array]) -> Array:
    """Their sum, elementwise."""
    return sum(parts, start=ZERO)


def near_miss(given: str, known: Iterable[str]) -> str:
    """``"did you mean ...? "`` or nothing."""
    close = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}? " if close else ""


def checked_values(protocol: str, parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> dict[str, Value]:
    """Every parameter with its value: what was given, else the default.

    Raises:
        ParameterError: a name that is unknown, a value out of range, one that is missing, or shapes that do not fit.
    """
    known, values = _known(protocol, parameters)
    for name in given:
        if name not in known:
            hint = f"{near_miss(name, known)}it has: {', '.join(known)}"
            raise ParameterError(f"{protocol}: no parameter {name} ({hint})", name=name)
    for name, value in given.items():
        values[name] = None if value is None else known[name].checked(value, protocol)
    for name, parameter in known.items():
        if values[name] is None and not parameter.is_optional:
            q = parameter.quantity
            raise ParameterError(f"{protocol}: {name} is missing: {q.text}, {q.unit}, in {q.range_text}", name=name)
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray) and value.shape}
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ParameterError(f"{protocol}: these arrays do not broadcast: {shapes}") from None
    return values


_KNOWN: dict[int, tuple[tuple[Parameter, ...], dict[str, Parameter], dict[str, Value]]] = {}


def _known(protocol: str, parameters: tuple[Parameter, ...]) -> tuple[dict[str, Parameter], dict[str, Value]]:
    """Parameters by name, and their defaults, checked once: a fresh dictionary of arrays that nobody can write."""
    found = _KNOWN.get(id(parameters))  # the tuple is held below, so that no other can have its id
    if found is None:
        defaults = {each.name: None if each.default is None else each.checked(each.default, protocol)
                    for each in parameters}  # fmt: skip
        for value in defaults.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        found = _KNOWN[id(parameters)] = (parameters, {each.name: each for each in parameters}, defaults)
    return found[1], dict(found[2])
