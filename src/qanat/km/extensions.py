"""qanat's own names in ETSI 014's extension fields: what a key rests on, and what a master may insist on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.core.timebase import NS_PER_S
from qanat.km.documents import MANDATORY_UNKNOWN, MANDATORY_UNMET, KeyDeliveryError

ROUTE_TYPE = "qanat_route_type"  # "direct", "relayed" or "local", or a list of them
KEY_ORIGIN = "qanat_key_origin"  # "qkd", "hybrid", "pqc" or "local", or a list of them
AUTHENTICATION = "qanat_authentication"  # "pre-shared" or "ml-dsa", or a list of them; null where no link was used
MAX_AGE = "qanat_max_age"  # seconds since the key's bits came into this KME's store
IGNORED = "qanat_ignored_optional"  # in key_container_extension: optional names that were not met
AGE_S_MAX = 10 * 365 * 86400  # above any store's life, far below what 64-bit nanoseconds hold
IGNORED_MAX, NAME_CHARS_MAX = 32, 100
ROUTE_TYPES = frozenset({"direct", "relayed", "local", "external"})
_ORIGINS = frozenset(Origin)
_AUTHENTICATIONS = frozenset(Authentication)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Which keys a master accepts. ``age_ns_max`` None: of any age."""

    route_types: frozenset[str] = ROUTE_TYPES
    origins: frozenset[str] = _ORIGINS
    authentications: frozenset[str] = _AUTHENTICATIONS
    age_ns_max: int | None = None

    def accept(self, provenance: Provenance, age_ns: int = 0) -> bool:
        is_known = provenance.authentication is None or provenance.authentication in self.authentications
        is_young = self.age_ns_max is None or age_ns <= self.age_ns_max
        return is_known and is_young and provenance.route_type in self.route_types and provenance.origin in self.origins

    def both(self, other: Wishes) -> Wishes:
        """What fits this and the other."""
        ages = [age for age in (self.age_ns_max, other.age_ns_max) if age is not None]
        return Wishes(
            route_types=self.route_types & other.route_types,
            origins=self.origins & other.origins,
            authentications=self.authentications & other.authentications,
            age_ns_max=min(ages, default=None),
        )

    @property
    def is_possible(self) -> bool:
        return bool(self.route_types and self.origins and self.authentications)


ANY = Wishes()  # no wish


def wishes_from_mandatory(entries: Iterable[dict[str, Any]]) -> Wishes:
    """Every entry must be understood and must be possible.

    Raises:
        KeyDeliveryError: 400 with the message of the standard.

    Example:
        >>> sorted(wishes_from_mandatory([{"qanat_route_type": "direct"}]).route_types)
        ['direct']
    """
    wishes = ANY
    pairs = [pair for entry in entries for pair in entry.items()]
    for name, _ in pairs:
        if name not in _READERS:
            raise KeyDeliveryError(400, MANDATORY_UNKNOWN, [{"name": name[:NAME_CHARS_MAX]}])
    for name, value in pairs:
        wish = _wish(name, value)
        if wish is None:
            raise KeyDeliveryError(400, MANDATORY_UNMET)
        wishes = wishes.both(wish)
    if not wishes.is_possible:
        raise KeyDeliveryError(400, MANDATORY_UNMET)
    return wishes


def wishes_from_optional(entries: Iterable[dict[str, Any]]) -> list[tuple[str, Wishes | None]]:
    """Every optional entry with what it wishes; None for one that is unknown or makes no sense. Never raises."""
    return [(name, _wish(name, value)) for entry in entries for name, value in entry.items()]


def _wish(name: str, value: object) -> Wishes | None:
    reader = _READERS.get(name)
    return reader(value) if reader is not None else None


def _chosen(value: object, known: frozenset[str]) -> frozenset[str] | None:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values) or not known.issuperset(values):
        return None
    return frozenset(values)


def _route_wish(value: object) -> Wishes | None:
    chosen = _chosen(value, ROUTE_TYPES)
    return None if chosen is None else Wishes(route_types=chosen)


def _origin_wish(value: object) -> Wishes | None:
    chosen = _chosen(value, _ORIGINS)
    return None if chosen is None else Wishes(origins=chosen)


def _authentication_wish(value: object) -> Wishes | None:
    chosen = _chosen(value, _AUTHENTICATIONS)
    return None if chosen is None else Wishes(authentications=chosen)


def _age_wish(value: object) -> Wishes | None:
    """Whole seconds, at least one: a key of age zero does not exist."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= AGE_S_MAX:
        return None
    return Wishes(age_ns_max=value * NS_PER_S)


_READERS = {
    ROUTE_TYPE: _route_wish,
    KEY_ORIGIN: _origin_wish,
    AUTHENTICATION: _authentication_wish,
    MAX_AGE: _age_wish,
}


def container_extension(ignored: Iterable[str]) -> dict[str, Any] | None:
    """The ``key_container_extension``: which optional names were not met; None when there are none."""
    names = list(dict.fromkeys(name[:NAME_CHARS_MAX] for name in ignored))[:IGNORED_MAX]
    return {IGNORED: names} if names else None


def extension_from_provenance(provenance: Provenance) -> dict[str, Any]:
    """The ``key_extension`` of one key."""
    return {
        KEY_ORIGIN: provenance.origin.value,
        ROUTE_TYPE: provenance.route_type,
        "qanat_links": list(provenance.links),
        "qanat_trusted_nodes": list(provenance.trusted_nodes),
        "qanat_node_trust": dict(
            zip(provenance.trusted_nodes, (label.value for label in provenance.trust), strict=False)
        ),
        "qanat_relay_paths": [list(path) for path in provenance.share_paths],
        "qanat_relay_threshold": provenance.threshold,
        AUTHENTICATION: provenance.authentication.value if provenance.authentication is not None else None,
        "qanat_algorithms": list(provenance.algorithms),
        "qanat_epsilon_total": provenance.epsilon_total,
        "qanat_simulated": provenance.simulated,
    }
