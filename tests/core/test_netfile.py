"""The network file: all errors at once, each with its place and the near miss."""

import json
from pathlib import Path

import pytest

from qanat.core.errors import MisuseError, NetworkFileError
from qanat.core.ids import LinkId, SiteId
from qanat.core.netfile import network_from_toml, problems_of, schema
from qanat.core.topology import Environment

TINY = (Path(__file__).parents[2] / "networks" / "tiny.toml").read_text(encoding="utf-8")


def problems(text: str, **known: tuple[str, ...]) -> dict[str, str]:
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(text, **known)
    return {problem.place: problem.message for problem in problems_of(caught.value)}


def mutated(old: str, new: str) -> str:
    assert old in TINY
    return TINY.replace(old, new, 1)


def test_a_right_file_becomes_a_network_with_defaults() -> None:
    network = network_from_toml(TINY)
    link = network.links[LinkId("mitte-moabit")]
    assert network.is_simulation
    assert (link.protocol, link.transmitter, link.receiver) == ("decoy-bb84", "decoy-1ghz", "ingaas-gated")
    assert (link.clock_hz, link.block_sifted_bits, link.pulse_block_ns) == (1e9, 200_000, 50_000_000)
    assert link.other_end(SiteId("mitte")) == "moabit"
    assert network.policy.buffer_keys == 32


def test_all_errors_come_at_once_with_place_line_and_near_miss() -> None:
    text = mutated('to = "wedding"\n', 'to = "weding"\nclok_hz = 1e9\n')
    text = text.replace("length_km = 5.0", "length_km = -1").replace("buffer_keys", "bufer_keys")
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(text, source="bad.toml")
    found = problems_of(caught.value)
    lines = text.splitlines()
    assert [p.place for p in found] == ["fibres[1].length_km", "links[1].to", "links[1].clok_hz", "policy.bufer_keys"]
    for problem in found:
        assert problem.line is not None
        assert problem.place.rpartition(".")[2] in lines[problem.line - 1]
    assert "did you mean wedding?" in str(caught.value)
    assert "did you mean clock_hz?" in str(caught.value)
    assert "did you mean buffer_keys?" in str(caught.value)
    assert str(caught.value).startswith("bad.toml has 4 errors:")
    assert isinstance(caught.value, MisuseError)


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ('id = "moabit"\n', 'id = "Mitte"\n', "sites[1].id", "taken by sites[0]"),
        ('id = "mitte-moabit"', 'id = "a b"', "links[0].id", "is no id"),
        ('id = "mitte-moabit"', 'id = "../up"', "links[0].id", "is no id"),
        ('id = "mitte-moabit"', 'id = "relay"', "links[0].id", "reserved"),
        ('id = "bob"', 'id = "mitte"', "saes[1].id", "name of a site"),
        ("latitude_deg = 52.5200", "latitude_deg = 95", "sites[0].latitude_deg", "less than or equal to 90"),
        ("latitude_deg = 52.5200", 'latitude_deg = "52"', "sites[0].latitude_deg", "is not a number"),
        ("latitude_deg = 52.5200", "latitude_deg = nan", "sites[0].latitude_deg", "finite"),
        ("latitude_deg = 52.5200\n", "", "sites[0].latitude_deg", "is missing"),
        ("length_km = 5.6", "length_km = 0", "fibres[0].length_km", "greater than 0"),
        ("length_km = 5.6", "length_km = 2.5", "fibres[0].length_km", "shorter than the 4.4 km"),
        ('between = ["mitte", "moabit"]', 'between = ["mitte", "mitte"]', "fibres[0].between", "both ends"),
        ('between = ["mitte", "moabit"]', 'between = ["mitte"]', "fibres[0].between", "at least 2"),
        ('fibre = "duct-mitte-moabit"', 'fibre = "duct-mitte-moabitt"', "links[0].fibre", "mean duct-mitte-moabit?"),
        ('fibre = "duct-mitte-moabit"', 'fibre = "duct-mitte-wedding"', "links[0].fibre", "runs mitte - wedding"),
        ('to = "moabit"', 'to = "mitte"', "links[0].to", "both ends"),
        ('to = "moabit"', 'to = "moabit"\nprotocol = "decoy-bb85"', "links[0].protocol", "did you mean decoy-bb84?"),
        ('to = "moabit"', 'to = "moabit"\nblock_sifted_bits = 100', "links[0].block_sifted_bits", "10000"),
        ('to = "moabit"', 'to = "moabit"\nblock_sifted_bits = 1e5', "links[0].block_sifted_bits", "whole number"),
        ('to = "moabit"', 'to = "moabit"\nepsilon_sec = 1.0', "links[0].epsilon_sec", "less than 1"),
        ('to = "moabit"', 'to = "moabit"\nepsilon_cor = 0', "links[0].epsilon_cor", "greater than 0"),
        ('site = "moabit"', 'site = "moab"', "saes[1].site", "did you mean moabit?"),
        ('between = ["alice", "bob"]', 'between = ["alice", "alice"]', "demands[0].between", "stands here twice"),
        ('between = ["alice", "bob"]', 'between = ["carol", "alice"]', "demands[1].between", "demands[0] already"),
        ('between = ["alice", "bob"]', 'between = ["alice", "bop"]', "demands[0].between", "did you mean bob?"),
        ("rate_bits_per_s = 2560", "rate_bits_per_s = -1", "demands[0].rate_bits_per_s", "greater than 0"),
        ("simulation = true", 'simulation = "yes"', "simulation", "true or false"),
        ("simulation = true", "simulated = true", "simulated", "did you mean simulation?"),
        ('name = "tiny"', 'name = ""', "name", "at least 1"),
    ],
)
def test_each_kind_of_error_names_its_place(old: str, new: str, place: str, words: str) -> None:
    found = problems(mutated(old, new))
    assert words in found[place]


