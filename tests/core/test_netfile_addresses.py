"""Where applications on other machines find a site's KME, as the network file says it."""

from pathlib import Path

import pytest

from qanat.core.errors import NetworkFileError
from qanat.core.ids import SiteId
from qanat.core.netfile import network_from_toml, problems_of
from qanat.core.topology import Reach

TINY = (Path(__file__).parents[2] / "networks" / "tiny.toml").read_text(encoding="utf-8")
MITTE, MOABIT = 'id = "mitte"\n', 'id = "moabit"\n'


def at(site: str, said: str, text: str = TINY) -> str:
    assert site in text
    return text.replace(site, f"{site}applications = {{{said}}}\n", 1)


def test_a_site_says_how_applications_elsewhere_reach_it() -> None:
    said = 'host = "kme.mitte.example", listen = "192.0.2.7", etsi014 = 443, etsi004 = 7004'
    network = network_from_toml(at(MITTE, said))
    assert network.sites[SiteId("mitte")].applications == Reach(
        host="kme.mitte.example", listen="192.0.2.7", ports={"etsi014": 443, "etsi004": 7004}
    )
    assert network.sites[SiteId("moabit")].applications is None


@pytest.mark.parametrize(
    ("said", "place", "words"),
    [
        ("etsi014 = 443", "host", "is missing"),
        ('host = "kme/x"', "host", "String should match"),
        ('host = "0.0.0.0"', "host", "name the one by which clients call"),
        ('host = "::"', "host", "name the one by which clients call"),
        ('host = "a.example", listen = "b.example"', "listen", "is no address of a machine"),
        ('host = "a.example", etsi014 = 0', "etsi014", "out of range"),
        ('host = "a.example", etsi014 = 65536', "etsi014", "out of range"),
        ('host = "a.example", etsi014 = 7000, skip = 7000', "skip", "7000 is taken by sites[0].applications.etsi014"),
        ('host = "a.example", etsi004_push = 7000', "etsi004_push", "no SAE at this site has a push_url"),
        ('host = "a.example", skip_psk = 7000', "skip_psk", "policy.skip_psk is off"),
        ('host = "a.example", etsi14 = 7000', "etsi14", "did you mean etsi014?"),
    ],
)
def test_what_cannot_be_is_told_with_its_place(said: str, place: str, words: str) -> None:
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(at(MITTE, said))
    (found,) = problems_of(caught.value)
    assert (found.place, words in found.message) == (f"sites[0].applications.{place}", True), found.message


def test_a_port_belongs_to_one_door_of_the_network() -> None:
    text = at(MITTE, 'host = "a.example", etsi014 = 7000').replace(MITTE, MITTE + "kme_count = 2\n", 1)
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(at(MOABIT, 'host = "b.example", skip = 7001', text))
    (found,) = problems_of(caught.value)
    assert found.place == "sites[1].applications.skip"
    assert "7001 is taken by sites[0].applications.etsi014" in found.message
    assert network_from_toml(at(MOABIT, 'host = "b.example", skip = 7002', text))
