"""qanat's own names in ETSI 014's extension fields: what a key rests on, and what a master may insist on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qanat.core.provenance import Authentication, Origin, Provenance
from qanat.km.documents import MANDATORY_UNKNOWN, MANDATORY_UNMET, KeyDeliveryError

ROUTE_TYPE = "qanat_route_type"  # "direct", "relayed" or "local", or a list of them
KEY_ORIGIN = "qanat_key_origin"  # "qkd", "hybrid", "pqc" or "local", or a list of them
AUTHENTICATION = "qanat_authentication"  # "pre-shared" or "ml-dsa", or a list of them; null where no link was used
_ROUTE_TYPES = frozenset({"direct", "relayed", "local"})
_ORIGINS = frozenset(Origin)
_AUTHENTICATIONS = frozenset(Authentication)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Which keys a master accepts."""

    route_types: frozenset[str] = _ROUTE_TYPES
    origins: frozenset[str] = _ORIGINS
    authentications: frozenset[str] = _AUTHENTICATIONS

    def accept(self, provenance: Provenance) -> bool:
        is_known = provenance.authentication is None or provenance.authentication in self.authentications
        return is_known and provenance.route_type in self.route_types and provenance.origin in self.origins


def wishes_from_mandatory(entries: Iterable[dict[str, Any]]) -> Wishes:
    """Every entry must be understood and must be possible.

    Raises:
        KeyDeliveryError: 400 with the message of the standard.

    Example:
        >>> sorted(wishes_from_mandatory([{"qanat_route_type": "direct"}]).route_types)
        ['direct']
    """
    route_types, origins, authentications = _ROUTE_TYPES, _ORIGINS, _AUTHENTICATIONS
    for entry in entries:
        for name, value in entry.items():
            if name == ROUTE_TYPE:
                route_types &= _chosen(value, _ROUTE_TYPES)
            elif name == KEY_ORIGIN:
                origins &= _chosen(value, _ORIGINS)
            elif name == AUTHENTICATION:
                authentications &= _chosen(value, _AUTHENTICATIONS)
            else:
                raise KeyDeliveryError(400, MANDATORY_UNKNOWN, [{"name": str(name)[:100]}])
    if not route_types or not origins or not authentications:
        raise KeyDeliveryError(400, MANDATORY_UNMET)
    return Wishes(route_types=route_types, origins=origins, authentications=authentications)


def _chosen(value: object, known: frozenset[str]) -> frozenset[str]:
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values) or not known.issuperset(values):
        raise KeyDeliveryError(400, MANDATORY_UNMET)
    return frozenset(values)


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
