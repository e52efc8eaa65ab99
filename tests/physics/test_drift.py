"""The slow weather: laws of walk and warmth, the controller against them, and one weather for all tiers.

Statistical tests name their false-alarm probability; seeds are fixed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from qanat.core.errors import MisuseError
from qanat.core.streams import Streams
from qanat.core.timebase import NS_PER_S
from qanat.core.topology import Environment
from qanat.physics.attack import Cut
from qanat.physics.datasheet import ROOM_C, load_receiver, load_transmitter
from qanat.physics.dense import DenseSampler
from qanat.physics.drift import (
    DITHER_RAD,
    Cabinet,
    Conditions,
    ErrorSignal,
    FibreRotation,
    LinkDrift,
    TransmitterClimate,
    drifted,
    error_signal,
    meters,
)
from qanat.physics.drift.grid import GAP_STEPS_MAX
from qanat.physics.errors import SamplerError
from qanat.physics.instruments import Instruments
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import detector_shares, optics_from_sheets
from qanat.physics.settings import SettingsFunction, law_from_sheet
from qanat.physics.sparse import SparseSampler
from qanat.physics.statistical import StatisticalSampler

SHEETS = load_transmitter("decoy-1ghz"), load_receiver("ingaas-gated")
METRO = ErrorSignal(rate_hz=20_000.0, qber=0.012)
STILL = {"swing_k": 0.0, "noise_k": 0.0, "rotation_rad_per_k": 0.0}


def drift(seed: int = 1, *, signal: ErrorSignal = METRO, receiver=SHEETS[1], **changes: object) -> LinkDrift:
    return LinkDrift(
        Environment(**changes),  # type: ignore[arg-type]
        transmitter=SHEETS[0],
        receiver=receiver,
        length_km=20.0,
        signal=signal,
        streams=Streams(seed=seed),
        transmitter_streams=Streams(seed=seed + 1_000_000),
    )


def seconds(one: LinkDrift, count: int, start: int = 0) -> list[Conditions]:
    return [one.window(t * NS_PER_S, NS_PER_S) for t in range(start, start + count)]


def qber_of(conditions: Conditions, misalignment: float = 0.01) -> float:
    """Of single photons, both bases alike."""
    return (1 - (1 - 2 * misalignment) * conditions.coherence * math.cos(conditions.rotation_rad)) / 2


def test_without_a_controller_the_angle_walks_with_a_variance_that_grows_with_time() -> None:
    """400 fibres, means over them: chi-squared of 400 has a relative width of 7 %, five of them are a false alarm in
    1e-6; increments of disjoint times are uncorrelated within five widths of 5 %."""
    rate, angles = 0.01, []
    for seed in range(400):
        one = drift(seed, rotation_rad_per_sqrt_s=rate, is_controlled=False, **STILL)
        angles.append([c.rotation_rad for c in seconds(one, 101)])
    walked = np.array(angles)
    assert np.all(walked[:, 0] == 0.0)
    for t in (1, 10, 25, 100):
        assert walked[:, t].var() == pytest.approx(rate**2 * t, rel=0.35)
        assert abs(walked[:, t].mean()) < 5 * rate * math.sqrt(t / 400)
    assert walked[:, 100].var() / walked[:, 10].var() == pytest.approx(10, rel=0.5), "not a bounded wander"
    early, late = walked[:, 50], walked[:, 100] - walked[:, 50]
    assert abs(np.corrcoef(early, late)[0, 1]) < 0.25


def test_the_walk_does_not_depend_on_the_step() -> None:
    """Steps of 0.5 s and of 4 s: the same variance after 40 s, to five widths of a ratio of two chi-squared of 300."""
    ends = []
    for interval_s in (0.5, 4.0):
        many = [
            drift(
                seed, rotation_rad_per_sqrt_s=0.02, is_controlled=False, control_interval_s=interval_s, **STILL
            ).window(40 * NS_PER_S, NS_PER_S // 2)
            for seed in range(300)
        ]
        ends.append(np.var([c.rotation_rad for c in many]))
        assert ends[-1] == pytest.approx(0.02**2 * 40, rel=0.41)
    assert ends[0] / ends[1] == pytest.approx(1, rel=0.6)


def test_longer_fibre_turns_more_and_kinds_differ() -> None:
    stream = Streams(seed=0).get("fibre")
    rates = {
        kind: [FibreRotation(Environment(fibre=kind), km, stream).rate for km in (10.0, 40.0)]
        for kind in ("indoor", "buried", "aerial")
    }
    assert all(longer == pytest.approx(2 * shorter) for shorter, longer in rates.values())
    assert rates["indoor"][0] < rates["buried"][0] < rates["aerial"][0]
    with pytest.raises(MisuseError, match="did you mean 'buried'"):
        FibreRotation(Environment(fibre="burried"), 1.0, stream)


def test_polarisation_turns_with_the_air() -> None:
    """No walk and no noise: what is left is the day's sine, times the fibre's coefficient."""
    one = drift(rotation_rad_per_sqrt_s=0.0, rotation_rad_per_k=0.1, swing_k=5.0, noise_k=0.0, is_controlled=False)
    noon = one.window(6 * 3600 * NS_PER_S, NS_PER_S)
    assert noon.rotation_rad == pytest.approx(0.5, rel=1e-3)
    assert one.window(12 * 3600 * NS_PER_S, NS_PER_S).rotation_rad == pytest.approx(0.0, abs=1e-3)


def test_a_cabinets_noise_is_an_ornstein_uhlenbeck_process() -> None:
    """600 cabinets: variance at all times, and correlation exp(-t / tau). Five standard errors: 0.29 and 0.2."""
    environment = Environment(swing_k=0.0, noise_k=0.5, noise_time_s=100.0)
    traces = []
    for seed in range(600):
        cabinet = Cabinet(environment, Streams(seed=seed).get("c"))
        traces.append([(cabinet.go_to(t), cabinet.warmer_k)[1] for t in (0, 50, 400)])
    first, soon, late = np.array(traces).T
    for now in (first, soon, late):
        assert now.var() == pytest.approx(0.25, rel=0.29)
    assert np.corrcoef(first, soon)[0, 1] == pytest.approx(math.exp(-0.5), abs=0.2)
    assert np.corrcoef(first, late)[0, 1] == pytest.approx(0, abs=0.2)


def test_with_its_controller_a_link_keeps_its_error_rate_where_it_drowns_without() -> None:
    """Two hours of a lively fibre, 0.05 rad per sqrt(s): free it walks 4 rad. Held, its angle has a width of some
    0.06 rad, so 3 % would take five of them."""
    changes = {"rotation_rad_per_sqrt_s": 0.05, "control_interval_s": 1.0, **STILL}
    drowned = []
    for seed in range(3):
        free, held = (drift(seed, is_controlled=on, **changes) for on in (False, True))
        lost, kept = (np.array([qber_of(c) for c in seconds(one, 7200)]) for one in (free, held))
        assert kept.max() < 0.03
        assert kept.mean() < 0.0125
        drowned.append(lost[600:].mean())
        assert held.fibre.angle_rad == free.fibre.angle_rad, "the controller does not change the fibre's luck"
    assert min(drowned) > 0.06
    assert np.mean(drowned) > 0.2


def test_effort_grows_with_the_drift_and_is_the_way_that_the_actuator_went() -> None:
    efforts = []
    for rate in (0.0, 0.005, 0.02, 0.08):
        one = drift(rotation_rad_per_sqrt_s=rate, **STILL)
        before, went, effort = 0.0, 0.0, 0.0
        for t in range(600):
            conditions = one.window(t * NS_PER_S, NS_PER_S)
            went += abs(one.controller.correction_rad - before)
            before = one.controller.correction_rad
            effort += conditions.control_effort_rad
        assert effort == pytest.approx(went, rel=1e-9)
        efforts.append(effort)
    assert all(more > 2 * less for less, more in pairwise(efforts))
    # A controller that follows a walk goes, step by step, about as far as the fibre: sqrt(2 / pi) of its rate.
    assert efforts[-1] == pytest.approx(600 * 0.08 * math.sqrt(2 / math.pi), rel=0.15)
    assert sum(c.control_effort_rad for c in seconds(drift(is_controlled=False), 100)) == 0.0


def test_shot_noise_limits_the_controller_and_darkness_stops_it() -> None:
    """As many errors as 20 test bits a second give are worth little; with none at all nothing is turned."""
    residual = []
    for rate_hz in (1e6, 20_000.0, 200.0):
        one = drift(signal=ErrorSignal(rate_hz=rate_hz, qber=0.012), rotation_rad_per_sqrt_s=0.02, **STILL)
        residual.append(np.mean([c.rotation_rad**2 for c in seconds(one, 1500)][300:]))
    assert residual[0] < residual[1] / 2 < residual[2] / 4
    assert residual[0] < 3 * 0.02**2, "with many counts it lags by one step"
    dark = drift(signal=ErrorSignal(rate_hz=0.0, qber=0.5), rotation_rad_per_sqrt_s=0.02, **STILL)
    seconds(dark, 100)
    assert dark.controller.correction_rad == 0.0


def test_a_cut_leaves_the_controller_without_a_signal_and_it_finds_back() -> None:
    one = drift(rotation_rad_per_sqrt_s=0.01, **STILL)
    optics = optics_from_sheets(*SHEETS, loss_db=5.0, clock_hz=1e9)
    memory, law = memory_from_sheet(SHEETS[1], clock_hz=1e9), law_from_sheet(SHEETS[0])
    light, dark = error_signal(optics, memory, law), error_signal(optics, memory, law, (Cut(),))
    assert light.rate_hz > 1e4 > 0.03 * dark.rate_hz
    assert light.qber < 0.02 < 0.49 < dark.qber
    one.signal = dark
    seconds(one, 2000)
    lost = abs(one.angle_rad)
    one.signal = light
    found = seconds(one, 60, start=2000)[-1]
    assert lost > 0.1
    assert qber_of(found) < 0.015


def test_dark_counts_double_as_the_datasheet_says() -> None:
    """A cabinet 200 K too warm warms these detectors by 200 * 0.05 = 10 K: one doubling. Nobody's cabinet, but a
    number that shows."""
    one = drift(swing_k=200.0, noise_k=0.0, rotation_rad_per_k=0.0)
    warm = one.window(6 * 3600 * NS_PER_S, NS_PER_S)
    assert SHEETS[1].dark_doubling_k == 10
    assert warm.dark_factor == pytest.approx(2.0, rel=1e-6)
    assert warm.efficiency_factor == pytest.approx(1 - 0.03 * 10, rel=1e-6)
    assert warm.intensity_factor == pytest.approx(1 - 0.01 * 10, rel=1e-6)
    cold = one.window(18 * 3600 * NS_PER_S, NS_PER_S)
    assert cold.dark_factor == pytest.approx(0.5, rel=1e-6)
    frozen = drift(receiver=load_receiver("snspd"), swing_k=200.0, noise_k=0.0).window(6 * 3600 * NS_PER_S, NS_PER_S)
    assert (frozen.dark_factor, frozen.efficiency_factor, frozen.detectors_c) == (1.0, 1.0, -271.0)


def test_a_warm_detector_counts_twice_the_darks_in_every_tier() -> None:
    """With the fibre cut, some 40 000 darks or more each: a ratio has a width of 0.6 %, two in one gate cost 0.4 %."""
    warm = drift(swing_k=200.0, noise_k=0.0, rotation_rad_per_k=0.0).window(6 * 3600 * NS_PER_S, NS_PER_S)
    optics = replace(optics_from_sheets(*SHEETS, loss_db=5.0, clock_hz=1e9), p_dark=(1e-3,) * 4)
    memory, gates = replace(memory_from_sheet(SHEETS[1], clock_hz=1e9), dead_gates=0, p_trap=(0.0, 0.0)), 100_000_000
    law, counts = law_from_sheet(SHEETS[0]), {}
    settings = SettingsFunction(b"a key for darks", law)
    for name, light in (("cold", optics), ("warm", drifted(optics, warm))):
        sparse = SparseSampler(optics=light, memory=memory, settings=settings, seed=b"darks")
        dense = DenseSampler(optics=light, memory=memory, settings=settings, seed=b"darks")
        fast = StatisticalSampler(optics=light, memory=memory, settings=law, stream=Streams(seed=3).get("darks"))
        for sampler in (sparse, dense, fast):
            sampler.set_attacks((Cut(),))
        counts[name] = [
            sparse.clicks(0, gates).gate.size,
            10 * dense.clicks(0, gates // 10).gate.size,
            fast.counts(gates).detection_count,
        ]
    for cold, hot in zip(counts["cold"], counts["warm"], strict=True):
        assert hot / cold == pytest.approx(2.0, rel=0.035)


def test_meters_tell_the_temperatures_the_power_and_the_effort() -> None:
    one = drift(swing_k=4.0, noise_k=0.0, rotation_rad_per_sqrt_s=0.01)
    morning, noon = one.window(0, NS_PER_S), one.window(6 * 3600 * NS_PER_S, NS_PER_S)
    calm, warm = (meters(Instruments(), conditions) for conditions in (morning, noon))
    assert warm.receiver_temperature_c - calm.receiver_temperature_c == pytest.approx(4 * 0.05, rel=1e-3)
    assert warm.transmitter_temperature_c - ROOM_C == pytest.approx(4 * 0.05, rel=1e-3)
    assert warm.power_ratio == pytest.approx(1 - 0.01 * 4 * 0.05, rel=1e-4)
    assert warm.transmitter_effort == pytest.approx(0.1, rel=1e-3)
    assert warm.receiver_effort == noon.control_effort_rad > 0


def test_the_transmitters_own_weather_is_the_links_bit_for_bit() -> None:
    one = drift(seed=7)
    alone = TransmitterClimate(Environment(), SHEETS[0], Streams(seed=1_000_007))
    for start_ns, duration_ns in ((0, 50_000_000), (50_000_000, 50_000_000), (10**9, 2 * 10**9), (10**12, 10**9)):
        seen, told = one.window(start_ns, duration_ns), alone.window(start_ns, duration_ns)
        assert (seen.laser_c, seen.intensity_factor, seen.thermostat_effort) == tuple(told)
    now = alone.window(10**12, 10**9)
    assert alone.window(0, 10**9) == now, "an earlier block is answered with the present"


def test_the_same_seed_gives_the_same_weather_whatever_the_windows() -> None:
    """Bit for bit in equal windows; in other windows the same means, and the same state at the end."""
    a, b, other = (drift(seed, fibre="aerial") for seed in (4, 4, 5))
    first, second = seconds(a, 50), seconds(b, 50)
    assert first == second
    assert first != seconds(other, 50)
    whole = drift(4, fibre="aerial")
    once = whole.window(0, 50 * NS_PER_S)
    assert whole.angle_rad == a.angle_rad
    for name in ("laser_c", "detectors_c", "intensity_factor", "efficiency_factor", "dark_factor"):
        assert getattr(once, name) == pytest.approx(np.mean([getattr(c, name) for c in first]), rel=1e-12)
    assert once.control_effort_rad == pytest.approx(sum(c.control_effort_rad for c in first), rel=1e-9)
    phasor = np.mean([c.coherence * np.exp(1j * c.rotation_rad) for c in first])
    assert once.coherence == pytest.approx(abs(phasor), rel=1e-12)
    small = drift(4, fibre="aerial")
    parts = [small.window(k * NS_PER_S // 4, NS_PER_S // 4) for k in range(8)]
    assert parts[4].rotation_rad == parts[5].rotation_rad == first[1].rotation_rad


def test_windows_must_come_in_order_and_a_wild_leap_costs_no_time() -> None:
    one = drift()
    one.window(10 * NS_PER_S, NS_PER_S)
    with pytest.raises(SamplerError, match="in order"):
        one.window(0, NS_PER_S)
    with pytest.raises(SamplerError, match="no weather"):
        one.window(20 * NS_PER_S, 0)
    alone = TransmitterClimate(Environment(), SHEETS[0], Streams(seed=1))
    alone.window((GAP_STEPS_MAX**3) * NS_PER_S, NS_PER_S)
    assert abs(alone.cabinet.warmer_k) < 2 + 6 * 0.3


def test_the_mean_overlap_of_a_moving_angle_is_that_of_less_visibility() -> None:
    optics = optics_from_sheets(*SHEETS, loss_db=0.0, clock_hz=1e9)
    angles = np.array([0.1, -0.4, 0.9])
    phasor = np.exp(1j * angles).mean()
    still = Conditions(
        laser_c=25.0, detectors_c=-40.0, intensity_factor=1.0, efficiency_factor=1.0, dark_factor=1.0,
        rotation_rad=float(np.angle(phasor)), coherence=float(abs(phasor)), thermostat_effort=0.0,
        control_effort_rad=0.0,
    )  # fmt: skip
    mean = np.mean([detector_shares(replace(optics, rotation_rad=a)) for a in angles], axis=0)
    assert detector_shares(drifted(optics, still)) == pytest.approx(mean, abs=1e-12)
    calm = replace(still, rotation_rad=0.0, coherence=1.0)
    assert drifted(optics, calm) == optics
    assert math.cos(DITHER_RAD) > 1 - 2 * 7e-4, "the dither costs less than 7e-4 of QBER"


def test_the_tiers_agree_while_the_link_drifts(optics, memory, settings) -> None:
    """One weather, 24 windows of 1 s of it, each lit for 100 000 gates: matched cells summed over the windows, and
    errors in the first and the last third. 16 numbers, |z| < 5 (2e-5 each way): a false alarm in 1e-5 per pair."""
    windows, gates = 24, 100_000

    def weather() -> LinkDrift:
        return drift(9, rotation_rad_per_sqrt_s=0.25, is_controlled=False, swing_k=0.0, noise_k=40.0, noise_time_s=5.0)

    def cells(kind: type) -> np.ndarray:
        one, found = weather(), []
        stream = (
            {"stream": Streams(seed=2).get("s")} if kind is StatisticalSampler else {"seed": kind.__name__.encode()}
        )
        law = settings.law if kind is StatisticalSampler else settings
        sampler = kind(optics=optics, memory=memory, settings=law, **stream)
        for k in range(windows):
            sampler.set_optics(drifted(optics, one.window(k * NS_PER_S, NS_PER_S)))
            if kind is StatisticalSampler:
                found.append(sampler.counts_many(1, gates).cells[0].ravel())
                continue
            clicks = sampler.clicks(k * gates, (k + 1) * gates)
            sent = settings.at(clicks.gate)
            matched = sent.basis == clicks.basis
            cell = (sent.intensity.astype(int) * 2 + sent.basis) * 2 + (sent.bit != clicks.bit)
            found.append(np.bincount(cell[matched], minlength=12))
        table = np.array(found)
        errors = table[:, 1::2].sum(axis=1)
        return np.concatenate([table.sum(axis=0), [errors[:8].sum(), errors[8:16].sum(), errors[16:].sum()]])

    dense, sparse, fast = (cells(kind).astype(float) for kind in (DenseSampler, SparseSampler, StatisticalSampler))
    assert sparse[12:].sum() > 3000
    for other in (dense, fast):
        # Poisson widths are a little wide for counts behind a hold-off; the mean field is within 1.5 % besides.
        z = (other - sparse) / np.sqrt(other + sparse + 1)
        assert np.abs(z).max() < 5 or (other is fast and np.abs(other / sparse - 1)[np.abs(z) > 5].max() < 0.015)
    calm = optics
    frozen = SparseSampler(optics=calm, memory=memory, settings=settings, seed=b"frozen").clicks(0, windows * gates)
    sent = settings.at(frozen.gate)
    undisturbed = int((sent.bit != frozen.bit)[sent.basis == frozen.basis].sum())
    assert abs(undisturbed - sparse[12:].sum()) > 10 * math.sqrt(undisturbed + sparse[12:].sum()), "it can fail"
