"""Landmark experiments as stated inputs: what a paper prints, what we had to assume, and what was published.

The three never mix. ``inputs`` are printed by the source (``prints`` names sets of them). ``assumes`` names sets of
values that it does not print, each set with its reason. ``published`` holds only numbers that were read, with where; a
point without it is geometry only.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final

from qanat.core.errors import MisuseError
from qanat.keyrate.parameter import near_miss

Value = float | str
TOLERANCES: Final[dict[str, float]] = {"bench": 0.15, "field": 0.3}  # of |log10(computed / published)|
QBER_TOLERANCE: Final = 0.005
QUANTITIES: Final = ("rate_bps", "rate_per_pulse", "bits")
CLAIMS: Final = ("passes", "misses")
POINT_KEYS: Final = frozenset(
    ("name", "protocol", "how", "link", "inputs", "prints", "assumes", "optimised", "published", "claims", "because")
)


class DemonstrationError(MisuseError):
    """There is no such demonstration, or the list of demonstrations contradicts itself. `qanat reproduce` lists all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """Values that a source does not print, and why these."""

    label: str
    why: str
    values: Mapping[str, Value]

    def __str__(self) -> str:
        named = ", ".join(f"{name} = {shown(value)}" for name, value in self.values.items())
        return f"{named}: {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published number.

    Attributes:
        quantity: ``rate_bps``, ``rate_per_pulse`` (of a pulse, round or pair) or ``bits`` (of a pass or a run).
        value: As printed.
        read: Where we read it.
        qber: If printed and not used as an input.
    """

    quantity: str
    value: float
    read: str
    qber: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One link, pass or run of an experiment.

    Attributes:
        how: The way to compute it: ``link``, ``pass``, ``observed`` or ``network`` (see ``experiment.py``).
        inputs: Printed by the source.
        optimised: Whether to choose the best of what is tunable and not given.
        published: None where no rate was published, or none that we could read.
        claims: "passes" or "misses" where there is something published.
        because: Of a miss: what the formula leaves out or the paper does not say.
        link: Of ``network``: the network file's name and the link, such as "cambridge-2019/cape-trel".
    """

    name: str
    protocol: str
    how: str
    inputs: Mapping[str, Value]
    assumptions: tuple[Assumption, ...]
    optimised: bool
    published: Published | None
    claims: str | None
    because: str
    link: str = ""

    @property
    def values(self) -> dict[str, Value]:
        """Inputs and assumptions together. No name is in both: that is checked when they are read."""
        return {**self.inputs, **{name: value for each in self.assumptions for name, value in each.values.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """An experiment or a network.

    Attributes:
        setting: "bench" with all parameters printed, or "field"; decides how near is near enough.
        geometry: What was built, in words.
    """

    name: str
    title: str
    source: str
    setting: str
    geometry: str
    points: tuple[Point, ...]

    @property
    def tolerance(self) -> float:
        return TOLERANCES[self.setting]


def demonstrations_from_text(text: str) -> tuple[Demonstration, ...]:
    """All of a demonstrations file, in TOML, in its order.

    Raises:
        DemonstrationError: a key that is unknown or missing, or a statement that contradicts another.
    """
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DemonstrationError(f"the list of demonstrations is no TOML: {error}") from None
    _only(read, {"assumed", "demonstration"}, "the file")
    sets = {label: _assumption(label, table) for label, table in read.get("assumed", {}).items()}
    found = tuple(_demonstration(table, sets) for table in read.get("demonstration", ()))
    names = [each.name for each in found]
    for name in names:
        if names.count(name) > 1:
            raise DemonstrationError(f"{name}: there are several demonstrations of that name")
    return found


def chosen(all_of_them: Iterable[Demonstration], name: str | None) -> tuple[Demonstration, ...]:
    """The one named, or all.

    Raises:
        DemonstrationError: there is none of that name.
    """
    listed = tuple(all_of_them)
    if name is None:
        return listed
    found = tuple(each for each in listed if each.name == name)
    if not found:
        names = [each.name for each in listed]
        raise DemonstrationError(f"no demonstration {name} ({near_miss(name, names)}there are: {', '.join(names)})")
    return found


def shown(value: Value) -> str:
    """A value as people write it."""
    return value if isinstance(value, str) else f"{value:.6g}"


def _assumption(label: str, table: Mapping[str, Any]) -> Assumption:
    values = {name: value for name, value in table.items() if name != "why"}
    if not table.get("why") or not values:
        raise DemonstrationError(f"assumed.{label}: an assumption has values and a reason (why)")
    return Assumption(label=label, why=table["why"], values=values)


def _demonstration(table: Mapping[str, Any], sets: Mapping[str, Assumption]) -> Demonstration:
    name = table.get("name", "?")
    _only(table, {"name", "title", "source", "setting", "geometry", "point"}, name)
    _all(table, ("name", "title", "source", "setting", "geometry", "point"), name)
    if table["setting"] not in TOLERANCES:
        raise DemonstrationError(f"{name}: setting is one of {', '.join(TOLERANCES)}")
    return Demonstration(
        name=name,
        title=table["title"],
        source=table["source"],
        setting=table["setting"],
        geometry=table["geometry"],
        points=tuple(_point(point, sets, name) for point in table["point"]),
    )


def _point(table: Mapping[str, Any], sets: Mapping[str, Assumption], owner: str) -> Point:
    where = f"{owner}, {table.get('name', '?')}"
    _only(table, POINT_KEYS, where)
    _all(table, ("name", "protocol"), where)
    printed, assumed = (_named(table.get(key, ()), sets, where) for key in ("prints", "assumes"))
    inputs = dict(table.get("inputs", {}))
    for each in printed:
        if inputs.keys() & each.values.keys():
            raise DemonstrationError(f"{where}: {each.label} states an input twice")
        inputs |= each.values
    point = Point(
        name=table["name"],
        protocol=table["protocol"],
        how=table.get("how", "link"),
        inputs=inputs,
        assumptions=assumed,
        optimised=table.get("optimised", False),
        published=_published(table.get("published"), where),
        claims=table.get("claims"),
        because=table.get("because", ""),
        link=table.get("link", ""),
    )
    _consistent(point, where)
    return point


def _named(labels: Iterable[str], sets: Mapping[str, Assumption], where: str) -> tuple[Assumption, ...]:
    for label in labels:
        if label not in sets:
            raise DemonstrationError(f"{where}: no set of values {label} ({near_miss(label, sets)})")
    return tuple(sets[label] for label in labels)


def _published(table: Mapping[str, Any] | None, where: str) -> Published | None:
    if table is None:
        return None
    _only(table, {*QUANTITIES, "qber", "read"}, where)
    given = [name for name in QUANTITIES if name in table]
    if len(given) != 1 or not table.get("read"):
        raise DemonstrationError(f"{where}: published has one of {', '.join(QUANTITIES)}, and where it was read (read)")
    return Published(quantity=given[0], value=table[given[0]], read=table["read"], qber=table.get("qber"))


def _consistent(point: Point, where: str) -> None:
    stated = [*point.inputs, *(name for each in point.assumptions for name in each.values)]
    twice = sorted({name for name in stated if stated.count(name) > 1})
    if twice:
        raise DemonstrationError(f"{where}: {', '.join(twice)} is stated twice")
    if (point.published is None) != (point.claims is None) or point.claims not in (None, *CLAIMS):
        raise DemonstrationError(
            f"{where}: claims (passes or misses) goes with something published, and only with that"
        )
    if (point.claims == "misses") != bool(point.because):
        raise DemonstrationError(f"{where}: a miss says why (because), and nothing else does")
    if (point.how == "network") != (point.link.count("/") == 1) or (point.link and stated):
        raise DemonstrationError(
            f"{where}: how = network goes with link = FILE/LINK, and with no inputs: they are in the file"
        )
    if point.published is not None and point.published.qber is not None and "qber" in stated:
        raise DemonstrationError(f"{where}: a QBER that is an input cannot be compared")


def _only(table: Mapping[str, Any], known: Set[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise DemonstrationError(
                f"{where}: no key {name} ({near_miss(name, known)}known: {', '.join(sorted(known))})"
            )


def _all(table: Mapping[str, Any], needed: Iterable[str], where: str) -> None:
    for name in needed:
        if name not in table:
            raise DemonstrationError(f"{where}: {name} is missing")
