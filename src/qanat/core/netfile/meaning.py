"""Errors of meaning: names that refer to nothing, parts that do not fit each other.

It works on the raw tables, so that one mistyped number does not hide the errors around it; whatever
has the wrong shape was told by ``shape.py`` and is passed over here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from qanat.core.netfile.addresses import address_problems
from qanat.core.netfile.document import LinkDocument
from qanat.core.netfile.places import Path
from qanat.core.netfile.problems import near_miss
from qanat.core.topology import Policy
from qanat.core.trust import rule_problem

PROTOCOLS = ("decoy-bb84",)
MODULES = {key: LinkDocument.model_fields[key].default for key in ("transmitter", "receiver", "clock_hz")}
EARTH_RADIUS_KM = 6371.0  # mean radius, IUGG
RESERVED_LINK_IDS = ("relay",)  # "relay/..." names blocks that no link made

Item = dict[str, object]
Found = tuple[Path, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Datasheet names that exist, and why two of them do not fit at a clock rate; None: not checked."""

    transmitters: Collection[str] | None = None
    receivers: Collection[str] | None = None
    misfit: Callable[[str, str, float, bool], str | None] | None = None


def meaning_problems(document: dict[str, object], known: Known) -> list[Found]:
    """Every error of meaning, as (path, message)."""
    tables = {kind: _items(document, kind) for kind in ("sites", "fibres", "links", "saes", "demands", "partners")}
    checks = (
        _ids(tables),
        _fibres(tables),
        _links(tables),
        _modules(tables, known),
        _saes(tables),
        _demands(tables),
        _partners(tables),
        _relays(document, tables),
        address_problems(document, tables),
    )
    return [found for check in checks for found in check]


def _items(document: dict[str, object], kind: str) -> list[Item]:
    listed = document.get(kind, [])
    # A wrong item keeps its place in the list, so that the indices of the others stay right.
    return [item if isinstance(item, dict) else {} for item in listed] if isinstance(listed, list) else []


def _by_id(items: list[Item]) -> dict[str, Item]:
    return {item["id"]: item for item in items if isinstance(item.get("id"), str)}  # type: ignore[misc]


def _pair(item: Item) -> list[str]:
    pair = item.get("between")
    return [name for name in pair if isinstance(name, str)] if isinstance(pair, list) and len(pair) == 2 else []


def _number(item: Item, key: str) -> float | None:
    value = item.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _reference(path: Path, name: object, known: Collection[str], what: str) -> Iterator[Found]:
    if isinstance(name, str) and name not in known:
        yield path, f"no {what} is called {name!r}{near_miss(name, known)}"


def _ids(tables: dict[str, list[Item]]) -> Iterator[Found]:
    """Each id once per kind, whatever the case: some file systems do not tell A from a."""
    for kind in ("sites", "fibres", "links", "saes", "partners"):
        first: dict[str, int] = {}
        for index, item in enumerate(tables[kind]):
            name = item.get("id")
            if not isinstance(name, str):
                continue
            if (before := first.setdefault(name.lower(), index)) != index:
                yield (kind, index, "id"), f"{name!r} is taken by {kind}[{before}]"
            if kind == "links" and name.lower() in RESERVED_LINK_IDS:
                yield (kind, index, "id"), f"{name!r} is reserved"
    sites = {name.lower() for name in _by_id(tables["sites"])}
    for index, item in enumerate(tables["saes"]):
        # Both are names in certificates of one CA: an SAE must not be able to pass for a KME.
        if isinstance(name := item.get("id"), str) and name.lower() in sites:
            yield ("saes", index, "id"), f"{name!r} is the name of a site; an SAE needs its own"


