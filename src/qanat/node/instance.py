"""The instances of one site's KME: the first bears the site's name, the others ``mitte@2``, ``mitte@3``.

An instance's name stands wherever something is its own: folder, fence, audit, sockets, ports. ``@`` is in no
site's name. All instances of a site have the certificate name, the database and the KEK in common.
"""

from __future__ import annotations

from pathlib import Path

from qanat.core.ids import SiteId
from qanat.core.topology import Network
from qanat.node.statedir import StateDir

_MARK = "@"


def instances_of(network: Network, site: SiteId) -> list[SiteId]:
    """Their names, the first one first: the order in which they are looked for."""
    return [site, *(SiteId(f"{site}{_MARK}{number}") for number in range(2, network.sites[site].kme_count + 1))]


def all_instances(network: Network) -> list[SiteId]:
    return [instance for site in network.sites for instance in instances_of(network, site)]


def standbys(network: Network) -> list[SiteId]:
    """All but the first of each site."""
    return [instance for instance in all_instances(network) if instance != site_of(instance)]


def site_of(instance: SiteId) -> SiteId:
    """
    Example:
        >>> site_of(SiteId("mitte@2"))
        'mitte'
    """
    return SiteId(instance.partition(_MARK)[0] or instance)  # the registrar's audit begins with the mark: no instance


def index_of(instance: SiteId) -> int:
    """From 0."""
    number = instance.partition(_MARK)[2]
    return int(number) - 1 if number else 0


def own_or_first(state: StateDir, instance: SiteId, name: str) -> Path:
    """A file of this instance; of the site's first one where both run from one state directory and share it.

    The first one's folder decides, not the file, which may come later.
    """
    own, first = state.node(instance) / name, state.node(site_of(instance)) / name
    return first if not own.exists() and first.parent.is_dir() else own
