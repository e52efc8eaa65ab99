"""What an experiment should have given, from its stated values: three ways to ask ``keyrate``, and one to simulate.

- ``link``: a protocol at one point; ``optimised`` chooses the best of what neither paper nor assumption states.
- ``pass``: one finite key of a satellite's pass from its slant ranges.
- ``observed``: pairs or photons as they were counted, sifted rate and QBER, for BBM92.
- ``network``: a link of a network file, simulated by whoever calls us: studies do not know simulation.

Three names mean the same in each: ``factor`` multiplies the rate (time spent on other things, blocks that failed, bases
that both make key), ``rounds`` turns a rate per pulse into bits of a run, ``clock_hz`` gives rates per second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from qanat.keyrate.fibre import binary_entropy, phase_entropy
from qanat.keyrate.library import protocol_named
from qanat.keyrate.pair_finite import Pairs, key
from qanat.keyrate.parameter import Array
from qanat.keyrate.protocol import Rate, Values
from qanat.keyrate.satellite import pass_protocol
from qanat.keyrate.search import optimised
from qanat.plan.demonstration import DemonstrationError, Point

PARTS_PER_PASS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """What follows from the stated values. A quantity that the way of asking does not give is None.

    Attributes:
        chosen: What the optimiser chose, by parameter.
        assumptions: Of the proof.
    """

    rate_per_pulse: float | None
    rate_bps: float | None
    bits: float | None
    qber: float
    chosen: dict[str, float]
    assumptions: tuple[str, ...]

    def quantity(self, name: str) -> float | None:
        """One of ``rate_per_pulse``, ``rate_bps`` and ``bits``."""
        found: float | None = getattr(self, name)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLink:
    """What simulation gave for one link of a network file: secret bits per second of link time, and the QBER.

    Attributes:
        how: In words: which link, how long, which modules.
    """

    rate_bps: float
    qber: float
    how: str


Simulate = Callable[[str], SimulatedLink]  # by FILE/LINK


def computed(point: Point, simulate: Simulate | None = None) -> Computed:
    """The point's key by its protocol.

    Args:
        simulate: For points that are links of a network file.

    Raises:
        DemonstrationError: no such way to compute, or a value that the way needs is missing.
        ParameterError: the protocol refuses a value.
    """
    if point.how == "network":
        return _network(point, simulate)
    if point.how not in WAYS:
        raise DemonstrationError(f"{point.name}: how is one of {', '.join((*WAYS, 'network'))}")
    try:
        return WAYS[point.how](point, dict(point.values))
    except KeyError as error:
        raise DemonstrationError(f"{point.name}: {error.args[0]} is missing") from None


def slant_transmittances(values: dict[str, Any]) -> Array:
    """Transmittance of the channel along a pass, one value per part, from rise to set.

    The satellite passes at ``slant_km_least`` halfway and is at ``slant_km_most`` at both ends, on a straight line at
    even speed. The spreading loss grows with the square of the range, the air's with the range (flat layers), the
    pointing loss not at all; each is given at the greatest range.
    """
    least, most = values.pop("slant_km_least"), values.pop("slant_km_most")
    along = np.linspace(-1.0, 1.0, 2 * PARTS_PER_PASS + 1)[1::2] * np.sqrt(most**2 - least**2)
    nearer = np.hypot(least, along) / most
    loss_db = values.pop("spreading_loss_db") + 20 * np.log10(nearer)
    loss_db = loss_db + values.pop("air_loss_db") * nearer + values.pop("pointing_loss_db")
    found: Array = 10 ** (-loss_db / 10)
    return found


def _link(point: Point, values: dict[str, Any]) -> Computed:
    factor, rounds = values.pop("factor", 1.0), values.pop("rounds", None)
    protocol = protocol_named(point.protocol)
    rate = optimised(protocol, **values) if point.optimised else protocol(**values)
    per_pulse = float(rate.rate_per_pulse) * factor
    return Computed(
        rate_per_pulse=per_pulse,
        rate_bps=float(rate.rate_bps) * factor,
        bits=None if rounds is None else per_pulse * rounds,
        qber=float(rate.qber),
        chosen=_chosen(rate, values),
        assumptions=rate.assumptions,
    )


def _pass(point: Point, values: dict[str, Any]) -> Computed:
    factor, duration_s = values.pop("factor", 1.0), values.pop("duration_s")
    eta = slant_transmittances(values)
    protocol = pass_protocol(protocol_named(point.protocol), eta, duration_s / PARTS_PER_PASS)
    rate = optimised(protocol, **values) if point.optimised else protocol(**values)
    bits = max(float(rate.terms["signed_length_bits"]), 0.0) * factor
    return Computed(
        rate_per_pulse=float(rate.rate_per_pulse) * factor,
        rate_bps=bits / duration_s,
        bits=bits,
        qber=float(rate.qber),
        chosen=_chosen(rate, values),
        assumptions=rate.assumptions,
    )


def _observed(point: Point, values: dict[str, Any]) -> Computed:
    sifted_bps, qber, f_ec = values["sifted_bps"], np.asarray(values["qber"], dtype=np.float64), values["f_ec"]
    factor = values.get("factor", 1.0)
    if "duration_s" in values:
        bits = _observed_bits(values, sifted_bps * values["duration_s"]) * factor
        rate_bps, proof = bits / values["duration_s"], "finite key of Tomamichel et al. 2012"
    else:
        share = float(1 - f_ec * binary_entropy(qber) - phase_entropy(qber))
        bits, rate_bps, proof = None, sifted_bps * max(share, 0.0) * factor, "asymptotic: no finite-size effects"
    return Computed(
        rate_per_pulse=None,
        rate_bps=rate_bps,
        bits=bits,
        qber=float(qber),
        chosen={},
        assumptions=("sifted rate and QBER as counted; equal error rates in both bases", proof),
    )


def _network(point: Point, simulate: Simulate | None) -> Computed:
    if simulate is None:
        raise DemonstrationError(f"{point.name}: link {point.link} must be simulated, and nothing here can")
    found = simulate(point.link)
    return Computed(
        rate_per_pulse=None,
        rate_bps=found.rate_bps,
        bits=None,
        qber=found.qber,
        chosen={},
        assumptions=(found.how,),
    )


def _observed_bits(values: dict[str, Any], sifted: float) -> float:
    """Of a block where ``share_test`` of the sifted bits tests the rest."""
    test = sifted * values["share_test"]
    seen = [np.asarray(count) for count in (sifted - test, test)]
    pairs = Pairs(key=seen[0], test=seen[1], key_errors=seen[0] * values["qber"], test_errors=seen[1] * values["qber"])
    needed = {name: np.asarray(values[name]) for name in ("f_ec", "epsilon_sec", "epsilon_cor")}
    found = key(Values(needed), pairs, np.asarray(sifted))
    return max(float(found.terms["signed_length_bits"]), 0.0)


def _chosen(rate: Rate, given: dict[str, Any]) -> dict[str, float]:
    tunable = {each.name for each in protocol_named(rate.protocol).tunable}
    return {
        name: float(value)
        for name, value in rate.params.items()
        if name in tunable and name not in given and isinstance(value, np.ndarray)
    }


WAYS: Final[dict[str, Callable[[Point, dict[str, Any]], Computed]]] = {
    "link": _link,
    "pass": _pass,
    "observed": _observed,
}