def _fibres(tables: dict[str, list[Item]]) -> Iterator[Found]:
    sites = _by_id(tables["sites"])
    for index, fibre in enumerate(tables["fibres"]):
        path: Path = ("fibres", index, "between")
        ends = _pair(fibre)
        for end in ends:
            yield from _reference(path, end, sites, "site")
        if len(ends) == 2 and ends[0] == ends[1]:
            yield path, f"both ends are {ends[0]!r}"
        elif len(ends) == 2 and all(end in sites for end in ends):
            yield from _length(index, fibre, _distance_km(sites[ends[0]], sites[ends[1]]))


def _length(index: int, fibre: Item, distance_km: float | None) -> Iterator[Found]:
    length_km = _number(fibre, "length_km")
    # 1 % for the sphere in place of the ellipsoid.
    if length_km is not None and distance_km is not None and 0 < length_km < 0.99 * distance_km:
        message = f"{length_km:g} km is shorter than the {distance_km:.1f} km between its sites' coordinates"
        yield ("fibres", index, "length_km"), message


def _distance_km(a: Item, b: Item) -> float | None:
    """Great-circle distance, or None where a coordinate is not a number in range."""
    degrees = [_number(site, key) for site in (a, b) for key in ("latitude_deg", "longitude_deg")]
    if any(value is None or not abs(value) <= 180 for value in degrees):
        return None
    lat_a, lon_a, lat_b, lon_b = (math.radians(value) for value in degrees if value is not None)
    h = math.sin((lat_b - lat_a) / 2) ** 2
    h += math.cos(lat_a) * math.cos(lat_b) * math.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(max(0.0, h))))


def _links(tables: dict[str, list[Item]]) -> Iterator[Found]:
    sites, fibres = _by_id(tables["sites"]), _by_id(tables["fibres"])
    for index, link in enumerate(tables["links"]):
        ends = [link.get("from"), link.get("to")]
        for key, end in zip(("from", "to"), ends, strict=True):
            yield from _reference(("links", index, key), end, sites, "site")
        if isinstance(ends[0], str) and ends[0] == ends[1]:
            yield ("links", index, "to"), f"both ends are {ends[0]!r}"
        path: Path = ("links", index, "fibre")
        yield from _reference(path, name := link.get("fibre"), fibres, "fibre")
        between = _pair(fibres[name]) if isinstance(name, str) and name in fibres else []
        known_ends = all(isinstance(end, str) and end in sites for end in ends)
        if len(between) == 2 and known_ends and set(between) != set(ends):
            yield path, f"fibre {name} runs {between[0]} - {between[1]}, the link {ends[0]} - {ends[1]}"


def _modules(tables: dict[str, list[Item]], known: Known) -> Iterator[Found]:
    for index, link in enumerate(tables["links"]):
        yield from _reference(("links", index, "protocol"), link.get("protocol"), PROTOCOLS, "protocol")
        for key, names in (("transmitter", known.transmitters), ("receiver", known.receivers)):
            if names is not None:
                # A default left unwritten must exist as well, but that is our fault and a test's matter.
                yield from _reference(("links", index, key), link.get(key), names, f"{key} datasheet")
        yield from _pairing(("links", index, "receiver" if "receiver" in link else "transmitter"), link, known)


def _pairing(path: Path, link: Item, known: Known) -> Iterator[Found]:
    """Two modules that exist, and a clock rate that is one, must fit each other."""
    transmitter, receiver, clock_hz = (link.get(key, MODULES[key]) for key in ("transmitter", "receiver", "clock_hz"))
    names = ((transmitter, known.transmitters), (receiver, known.receivers))
    if known.misfit is None or not all(isinstance(name, str) and name in (some or ()) for name, some in names):
        return
    is_rate = isinstance(clock_hz, int | float) and not isinstance(clock_hz, bool) and 0 < clock_hz < math.inf
    has_weather = "environment" in link
    if is_rate and (problem := known.misfit(str(transmitter), str(receiver), float(str(clock_hz)), has_weather)):
        yield path, problem


def _is_place(url: object) -> bool:
    """Other types than text are a matter of shape."""
    if not isinstance(url, str):
        return True
    try:
        place = urlsplit(url)
        return bool(place.hostname) and place.port != 0
    except ValueError:
        return False


