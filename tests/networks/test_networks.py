"""Every network file in the repository is right, and the schema beside them is the one the code makes."""

import json
from pathlib import Path

import pytest

from qanat.cli.check import load_network, notes
from qanat.cli.schema import text

NETWORKS = Path(__file__).parents[2] / "networks"


@pytest.mark.parametrize("path", sorted(NETWORKS.glob("*.toml")), ids=lambda path: path.name)
def test_the_file_is_right_and_leaves_nothing_to_note(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("#:schema ./network.schema.json\n")
    assert notes(load_network(path)) == []


def test_the_schema_file_is_the_one_printed() -> None:
    written = (NETWORKS / "network.schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == json.loads(text("network")), (
        "run `qanat schema network > networks/network.schema.json`"
    )


def test_metro_is_a_ring_of_at_least_six_sites_with_links_of_5_to_60_km() -> None:
    metro = load_network(NETWORKS / "metro.toml")
    assert len(metro.sites) >= 6
    assert len(metro.links) > len(metro.sites)
    assert all(5 <= fibre.length_km <= 60 for fibre in metro.fibres.values())
    assert all(link.clock_hz == 1e9 for link in metro.links.values())
    assert len(metro.saes) >= 6
