"""Provenance: what a key's secrecy rests on. It travels with the key, to the application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from qanat.core.ids import LinkId, SiteId
from qanat.core.trust import Trust


class Origin(StrEnum):
    """Where the secrecy comes from, best first."""

    QKD = "qkd"
    HYBRID = "hybrid"
    PQC = "pqc"
    EXTERNAL = (
        "external"  # another operator's network gave or took it at a trusted site; what it rests on is theirs to say
    )
    LOCAL = "local"  # both applications are at one site: its own entropy, no link; never part of another key


class Authentication(StrEnum):
    """How the two ends of a QKD link first knew each other, best first. All later tags of a session rest on it.

    ``PRE_SHARED``: a secret that a person carried to both ends; nothing is assumed about anybody's computer.
    ``ML_DSA``: signatures at the start; nobody could forge them, nor break the key exchange that they signed, before
    the session's first key block was tagged (docs/decisions/0045).
    """

    PRE_SHARED = "pre-shared"
    ML_DSA = "ml-dsa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What must hold for a key to be secret.

    Attributes:
        origin: QKD, hybrid, post-quantum only, or local.
        links: QKD links whose secrecy it rests on, in path order.
        trusted_nodes: Sites in between, in path order; empty for one link. Each saw the key in clear, unless it came
            in shares.
        trust: Whose they are, in the same order; empty where nobody said.
        share_paths: Where the key came in shares: the sites on each path, which saw that path's share and no other.
        threshold: Shares that give the key back: sites on fewer paths know nothing of it together.
        authentication: How the ends of these links knew each other, the weakest of them; None without a link.
        algorithms: Post-quantum algorithms it rests on.
        epsilon_total: Sum of the failure probabilities of everything above.
        simulated: The photons were simulated: the key is worth nothing outside a rehearsal.

    Raises:
        ValueError: no probability, or an authentication that is not spelled out.
    """

    origin: Origin
    links: tuple[LinkId, ...]
    trusted_nodes: tuple[SiteId, ...] = ()
    trust: tuple[Trust, ...] = ()
    share_paths: tuple[tuple[SiteId, ...], ...] = ()
    threshold: int = 1
    authentication: Authentication | None
    algorithms: tuple[str, ...] = ()
    epsilon_total: float
    simulated: bool

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon_total <= 1:
            raise ValueError(f"epsilon_total is a probability, not {self.epsilon_total}")
        if len(self.trust) not in (0, len(self.trusted_nodes)):
            raise ValueError(f"{len(self.trust)} labels for {len(self.trusted_nodes)} nodes")
        is_possible = 2 <= self.threshold <= len(self.share_paths) if self.share_paths else self.threshold == 1
        if not is_possible:
            raise ValueError(f"threshold {self.threshold} with {len(self.share_paths)} paths of shares")
        if bool(self.links) != (self.authentication is not None):
            raise ValueError(f"authentication {self.authentication} with links {self.links}")
        is_signed = any(name.startswith("ML-DSA") for name in self.algorithms)
        if self.authentication is not None and (self.authentication is Authentication.ML_DSA) != is_signed:
            raise ValueError(f"authentication {self.authentication} with algorithms {self.algorithms}")

    @property
    def route_type(self) -> str:
        if self.origin is Origin.LOCAL:
            return "local"
        if self.origin is Origin.EXTERNAL:
            return "external"
        return "relayed" if self.trusted_nodes else "direct"

    def sentence(self) -> str:
        """For people: `direct QKD link a-b` or `relayed over a-b, b-c; trusted node: b`."""
        if self.origin is Origin.LOCAL:
            return "drawn from the site's own entropy for two applications at that site; no QKD link"
        if self.origin is Origin.EXTERNAL:
            return "shared across the border with another operator's network, at a site that both trust"
        kind = self._ways() if self.trusted_nodes else f"direct QKD link {' -> '.join(self.links)}"
        authentication = f"; authentication {self.authentication}" if self.authentication is not None else ""
        algorithms = f"; rests on {', '.join(self.algorithms)}" if self.algorithms else ""
        mark = "; SIMULATED photons" if self.simulated else ""
        return f"{kind}{authentication}{algorithms}; epsilon {self.epsilon_total:.1e}{mark}"

    def _ways(self) -> str:
        labels = dict(zip(self.trusted_nodes, self.trust, strict=False))

        def named(sites: Iterable[SiteId]) -> str:
            return ", ".join(f"{site} ({labels[site]})" if site in labels else site for site in sites)

        if not self.share_paths:
            return f"relayed over {' -> '.join(self.links)}; trusted nodes that saw it: {named(self.trusted_nodes)}"
        paths = "; ".join(named(path) for path in self.share_paths)
        return (
            f"relayed in shares over {len(self.share_paths)} paths that share no node ({paths}); no node saw it, nodes "
            f"of {self.threshold} paths together could know it"
        )


def joined(
    parts: tuple[Provenance, ...], trusted_nodes: tuple[SiteId, ...], trust: tuple[Trust, ...] = ()
) -> Provenance:
    """The provenance of a key that rests on all of the parts: as weak as the weakest of each.

    Example:
        >>> hop = Provenance(origin=Origin.QKD, links=(LinkId("a-b"),), epsilon_total=1e-9, simulated=True,
        ...     authentication=Authentication.PRE_SHARED)
        >>> from dataclasses import replace
        >>> joined((hop, replace(hop, links=(LinkId("b-c"),))), (SiteId("b"),)).route_type
        'relayed'
    """
    if not parts:
        raise ValueError("a key must rest on something")
    order = list(Origin)
    return Provenance(
        origin=max((part.origin for part in parts), key=order.index),
        links=tuple(link for part in parts for link in part.links),
        trusted_nodes=tuple(trusted_nodes),
        trust=tuple(trust),
        authentication=weakest(part.authentication for part in parts),
        algorithms=tuple(sorted({name for part in parts for name in part.algorithms})),
        epsilon_total=min(1.0, sum(part.epsilon_total for part in parts)),
        simulated=any(part.simulated for part in parts),
    )


def weakest(kinds: Iterable[Authentication | None]) -> Authentication | None:
    """What a whole may say of its authentication; None when no part has a link."""
    return max((kind for kind in kinds if kind is not None), key=list(Authentication).index, default=None)


def in_shares(
    parts: tuple[Provenance, ...],
    links: tuple[LinkId, ...],
    paths: tuple[tuple[SiteId, ...], ...],
    trust: Mapping[SiteId, Trust],
    threshold: int,
) -> Provenance:
    """The provenance of a key that came in shares.

    Args:
        parts: Of the hops of all shares that came.
        links, paths: The links, and the sites on each path, that a share was sent over, whether it came or not.

    The sum of all epsilons bounds the chance that any hop fails: more than the chance that enough of them do.
    """
    nodes = tuple(dict.fromkeys(site for path in paths for site in path))
    whole = joined(parts, nodes, tuple(trust[site] for site in nodes))
    return replace(whole, links=links, share_paths=paths, threshold=threshold)
