"""What the supervisor tells a child process, as one line of JSON on its standard input."""

from __future__ import annotations

import msgspec

from qanat.core.ids import LinkId, SiteId
from qanat.core.topology import Network


class Ports(msgspec.Struct, frozen=True):
    """TCP ports on the loopback address."""

    dashboard: int
    classical: int  # the public channel between transmitters and receivers
    key_delivery: dict[SiteId, int]  # ETSI 014
    peers: dict[SiteId, int]  # KME to KME
    streams: dict[SiteId, int] = {}  # ETSI 004
    skip: dict[SiteId, int] = {}  # SKIP; a site without a port serves none
    skip_psk: dict[SiteId, int] = {}  # SKIP for routers that show a pre-shared key


class ChildConfig(msgspec.Struct, frozen=True):
    """One child's whole configuration.

    Attributes:
        process: "hub", "kme", "glass", "transmitters" or "receivers".
        sites: Sites whose KMEs this process hosts; empty for the others.
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


def kq1_socket(site: SiteId) -> str:
    """The socket on which the KME of a site takes key blocks from its QKD modules (Kq-1)."""
    return f"kq1-{site}"
