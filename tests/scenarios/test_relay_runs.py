"""Relays in virtual time: over six links, in shares, with liars, under random faults. Invariants hold, keys flow."""

from pathlib import Path

import pytest

from qanat.core.netfile import network_from_toml
from qanat.core.secret import SecretBits
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Network
from qanat.km.documents import KeyContainer
from qanat.km.kme import Kme
from qanat.km.relay.hops import Hops
from qanat.sim.run import SimReport, rerun_line, run_sim

NETWORKS = Path(__file__).parents[2] / "networks"


def network(name: str) -> Network:
    return network_from_toml((NETWORKS / f"{name}.toml").read_text(encoding="utf-8"))


def held(report: SimReport) -> SimReport:
    if report.violation is not None:
        faults = ",".join(map(str, report.faults))
        line = rerun_line(report, path=f"networks/{report.network}.toml", faults=faults)
        pytest.fail("\n".join([report.violation.text, *report.violation.recent, line]), pytrace=False)
    return report


def run(name: str, *, faults: str = "", seed: int = 1, seconds: int = 60, **more: object) -> SimReport:
    return run_sim(network(name), duration_ns=seconds * NS_PER_S, seed=seed, faults=faults, **more)


@pytest.mark.parametrize("name", ["chain", "three-paths"])
def test_a_quiet_network_serves_the_far_pair(name: str) -> None:
    report = held(run(name))
    pair = report.pairs["west-app - east-app"]
    assert pair.lost == 0
    assert pair.shared >= 0.85 * pair.wanted


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["chain", "three-paths"])
def test_random_faults_in_bad_weather_keep_the_invariants(name: str, seed: int) -> None:
    report = held(run(name, seed=seed, seconds=120, faults="random:20,lossy:0.2"))
    assert report.crashes > 0
    assert report.pairs["west-app - east-app"].shared > 20


def test_eve_on_a_link_in_the_middle_stops_a_chain_and_keys_return_when_she_has_gone() -> None:
    lines: list[str] = []
    report = held(run("chain", seconds=120, faults="intercept-resend:mill-ferry@30s+20s", trace=lines.append))
    assert {"pause_link", "quarantine", "resume_link"} <= set(report.commands)
    last = max(float(line.split()[0]) for line in lines if "to west-app as master" in line)
    assert last > 100


def test_a_cut_of_one_path_of_three_goes_unnoticed_by_applications() -> None:
    report = held(run("three-paths", faults="cut:duct-west-bridge@20s+30s"))
    assert report.pairs["west-app - east-app"].lost == 0
    assert report.pairs["west-app - east-app"].shared >= 0.85 * report.pairs["west-app - east-app"].wanted


class Liar(Hops):
    """Changes a bit of whatever it passes on."""

    def _forward(self, header, payload, link) -> None:  # type: ignore[no-untyped-def]
        data = bytearray(payload.reveal())
        data[3] ^= 1
        super()._forward(header, SecretBits(data), link)


@pytest.mark.parametrize(
    ("liar", "suspects"), [("bridge", "bridge"), ("south-yard", "south-yard"), ("lakeside", "north-hill or lakeside")]
)
def test_a_lying_node_is_named_and_the_keys_come_all_the_same(liar: str, suspects: str) -> None:
    class Lying(Kme):
        def __init__(self, **parts) -> None:  # type: ignore[no-untyped-def]
            super().__init__(**parts)
            if self.site == liar:
                self._relay._hops.__class__ = Liar

    lines: list[str] = []
    report = held(run("three-paths", make_kme=Lying, trace=lines.append))
    assert report.pairs["west-app - east-app"].shared >= 0.85 * report.pairs["west-app - east-app"].wanted
    told = {line.partition("was changed on its way, by ")[2] for line in lines if "was changed on its way" in line}
    turned = " or ".join(suspects.split(" or ")[::-1])
    assert told == {suspects, turned}


def test_a_lying_node_on_a_chain_stops_the_keys_and_releases_none() -> None:
    class Lying(Kme):
        def __init__(self, **parts) -> None:  # type: ignore[no-untyped-def]
            super().__init__(**parts)
            if self.site == "chapel":
                self._relay._hops.__class__ = Liar

    lines: list[str] = []
    report = held(run("chain", make_kme=Lying, trace=lines.append))
    assert report.pairs["west-app - east-app"].shared == 0
    assert any("quarry or mill or ferry or chapel or orchard" in line for line in lines)
    assert report.pairs["west-app - ferry-app"].shared > 40  # their way ends before the liar


class Flatters(Kme):
    """Says that three shares are needed where two do."""

    def enc_keys(self, caller, slave, request, now_ns) -> KeyContainer:  # type: ignore[no-untyped-def]
        container = super().enc_keys(caller, slave, request, now_ns)
        for key in container.keys:
            assert isinstance(key.key_extension, dict)
            if key.key_extension["qanat_relay_threshold"] == 2:
                key.key_extension["qanat_relay_threshold"] = 3
        return container


class Forgets(Kme):
    """Leaves out the path whose node is leased."""

    def enc_keys(self, caller, slave, request, now_ns) -> KeyContainer:  # type: ignore[no-untyped-def]
        container = super().enc_keys(caller, slave, request, now_ns)
        for key in container.keys:
            assert isinstance(key.key_extension, dict)
            nodes = key.key_extension["qanat_trusted_nodes"]
            key.key_extension["qanat_trusted_nodes"] = [node for node in nodes if node != "south-yard"]
        return container


@pytest.mark.parametrize("engine", [Flatters, Forgets])
def test_a_label_that_flatters_shares_breaks_7(engine: type[Kme]) -> None:
    report = run("three-paths", make_kme=engine, seconds=30)
    assert report.violation is not None
    assert report.violation.number == 7
