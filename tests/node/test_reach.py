"""Where the doors of KMEs listen, and by which addresses applications call them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from qanat.core.ids import SiteId
from qanat.core.netfile import network_from_toml
from qanat.core.topology import Network
from qanat.node.api.entrance import Entrance
from qanat.node.reach import given_ports, listening, open_doors, urls_of
from qanat.node.supervisor import choose_ports

TINY = (Path(__file__).parents[2] / "networks" / "tiny.toml").read_text(encoding="utf-8")
MITTE, SECOND = SiteId("mitte"), SiteId("mitte@2")


def network(said: str) -> Network:
    return network_from_toml(TINY.replace('id = "mitte"\n', f'id = "mitte"\n{said}\n', 1))


@pytest.mark.parametrize(
    ("said", "addresses"),
    [
        ("", ("127.0.0.1",)),
        ('applications = {host = "192.0.2.7"}', ("127.0.0.1", "192.0.2.7")),
        ('applications = {host = "2001:DB8::7"}', ("127.0.0.1", "2001:db8::7")),
        ('applications = {host = "kme.example", listen = "192.0.2.7"}', ("127.0.0.1", "192.0.2.7")),
        ('applications = {host = "kme.example"}', ("",)),
        ('applications = {host = "kme.example", listen = "0.0.0.0"}', ("0.0.0.0",)),
        ('applications = {host = "localhost"}', ("127.0.0.1",)),
    ],
)
def test_doors_listen_on_loopback_and_where_the_file_says(said: str, addresses: tuple[str, ...]) -> None:
    assert listening(network(said), MITTE) == addresses


def test_ports_of_the_file_are_kept_those_of_further_instances_follow_and_no_door_has_anothers() -> None:
    fixed = network('kme_count = 2\napplications = {host = "kme.example", etsi014 = 20140, skip = 20150}')
    assert given_ports(fixed)[SECOND] == {"etsi014": 20141, "skip": 20151}
    ports = choose_ports(fixed)
    assert (ports.key_delivery[MITTE], ports.key_delivery[SECOND]) == (20140, 20141)
    assert (ports.skip[MITTE], ports.skip[SECOND]) == (20150, 20151)
    given = [ports.dashboard, ports.classical]
    for doors in (ports.key_delivery, ports.peers, ports.streams, ports.skip, ports.health):
        given += doors.values()
    assert len(set(given)) == len(given)


def test_applications_elsewhere_get_the_files_host_and_those_here_loopback() -> None:
    found, hosts = {"mitte": 443, "mitte@2": 444, "moabit": 445}, {"mitte": "2001:db8::7", "mitte@2": "2001:db8::7"}
    assert urls_of(found, "mitte", hosts) == ["https://[2001:db8::7]:443", "https://[2001:db8::7]:444"]
    assert urls_of(found, "moabit", hosts) == urls_of(found, "moabit") == ["https://127.0.0.1:445"]


def test_whoever_starts_a_network_reads_which_doors_are_open() -> None:
    assert open_doors(choose_ports(network(""))) == []
    (line,) = open_doors(choose_ports(network('applications = {host = "kme.example", etsi014 = 20140, skip = 20150}')))
    assert line.startswith("other machines: KME of mitte at kme.example, ETSI 014 20140, ETSI 004 ")
    assert line.endswith("SKIP 20150")


def test_a_door_for_every_address_takes_connections_at_each_and_one_for_two_at_no_third() -> None:
    """All of 127.0.0.0/8 is this machine's where there is IPv4."""

    async def reached(host: str | tuple[str, ...]) -> dict[str, bool]:
        door = Entrance(make_protocol=asyncio.Protocol, context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        port = await door.open(host, _free_port())
        async with door:
            return {place: _connects(place, port) for place in ("127.0.0.1", "127.0.0.2", "127.0.0.3")}

    assert asyncio.run(reached(("",))) == {"127.0.0.1": True, "127.0.0.2": True, "127.0.0.3": True}
    assert asyncio.run(reached(("127.0.0.1", "127.0.0.2"))) == {
        "127.0.0.1": True,
        "127.0.0.2": True,
        "127.0.0.3": False,
    }
    assert asyncio.run(reached("127.0.0.1")) == {"127.0.0.1": True, "127.0.0.2": False, "127.0.0.3": False}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
