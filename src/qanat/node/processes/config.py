"""What the supervisor tells a child process, as one line of JSON on its standard input."""

from __future__ import annotations

import msgspec

from qanat.core.ids import LinkId, SiteId
from qanat.core.topology import Network


class Ports(msgspec.Struct, frozen=True):
    """TCP ports on loopback, and where the network file says for applications; of KMEs by ``node/instance.py``."""

    dashboard: int
    classical: int  # the public channel between transmitters and receivers
    key_delivery: dict[SiteId, int]  # ETSI 014
    peers: dict[SiteId, int]  # KME to KME
    streams: dict[SiteId, int] = {}  # ETSI 004
    skip: dict[SiteId, int] = {}  # SKIP; a site without a port serves none
    health: dict[SiteId, int] = {}  # for load balancers, where a site has several instances
    skip_psk: dict[SiteId, int] = {}  # SKIP for routers that show a pre-shared key
    push: dict[SiteId, int] = {}  # ETSI 004 in push mode, at sites with an application that has a push_url
    hosts: dict[SiteId, str] = {}  # by which applications on other machines call, where the network file says it


class ChildConfig(msgspec.Struct, frozen=True):
    """One child's whole configuration.

    Attributes:
        process: "hub", "kme", "glass", "transmitters" or "receivers".
        sites: Instances of KMEs that this process hosts, at most one of a site; empty for the others.
        sockets: Paths of the Unix sockets by name.
        link_time_base_ns: Unix time at which link time starts in this run of the workers.
        link_time_rate_max: Link seconds per wall second are never more than this.
        glass_keys: Simulation keys per link, as hex. Only transmitters and glass ever get them: see
            docs/decisions/0003. They are no secret of any live key.
    """

    process: str
    network: Network
    state: str
    ports: Ports
    sockets: dict[str, str]
    sites: list[SiteId] = []
    link_time_base_ns: int = 0
    link_time_rate_max: float = 1.0
    glass_keys: dict[LinkId, str] = {}

    def __repr__(self) -> str:
        return f"<ChildConfig {self.process}>"


def hub_socket() -> str:
    return "hub"


def glass_socket() -> str:
    return "glass"


def kq1_socket(instance: SiteId) -> str:
    """The socket on which an instance of a site's KME takes key blocks from its QKD modules (Kq-1)."""
    return f"kq1-{instance}"
