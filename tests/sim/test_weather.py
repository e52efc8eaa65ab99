"""Weather in the simulated modules: asked for in the network file, in light and meters alike, and only then."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.sim.a_link import LINK as A_LINK

from qanat.core.ids import FibreId, SiteId
from qanat.core.streams import Streams
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Environment, Fibre
from qanat.physics.attack import Cut, LaserSeeding
from qanat.sim.counted import StatisticalGlass, WindowCounts
from qanat.sim.entropy import SimulatedEntropy
from qanat.sim.link import StatisticalLink
from qanat.sim.module import SimulatedGlass, SimulatedTransmitter

KEY, SEED = b"K of this rehearsal", b"luck of this rehearsal"
FIBRE = Fibre(id=FibreId("duct"), ends=(SiteId("a"), SiteId("b")), length_km=20.0, attenuation_db_per_km=0.2)
LINK = replace(A_LINK, pulse_block_ns=50_000_000)
WILD = Environment(rotation_rad_per_sqrt_s=0.15, swing_k=0.0, noise_k=0.0)


def glass(environment: Environment | None, **changes: object) -> SimulatedGlass:
    link = replace(LINK, environment=environment, **changes)  # type: ignore[arg-type]
    return SimulatedGlass(link=link, fibre=FIBRE, key=KEY, stream_seed=SEED)


def counted(environment: Environment | None, windows: int, seed: bytes = SEED) -> list[WindowCounts]:
    one = StatisticalGlass(link=replace(LINK, environment=environment), fibre=FIBRE, stream_seed=seed)
    return [one.next_counts(NS_PER_S) for _ in range(windows)]


def qber_z(windows: list[WindowCounts]) -> np.ndarray:
    return np.array([sum(w.error_counts_z) / sum(z for _, z in w.sifted_counts) for w in windows])


def test_without_an_environment_nothing_drifts_and_the_meters_show_the_datasheets() -> None:
    block = glass(None).next_block()
    assert block.health is not None
    assert (block.health.temperature_c, block.health.control_effort) == (-40.0, 0.0)
    module = SimulatedTransmitter(link=LINK, key=KEY)
    assert [module.health_of(n) for n in (0, 1000)] == [module.health_of(0)] * 2
    windows = counted(None, 20)
    assert {w.receiver.temperature_c for w in windows} == {-40.0}
    assert {(w.transmitter.power_ratio, w.transmitter.temperature_c) for w in windows} == {(1.0, 25.0)}
    assert qber_z(windows).std() < 0.001


def test_a_controller_keeps_the_error_rate_and_its_effort_is_in_the_reports() -> None:
    """Ten minutes: a walk of 3.7 rad against a controller that is 0.17 rad behind."""
    free, held, calm = (
        counted(environment, 600)
        for environment in (replace(WILD, is_controlled=False), WILD, replace(WILD, rotation_rad_per_sqrt_s=0.005))
    )
    assert qber_z(free).max() > 0.5
    assert qber_z(held).max() < 0.15
    assert qber_z(held).mean() < 0.025
    effort = [sum(w.receiver.control_effort for w in windows) for windows in (free, calm, held)]
    assert effort[0] == 0.0 < 5 * effort[1] < effort[2]


def test_clicks_and_counts_of_one_weather_have_one_error_rate() -> None:
    """No noise in the cabinets, so both tiers have the same streams. Per second 5 sigma of some 300 errors; over all
    of them 5 sigma of both."""
    environment = replace(WILD, is_controlled=False)
    one, transmitter = glass(environment), SimulatedTransmitter(link=LINK, key=KEY)
    seen = []
    for _ in range(20):
        tested = wrong = 0
        for _ in range(20):
            block = one.next_block()
            sent = transmitter.settings_at(block.number, block.index)
            in_z = (sent.basis == 1) & (block.basis == 1)
            tested, wrong = tested + int(in_z.sum()), wrong + int((sent.bit != block.bit)[in_z].sum())
        seen.append((tested, wrong))
    tested, wrong = np.array(seen).T
    told = qber_z(counted(environment, 20))
    error = np.sqrt(np.maximum(told, 0.005) * (1 - told) * 2 / tested)
    assert np.all(np.abs(wrong / tested - told) < 5 * error + 0.015 * told)
    assert told.max() > 5 * told.min(), "it drifted far enough to tell"


def test_temperatures_reach_both_ends_telemetry_and_the_light() -> None:
    environment = Environment(swing_k=20.0, noise_k=1.0, noise_time_s=2.0)
    windows = counted(environment, 60)
    detectors = [w.receiver.temperature_c for w in windows]
    assert len(set(detectors)) == 60
    assert all(abs(t + 40) < 0.05 * (20 + 6) for t in detectors)
    assert all(
        w.transmitter.power_ratio == pytest.approx(1 - 0.01 * (w.transmitter.temperature_c - 25)) for w in windows
    )
    one, module = glass(environment), SimulatedTransmitter(link=replace(LINK, environment=environment), key=KEY)
    for _ in range(45):
        block = one.next_block()
        told = module.health_of(block.number)
        assert one.conditions is not None
        assert (told.temperature_c, told.power_ratio) == (one.conditions.laser_c, one.conditions.intensity_factor)
        assert block.health is not None
        assert block.health.temperature_c == one.conditions.detectors_c
    assert told.temperature_c != 25.0


def test_eve_moves_the_meters_on_top_of_the_weather() -> None:
    module = SimulatedTransmitter(link=replace(LINK, environment=Environment(noise_k=5.0)), key=KEY)
    calm = module.health_of(0)
    module.set_attacks((LaserSeeding(1.2, seen=1.0),))
    assert module.health_of(0).power_ratio == pytest.approx(1.2 * calm.power_ratio)


def test_dark_counts_are_nothing_to_steer_by_and_a_link_that_was_cut_finds_back() -> None:
    first = []
    for seed in (b"1", b"2", b"3", b"4"):
        one = StatisticalGlass(link=replace(LINK, environment=WILD), fibre=FIBRE, stream_seed=seed)
        one.set_attacks((Cut(),))
        dark = [one.next_counts(NS_PER_S) for _ in range(60)]
        one.set_attacks(())
        light = [one.next_counts(NS_PER_S) for _ in range(60)]
        assert qber_z(dark).min() > 0.2
        assert qber_z(light[10:]).mean() < 0.03
        first.append(qber_z(light[:1])[0])
    assert max(first) > 0.1


def test_the_same_seed_gives_the_same_weather_and_another_another() -> None:
    environment = Environment(fibre="aerial")
    assert counted(environment, 30) == counted(environment, 30)
    assert counted(environment, 30) != counted(environment, 30, seed=b"other luck")
    blocks = [glass(environment).next_block() for _ in range(2)]
    assert np.array_equal(blocks[0].index, blocks[1].index)


def test_a_statistical_links_reports_tell_what_live_ones_tell() -> None:
    streams = Streams(seed=1)
    link = StatisticalLink(
        link=LINK, fibre=FIBRE, stream_seed=streams.seed_bytes("q", 32), entropy=SimulatedEntropy(streams, "k")
    )
    report, _, _ = link.next_window(NS_PER_S, 0)
    assert report.receiver is not None
    assert report.transmitter is not None
    assert sum(report.receiver.gap_histogram) == report.detection_count
    assert sum(a.count for a in report.receiver.arrivals) >= report.detection_count
    assert report.basis_share_x == pytest.approx(0.83, abs=0.02)
    assert all(40 < a.std_ps < 60 for a in report.receiver.arrivals)
