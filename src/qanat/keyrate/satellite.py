"""One finite key from one pass of a satellite: counts of all its parts together, then one proof. Never asymptotic.

A pass is a list of transmittances with durations. Loss changes while the satellite flies; the counts of the parts add
up, and the proof takes their sums. That is allowed: neither the decoy bounds nor the sampling ask that all pulses meet
the same loss, only that intensity and basis are drawn alike throughout (Lim et al. 2014; Sidhu et al., npj Quantum Inf.
8, 18 (2022), treat passes in this way).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from operator import add
from types import ModuleType
from typing import Any

import numpy as np

from qanat.keyrate.library import FILES
from qanat.keyrate.parameter import Array, ParameterError, Value
from qanat.keyrate.protocol import Constraint, Found, Protocol, Rate, Values

ELEMENTS_AT_ONCE = 2**20
GIVEN_BY_THE_PASS = ("distance_km", "attenuation_db_per_km", "loss_db", "n_x", "n_sent")


def pass_protocol(protocol: Protocol, transmittances: Any, durations_s: Any) -> Protocol:
    """The protocol over a pass: a callable as the protocol itself, and as such to be optimised.

    Args:
        protocol: One with a finite key: ``bb84``, ``decoy_bb84``, ``bbm92``, ``e91``.
        transmittances: Of the channel without detectors, one per part, in (0, 1]. 0 is a part without sight.
        durations_s: Of the parts; pulses go at ``clock_hz``. One number for all, or one per part.

    Raises:
        ParameterError: a protocol without a finite key, or a list that is none of these.
    """
    module = importlib.import_module(f"qanat.keyrate.protocols.{FILES[protocol.name]}")
    if not (hasattr(module, "per_pulse") and hasattr(module, "key")):
        raise ParameterError(f"{protocol.name}: no finite key over a pass; bb84, decoy-bb84, bbm92 and e91 have one")
    loss_db, seconds = _parts(protocol.name, transmittances, durations_s)

    def constraint_over(each: Constraint) -> Constraint:
        return replace(each, holds=lambda values: each.holds(_whole(values, seconds)))

    kept = tuple(each for each in protocol.parameters if each.name not in GIVEN_BY_THE_PASS)
    return replace(
        protocol,
        title=f"{protocol.title}, one key per pass",
        parameters=kept,
        formula=_formula(module, loss_db, seconds),
        constraints=tuple(map(constraint_over, protocol.constraints)),
        free=None if protocol.free is None else _free(protocol.free),
    )


def pass_rate(protocol: Protocol, transmittances: Any, durations_s: Any, **given: Any) -> Rate:
    """One finite key for the whole pass; ``terms["signed_length_bits"]`` is its length, negative where there is none.

    Example:
        >>> from qanat.keyrate import decoy_bb84
        >>> found = pass_rate(decoy_bb84, [1e-3, 5e-3, 1e-3], 60.0, nu=0.15, detector_efficiency=0.5)
        >>> found.terms["duration_s"].item(), found.rate_bps.item() > 0
        (180.0, True)
    """
    return pass_protocol(protocol, transmittances, durations_s)(**given)


def _parts(name: str, transmittances: Any, durations_s: Any) -> tuple[Array, Array]:
    """Losses in dB and durations of the parts with sight.

    Raises:
        ParameterError: not lists of numbers in range, of one length, or nothing in them.
    """
    try:
        eta, seconds = np.broadcast_arrays(
            np.asarray(transmittances, dtype=np.float64), np.asarray(durations_s, dtype=np.float64)
        )
    except (TypeError, ValueError):
        raise ParameterError(f"{name}: transmittances and durations_s must be numbers, one duration per part") from None
    if eta.ndim != 1 or not eta.size:
        raise ParameterError(f"{name}: transmittances must be a list with at least one part", name="transmittances")
    if not np.all((eta >= 0) & (eta <= 1)):
        raise ParameterError(f"{name}: transmittances must lie in [0, 1]", name="transmittances")
    if not np.all((seconds >= 0) & np.isfinite(seconds)) or not np.any(seconds > 0):
        raise ParameterError(f"{name}: durations_s must be at least 0, and not all 0", name="durations_s")
    loss_db = np.where(eta > 0, -10 * np.log10(np.where(eta > 0, eta, 1.0)), 1e4)  # 1e-1000: nothing arrives
    return loss_db, seconds


def _formula(module: ModuleType, loss_db: Array, seconds: Array) -> Callable[[Values], Found]:
    def formula(values: Values) -> Found:
        n_sent = values["clock_hz"] * np.sum(seconds)
        share = seconds / np.sum(seconds)
        step = _parts_at_once(values)
        groups = [slice(first, first + step) for first in range(0, len(share), step)]
        expected = reduce(add, (_counts(module, values, loss_db[group], share[group]) for group in groups))
        found: Found = module.key(values, expected.times(n_sent), n_sent)
        duration_s = np.broadcast_to(np.sum(seconds), np.shape(n_sent))
        return replace(found, terms={**found.terms, "duration_s": duration_s})

    return formula


def _counts(module: ModuleType, values: Values, loss_db: Array, share: Array) -> Any:
    """Expected counts per pulse of the pass, from some of its parts."""
    return module.per_pulse(_by_part(values, loss_db)).each(lambda count: np.sum(count * share, axis=-1))


def _parts_at_once(values: Values) -> int:
    """So many parts that an array of counts stays within some 10 MB."""
    shapes = (value.shape for _, value in values.items() if isinstance(value, np.ndarray))
    return max(1, ELEMENTS_AT_ONCE // max(1, int(np.prod(np.broadcast_shapes(*shapes)))))


def _by_part(values: Values, loss_db: Array) -> Values:
    """The values with a last axis for the parts."""
    inner: dict[str, Value] = {
        name: value[..., None] if isinstance(value, np.ndarray) and value.shape else value
        for name, value in values.items()
    }
    return Values({**inner, "distance_km": np.array(0.0), "attenuation_db_per_km": np.array(0.0), "loss_db": loss_db})


def _whole(values: Values, seconds: Array) -> Values:
    """As a block of this many pulses, for the protocol's own constraints."""
    return Values({**dict(values.items()), "n_sent": values["clock_hz"] * np.sum(seconds)})


def _free(inner: Callable[[Any], tuple[str, ...]]) -> Callable[[Any], tuple[str, ...]]:
    return lambda given: inner({**given, "n_sent": 1.0})
