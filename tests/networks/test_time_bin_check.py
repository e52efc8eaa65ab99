"""Modules of two families in one link: refused where the network file is read, with place and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.cli.check import load_network
from qanat.core.errors import NetworkFileError

TINY = (Path(__file__).parents[2] / "networks/tiny.toml").read_text("utf-8")
LINK = 'id = "mitte-moabit"\nfrom = "mitte"'


def written(folder: Path, lines: str) -> Path:
    assert LINK in TINY
    path = folder / "network.toml"
    path.write_text(TINY.replace(LINK, f"{LINK}\n{lines}"))
    return path


def test_a_time_bin_link_beside_polarisation_links_is_right(tmp_path: Path) -> None:
    lines = 'transmitter = "time-bin-3state"\nreceiver = "time-bin-snspd"\nclock_hz = 2.5e9'
    network = load_network(written(tmp_path, lines))
    assert {link.receiver for link in network.links.values()} == {"time-bin-snspd", "ingaas-gated"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('receiver = "time-bin-snspd"', "transmitter 'decoy-1ghz' sends polarisation light"),
        ('transmitter = "time-bin-3state"', "receiver 'ingaas-gated' tells polarisation light"),
        ('transmitter = "time-bin-3state"\nreceiver = "time-bin-snspd"\nclock_hz = 3e9', "do not fit a clock slot"),
        (
            'transmitter = "time-bin-3state"\nreceiver = "time-bin-snspd"\nenvironment = { fibre = "buried" }',
            "drift is not modelled",
        ),
    ],
)
def test_modules_that_do_not_fit_are_refused_at_their_line(tmp_path: Path, lines: str, said: str) -> None:
    with pytest.raises(NetworkFileError, match="1 error") as caught:
        load_network(written(tmp_path, lines))
    (problem,) = caught.value.problems
    assert said in problem.message
    assert "links[0]" in problem.place
    assert problem.line is not None


def test_an_unknown_module_is_told_once_and_not_as_a_misfit_too(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError, match="1 error"):
        load_network(written(tmp_path, 'receiver = "time-bin-snsdp"'))
