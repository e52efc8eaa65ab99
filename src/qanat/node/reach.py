"""Where the doors of KMEs listen, and by which addresses applications call them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address

from qanat.core.ids import SiteId
from qanat.core.topology import Network
from qanat.node.instance import all_instances, index_of, site_of
from qanat.node.processes.config import Ports

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = ""  # of the machine, as ``getaddrinfo`` understands no host


def given_ports(network: Network) -> dict[SiteId, dict[str, int]]:
    """The ports that the network file fixes, by instance and interface."""
    return {
        name: {interface: port + index_of(name) for interface, port in _ports(network, name).items()}
        for name in all_instances(network)
    }


def _ports(network: Network, instance: SiteId) -> Mapping[str, int]:
    reach = network.sites[site_of(instance)].applications
    return {} if reach is None else reach.ports


def listening(network: Network, instance: SiteId) -> tuple[str, ...]:
    """Where the doors of a KME for applications listen: loopback always, so that this machine's own find it there."""
    reach = network.sites[site_of(instance)].applications
    return (LOOPBACK,) if reach is None else listening_for(reach.listen or reach.host)


def listening_for(host: str) -> tuple[str, ...]:
    """For clients that call ``host``: at that address, or at every one of the machine if it is a name.

    Example:
        >>> listening_for("192.0.2.7"), listening_for("localhost"), listening_for("kme.example")
        (('127.0.0.1', '192.0.2.7'), ('127.0.0.1',), ('',))
    """
    if host == "localhost":
        return (LOOPBACK,)
    try:
        address = ip_address(host)
    except ValueError:
        return (EVERY_ADDRESS,)
    if address.is_unspecified:
        return (EVERY_ADDRESS,) if address.version == 6 else (str(address),)
    return (LOOPBACK,) if str(address) == LOOPBACK else (LOOPBACK, str(address))


def urls_of(key_delivery: Mapping[str, int], site: str, hosts: Mapping[str, str] | None = None) -> list[str]:
    """Where applications reach a site's KME: one address per instance.

    Args:
        key_delivery, hosts: From ``ports.json``; without ``hosts`` the addresses are those for this machine.
    """
    found = [(name, port) for name, port in key_delivery.items() if site_of(SiteId(name)) == site]
    return [f"https://{authority((hosts or {}).get(name, LOOPBACK), port)}" for name, port in found]


def open_doors(ports: Ports) -> list[str]:
    """For whoever starts a network: where applications on other machines reach which KME."""
    doors = {
        "ETSI 014": ports.key_delivery,
        "ETSI 004": ports.streams,
        "its push mode": ports.push,
        "SKIP": ports.skip,
        "SKIP by pre-shared key": ports.skip_psk,
    }
    return [
        f"other machines: KME of {name} at {host}, "
        + ", ".join(f"{door} {found[name]}" for door, found in doors.items() if name in found)
        for name, host in ports.hosts.items()
    ]


def authority(host: str, port: int) -> str:
    """
    Example:
        >>> authority("2001:db8::7", 443)
        '[2001:db8::7]:443'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
