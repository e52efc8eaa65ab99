"""Where people and programs on other machines find the doors of a network: errors of meaning in what a file says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from qanat.core.netfile.document import ReachDocument
from qanat.core.netfile.places import Path, place_text

PORT_MAX = 65_535
INTERFACES = tuple(name for name in ReachDocument.model_fields if name not in ("host", "listen"))

Item = dict[str, object]
Found = tuple[Path, str]


def address_problems(document: Item, tables: Mapping[str, list[Item]]) -> Iterator[Found]:
    """Each door is one place, under a name that clients can check."""
    sites = tables["sites"]
    given: list[tuple[Path, object]] = [(("sites", n, "admin"), site.get("admin")) for n, site in enumerate(sites)]
    registrar = document.get("registrar")
    if isinstance(registrar, dict):
        given += [(("registrar", key), registrar.get(key)) for key in ("operators", "applications")]
    for path, address in given:
        if isinstance(address, str):
            yield from _whole_address(path, address)
    yield from _taken_twice(given)
    reaches: list[tuple[int, Item]] = []
    for n, site in enumerate(sites):
        if isinstance(reach := site.get("applications"), dict):
            reaches.append((n, reach))
    for n, reach in reaches:
        yield from _reach(("sites", n, "applications"), reach)
        yield from _closed(n, reach, document, tables)
    yield from _ports_twice(sites, reaches)


def _whole_address(path: Path, address: str) -> Iterator[Found]:
    host, _, port = address.rpartition(":")
    if _is_wildcard(host.strip("[]")):
        yield path, _no_name(host)
    if port.isdecimal() and int(port) > PORT_MAX:
        yield path, f"{port} is no port; the last one is {PORT_MAX}"


def _taken_twice(given: list[tuple[Path, object]]) -> Iterator[Found]:
    first: dict[str, Path] = {}
    for path, address in given:
        if isinstance(address, str) and first.setdefault(address.lower(), path) != path:
            yield path, f"{address} is taken by {place_text(first[address.lower()])}"


def _reach(path: Path, reach: Item) -> Iterator[Found]:
    host, listen = reach.get("host"), reach.get("listen")
    if isinstance(host, str) and _is_wildcard(host):
        yield (*path, "host"), _no_name(host)
    if isinstance(listen, str) and not _is_address(listen):
        yield (*path, "listen"), f"{listen!r} is no address of a machine, as 192.0.2.7 or 2001:db8::7 would be"


def _closed(index: int, reach: Item, document: Item, tables: Mapping[str, list[Item]]) -> Iterator[Found]:
    """A port for a door that is not there."""
    site, policy = tables["sites"][index], document.get("policy")
    pushing = any(sae.get("site") == site.get("id") and sae.get("push_url") for sae in tables["saes"])
    if "etsi004_push" in reach and not pushing:
        yield ("sites", index, "applications", "etsi004_push"), "no SAE at this site has a push_url, which opens it"
    if "skip_psk" in reach and (not isinstance(policy, dict) or policy.get("skip_psk", "off") == "off"):
        yield ("sites", index, "applications", "skip_psk"), "policy.skip_psk is off, so there is no such door"


def _ports_twice(sites: list[Item], reaches: list[tuple[int, Item]]) -> Iterator[Found]:
    """All KMEs of a network listen on the loopback address of one machine too, so a port is one door's."""
    first: dict[int, Path] = {}
    for n, reach in reaches:
        count = sites[n].get("kme_count", 1)
        for name in INTERFACES:
            port, path = reach.get(name), ("sites", n, "applications", name)
            if not isinstance(port, int) or not 0 < port <= PORT_MAX:
                continue
            for own in range(port, port + (count if isinstance(count, int) else 1)):
                if own > PORT_MAX:
                    yield path, f"its {count} KMEs have ports from {port} on, and {own} is none"
                elif first.setdefault(own, path) != path:
                    yield path, f"{own} is taken by {place_text(first[own])}"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_wildcard(host: str) -> bool:
    return _is_address(host) and ip_address(host).is_unspecified


def _no_name(host: str) -> str:
    return f"{host} is every address of the machine; name the one by which clients call, its certificate does"