def _saes(tables: dict[str, list[Item]]) -> Iterator[Found]:
    sites = _by_id(tables["sites"])
    for index, sae in enumerate(tables["saes"]):
        yield from _reference(("saes", index, "site"), sae.get("site"), sites, "site")
        if not _is_place(sae.get("push_url")):
            yield ("saes", index, "push_url"), f"{sae['push_url']!r} is no place; write https://host:port"


def _demands(tables: dict[str, list[Item]]) -> Iterator[Found]:
    saes = _by_id(tables["saes"])
    first: dict[frozenset[str], int] = {}
    for index, demand in enumerate(tables["demands"]):
        path: Path = ("demands", index, "between")
        pair = _pair(demand)
        for name in pair:
            yield from _reference(path, name, saes, "SAE")
        if len(pair) == 2 and pair[0] == pair[1]:
            yield path, f"an SAE always may share keys with itself; {pair[0]!r} stands here twice"
        elif len(pair) == 2 and (before := first.setdefault(frozenset(pair), index)) != index:
            yield path, f"this pair stands in demands[{before}] already"


def _relays(document: dict[str, object], tables: dict[str, list[Item]]) -> Iterator[Found]:
    """Numbers of paths and shares that keep what they promise, in the policy and where a demand says more."""
    policy = document.get("policy", {})
    common: Item = policy if isinstance(policy, dict) else {}
    keys = ("relay_paths", "relay_threshold")
    places: list[tuple[Path, Item]] = [(("policy",), common)]
    places += [(("demands", index), item) for index, item in enumerate(tables["demands"])]
    for path, item in places:
        written = next((key for key in keys if key in item), None)
        paths, threshold = (item.get(key, common.get(key, getattr(Policy(), key))) for key in keys)
        if written is None or not all(type(number) is int for number in (paths, threshold)):
            continue  # the default is good, and what is no number was told by ``shape.py``
        if (wrong := rule_problem(int(str(paths)), int(str(threshold)))) is not None:
            yield (*path, written), wrong
    for index, site in enumerate(tables["sites"]):
        if site.get("trusted") is False and site.get("trust", "untrusted") != "untrusted":
            yield ("sites", index, "trust"), f"{site['trust']!r} beside `trusted = false`: say one of the two"


def _standbys(index: int, partner: Item, site: Item | None) -> Iterator[Found]:
    """Each further instance of our KME has an address of its own for this partner."""
    urls, count = partner.get("own_standby_urls", []), site.get("kme_count", 1) if site is not None else 1
    if isinstance(urls, list) and isinstance(count, int) and len(urls) != max(1, count) - 1:
        path: Path = ("partners", index, "own_standby_urls")
        yield path, f"{len(urls)} addresses, but the site has {count} KMEs: one address for each beyond the first"


def _partners(tables: dict[str, list[Item]]) -> Iterator[Found]:
    sites, saes = _by_id(tables["sites"]), _by_id(tables["saes"])
    for index, partner in enumerate(tables["partners"]):
        yield from _reference(("partners", index, "site"), partner.get("site"), sites, "site")
        if partner.get("id") in sites:
            yield ("partners", index, "id"), f"{partner['id']!r} is the name of a site; a partner needs its own"
        yield from _standbys(index, partner, sites.get(str(partner.get("site"))))
        pairs = partner.get("pairs")
        for place, pair in enumerate(pairs if isinstance(pairs, list) else []):
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
                continue
            path: Path = ("partners", index, "pairs", place)
            yield from _reference(path, pair[0], saes, "SAE")
            if pair[0] in saes and saes[pair[0]].get("site") != partner.get("site"):
                yield path, f"{pair[0]!r} is not at site {partner.get('site')!r}, where this partner is met"
            if pair[1] in saes:
                yield path, f"{pair[1]!r} is an SAE of this network; the second one is the partner's"