def test_one_mistyped_number_does_not_accuse_the_parts_around_it() -> None:
    assert list(problems(mutated("latitude_deg = 52.5200", "latitude_deg = true"))) == ["sites[0].latitude_deg"]


def test_datasheet_names_are_checked_when_known() -> None:
    text = mutated('to = "moabit"', 'to = "moabit"\nreceiver = "snspdd"')
    assert network_from_toml(text).links[LinkId("mitte-moabit")].receiver == "snspdd"
    found = problems(text, transmitters=("decoy-1ghz",), receivers=("ingaas-gated", "snspd"))
    assert found == {"links[0].receiver": "no receiver datasheet is called 'snspdd'; did you mean snspd?"}


def test_no_toml_says_the_line() -> None:
    with pytest.raises(NetworkFileError, match=r"file \(line 3\): not TOML"):
        network_from_toml('name = "x"\nsites = [\n[\n')


@pytest.mark.parametrize(
    "text", ["", "sites = 3", "sites = [3]", 'name = "n"\n[[sites]]\nid = 1', "policy = 1\nlinks = {}"]
)
def test_nonsense_never_raises_anything_else(text: str) -> None:
    assert problems(text)


def test_the_schema_is_json_and_forbids_unknown_keys() -> None:
    made = schema()
    assert json.loads(json.dumps(made)) == made
    assert made["additionalProperties"] is False
    assert "from" in made["$defs"]["LinkDocument"]["properties"]  # type: ignore[index]


def with_weather(text: str) -> str:
    return mutated('fibre = "duct-moabit-wedding"\n', 'fibre = "duct-moabit-wedding"\n\n[links.environment]\n' + text)


def test_a_link_has_weather_only_where_the_file_gives_it() -> None:
    network = network_from_toml(with_weather('fibre = "aerial"\ncontrolled = false\nswing_k = 5\n'))
    found = network.links[LinkId("moabit-wedding")].environment
    assert found == Environment(fibre="aerial", is_controlled=False, swing_k=5.0)
    assert network.links[LinkId("mitte-moabit")].environment is None
    assert network_from_toml(with_weather("")).links[LinkId("moabit-wedding")].environment == Environment()


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('fibre = "arial"\n', "fibre", "'indoor', 'buried' or 'aerial'"),
        ("swing_k = -1\n", "swing_k", "greater than or equal to 0"),
        ("swimg_k = 1\n", "swimg_k", "did you mean swing_k?"),
        ("control_interval_s = 0\n", "control_interval_s", "greater than or equal to 0.05"),
        ("rotation_rad_per_sqrt_s = nan\n", "rotation_rad_per_sqrt_s", "finite"),
        ("noise_time_s = 0\n", "noise_time_s", "greater than 0"),
        ('controlled = "yes"\n', "controlled", "is not true or false"),
    ],
)
def test_a_mistake_in_the_weather_is_named_with_its_line(text: str, key: str, words: str) -> None:
    whole = with_weather(text)
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(whole)
    (problem,) = problems_of(caught.value)
    assert problem.place == f"links[1].environment.{key}"
    assert words in problem.message
    assert problem.line is not None
    assert key in whole.splitlines()[problem.line - 1]


PARTNER = """
[[partners]]
id = "west"
site = "mitte"
url = "https://192.0.2.7:8443"
own_url = "https://192.0.2.6:8443"
pairs = [["alice", "vault"]]
"""


def test_a_site_may_have_several_kmes_each_with_an_address_for_a_partner() -> None:
    two = mutated('id = "mitte"\n', 'id = "mitte"\nkme_count = 2\n')
    assert network_from_toml(TINY).sites[SiteId("mitte")].kme_count == 1
    assert network_from_toml(two).sites[SiteId("mitte")].kme_count == 2
    addresses = 'standby_urls = ["https://192.0.2.8:8443"]\nown_standby_urls = ["https://192.0.2.9:8443"]\n'
    partner = network_from_toml(two + PARTNER + addresses).partners["west"]
    assert partner.own_standby_urls == ("https://192.0.2.9:8443",)
    assert partner.standby_urls == ("https://192.0.2.8:8443",)
    assert network_from_toml(TINY + PARTNER).partners["west"].standby_urls == ()


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        (mutated('id = "mitte"\n', 'id = "mitte"\nkme_count = 0\n'), "sites[0].kme_count", "1"),
        (mutated('id = "mitte"\n', 'id = "mitte@2"\n'), "sites[0].id", "is no id"),
        (
            mutated('id = "mitte"\n', 'id = "mitte"\nkme_count = 2\n') + PARTNER,
            "partners[0].own_standby_urls",
            "0 addresses, but the site has 2 KMEs",
        ),
        (
            TINY + PARTNER + 'own_standby_urls = ["https://192.0.2.9:8443"]\n',
            "partners[0].own_standby_urls",
            "1 addresses, but the site has 1 KMEs",
        ),
        (TINY + PARTNER + 'standby_urls = ["192.0.2.9"]\n', "partners[0].standby_urls[0]", "192.0.2.9"),
    ],
)
def test_several_kmes_that_do_not_fit_are_told_with_their_place(text: str, place: str, words: str) -> None:
    found = problems(text)
    assert words in found[place], found


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://x/path", "https://:8443", "https://x:99999", "https://"]
)
def test_keys_are_pushed_to_nothing_that_is_no_place(url: str) -> None:
    text = TINY.replace("[[saes]]\n", f'[[saes]]\npush_url = "{url}"\n', 1)
    with pytest.raises(NetworkFileError) as caught:
        network_from_toml(text)
    assert any("push_url" in problem.place for problem in problems_of(caught.value))
