"""Published against computed, by one rule.

A point passes when |log10(computed / published)| is at most 0.15 for a laboratory link whose parameters are all printed
("bench"), at most 0.3 otherwise ("field"), and the QBER, where one was published and is no input, is within 0.5
percentage points. Where nothing was published, or where we could not read it, the computed value is reported and no
agreement is claimed: "geometry only". A miss is said and explained; only a point that claims to pass and does not is
a failure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from qanat.plan.demonstration import QBER_TOLERANCE, TOLERANCES, Demonstration, Point, Published
from qanat.plan.experiment import Computed, Simulate, computed

GEOMETRY_ONLY: Final = "geometry only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One point of one demonstration, held against what was published.

    Attributes:
        log10_ratio: Of computed over published; None without either of them.
        qber_difference: Computed less published; None without a published one.
        verdict: "passes", "misses" or "geometry only".
    """

    demonstration: Demonstration
    point: Point
    computed: Computed
    log10_ratio: float | None
    qber_difference: float | None
    verdict: str

    @property
    def is_kept(self) -> bool:
        """Whether what the point claims is so; a miss that was announced is no broken claim."""
        return self.point.claims != "passes" or self.verdict == "passes"

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        published = self.point.published
        return {
            "demonstration": self.demonstration.name,
            "point": self.point.name,
            "source": self.demonstration.source,
            "setting": self.demonstration.setting,
            "geometry": self.demonstration.geometry,
            "protocol": self.point.protocol,
            "how": self.point.how,
            "link": self.point.link,
            "inputs": dict(self.point.inputs),
            "assumed": [{"values": dict(each.values), "why": each.why} for each in self.point.assumptions],
            "published": None if published is None else _as_dict(published),
            "computed": {
                "rate_per_pulse": self.computed.rate_per_pulse,
                "rate_bps": self.computed.rate_bps,
                "bits": self.computed.bits,
                "qber": self.computed.qber,
                "chosen": self.computed.chosen,
                "assumptions": list(self.computed.assumptions),
            },
            "log10_ratio": self.log10_ratio,
            "log10_tolerance": None if published is None else self.demonstration.tolerance,
            "qber_difference": self.qber_difference,
            "verdict": self.verdict,
            "claims": self.point.claims,
            "because": self.point.because,
        }


def reproduced(demonstrations: Iterable[Demonstration], simulate: Simulate | None = None) -> list[Outcome]:
    """Every point of every demonstration; ``simulate`` is for those that are links of a network file.

    Raises:
        DemonstrationError, ParameterError: values that do not suffice or are refused.
    """
    return [outcome(each, point, simulate) for each in demonstrations for point in each.points]


def outcome(demonstration: Demonstration, point: Point, simulate: Simulate | None = None) -> Outcome:
    """One point, computed and judged."""
    found = computed(point, simulate)
    ratio, difference = compared(found, point.published)
    return Outcome(
        demonstration=demonstration,
        point=point,
        computed=found,
        log10_ratio=ratio,
        qber_difference=difference,
        verdict=verdict(point.published, ratio, difference, demonstration.tolerance),
    )


def compared(found: Computed, published: Published | None) -> tuple[float | None, float | None]:
    """log10 of computed over published, and the difference of the QBERs; None where there is nothing to compare."""
    if published is None:
        return None, None
    value = found.quantity(published.quantity)
    ratio = math.log10(value / published.value) if value else None
    return ratio, None if published.qber is None else found.qber - published.qber


def verdict(
    published: Published | None, log10_ratio: float | None, qber_difference: float | None, tolerance: float
) -> str:
    """The rule.

    Example:
        >>> seen = Published(quantity="rate_bps", value=1e3, read="abstract")
        >>> verdict(seen, -0.15, None, 0.15), verdict(seen, 0.2, None, 0.15), verdict(seen, None, None, 0.3)
        ('passes', 'misses', 'misses')
        >>> verdict(None, None, None, 0.3)
        'geometry only'
    """
    if published is None:
        return GEOMETRY_ONLY
    is_near = log10_ratio is not None and abs(log10_ratio) <= tolerance
    is_clean = qber_difference is None or abs(qber_difference) <= QBER_TOLERANCE
    return "passes" if is_near and is_clean else "misses"


def report(outcomes: list[Outcome]) -> dict[str, Any]:
    """All outcomes and the rule, as plain data for JSON."""
    return {
        "rule": {"log10_tolerance": TOLERANCES, "qber_tolerance": QBER_TOLERANCE},
        "outcomes": [each.as_dict() for each in outcomes],
        "counts": counts(outcomes),
        "is_kept": all(each.is_kept for each in outcomes),
    }


def counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """How many points have which verdict."""
    found = {"passes": 0, "misses": 0, GEOMETRY_ONLY: 0}
    for each in outcomes:
        found[each.verdict] += 1
    return found


def _as_dict(published: Published) -> dict[str, Any]:
    return {published.quantity: published.value, "qber": published.qber, "read": published.read}
