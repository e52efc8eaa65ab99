"""High dimensions, distributed phase reference and device independence: printed points, limits, an attack rebuilt."""

import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from tests.keyrate.protocols.precise import entropy, fifty_digits, log2

from qanat.keyrate import bb84, cow, di, dps, hd_bb84, plob, six_state
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.protocols.cow import p_identified, split_information, zero_error_gain

AUTHORITY = tomllib.loads((Path(__file__).parents[3] / "authorities" / "qudits_dps_di.toml").read_text())
IDEAL = {"detector_efficiency": 1.0, "p_dark": 0.0, "f_ec": 1.0}
ROWS = [
    (row["bases"], dimension, threshold)
    for row in AUTHORITY["high_dimensional"]
    for dimension, threshold in zip(row["dimension"], row["threshold"], strict=True)
]


def links(seed, count=3000):
    draw = np.random.default_rng(seed).uniform
    return {
        "distance_km": draw(0.0, 250.0, count),
        "detector_efficiency": draw(0.05, 1.0, count),
        "p_dark": 10 ** draw(-9, -4, count),
        "misalignment": draw(0.0, 0.2, count),
    }


@pytest.mark.parametrize(("bases", "dimension", "threshold"), ROWS)
def test_no_key_from_the_threshold_on(bases, dimension, threshold):
    ends = [hd_bb84(dimension=dimension, bases=bases, misalignment=threshold + by, **IDEAL) for by in (-1e-5, 1e-5)]
    assert [rate.rate_per_pulse > 0 for rate in ends] == [True, False]
    beyond = np.linspace(threshold + 1e-5, 0.5, 500)
    assert (hd_bb84(dimension=dimension, bases=bases, misalignment=beyond, **IDEAL).rate_per_pulse == 0).all()


def test_high_dimensional_points():
    point = AUTHORITY["high_dimensional_rate"]
    rate = hd_bb84(dimension=point["dimension"], misalignment=0.05, **IDEAL)
    assert rate.rate_per_pulse == pytest.approx(point["rate"], abs=5e-6)


@pytest.mark.parametrize(("bases", "qubits"), [("two", bb84), ("all", six_state)])
def test_two_dimensions_are_bb84_and_the_six_state_protocol(bases, qubits):
    given = links(seed=1) | {"f_ec": 1.1, "p_noise": 1e-6}
    same = hd_bb84(dimension=2, bases=bases, **given)
    rate = qubits(**given).terms["signed_rate_per_pulse"]
    assert same.terms["signed_rate_per_pulse"] == pytest.approx(rate, rel=1e-9, abs=1e-15)


@fifty_digits
def qudits_precisely(dimension, bases, qber):
    d, q = Decimal(dimension), Decimal(qber)
    errors = entropy(q) + q * log2(d - 1)
    if bases == "two":
        return log2(d) - 2 * errors
    kept, part = 1 - (d + 1) * q / d, q / (d * (d - 1))
    return log2(d) + kept * log2(kept) + (d * d - 1) * part * log2(part)


@pytest.mark.parametrize("bases", ["two", "all"])
def test_qudits_in_fifty_digits(bases):
    draw = np.random.default_rng(2)
    for dimension in (2, 3, 4, 5, 7, 8, 9, 16, 1024):
        qber = draw.uniform(1e-6, 0.4)
        rate = hd_bb84(dimension=dimension, bases=bases, misalignment=qber, **IDEAL).terms["signed_rate_per_pulse"]
        assert rate == pytest.approx(qudits_precisely(dimension, bases, qber), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("bases", ["two", "all"])
def test_a_photon_in_d_modes_stays_below_d_times_the_repeaterless_bound(bases):
    given = links(seed=3) | {"dimension": np.random.default_rng(3).choice([2, 4, 8, 32, 128], 3000), "f_ec": 1.0}
    bound = given["dimension"] * plob(distance_km=given["distance_km"]).rate_per_pulse
    assert (hd_bb84(bases=bases, **given).rate_per_pulse < bound).all()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"dimension": 2.5}, "whole number"),
        ({"dimension": 6, "bases": "all"}, "power of a prime"),
        ({"dimension": 1}, "dimension"),
    ],
)
def test_impossible_dimensions_are_refused(wrong, why):
    with pytest.raises(ParameterError, match=why):
        hd_bb84(**wrong)
    assert hd_bb84(dimension=6).rate_per_pulse > 0


@pytest.mark.parametrize("protocol", [hd_bb84, dps])
@pytest.mark.parametrize("name", ["distance_km", "p_dark", "misalignment"])
def test_more_loss_or_noise_never_gives_more_key(protocol, name):
    given = links(seed=4)
    rate = protocol(**given).rate_per_pulse
    worse = protocol(**{**given, name: given[name] + {"distance_km": 1, "p_dark": 1e-6, "misalignment": 1e-2}[name]})
    assert (rate > worse.rate_per_pulse).any()
    assert (worse.rate_per_pulse <= rate + 1e-15).all()


def test_differential_phase_shift_points():
    point = AUTHORITY["dps"]
    rate = dps(distance_km=point["distance_km"], **point["parameters"])
    assert rate.rate_per_pulse == pytest.approx(point["rate"], rel=1e-6)


@fifty_digits
def dps_precisely(mu, qber, f_ec, eta):
    mu, e, light = Decimal(mu), Decimal(qber), 1 - (-Decimal(mu) * Decimal(eta)).exp()
    kept = -(1 - 2 * mu) * log2(1 - e**2 - (1 - 6 * e) ** 2 / 2)
    return light * (kept - Decimal(f_ec) * entropy(e))


def test_differential_phase_shift_in_fifty_digits():
    draw = np.random.default_rng(5).uniform
    for _ in range(100):
        given = {"mu": draw(0.01, 0.49), "f_ec": draw(1.0, 1.5)}
        qber, eta = draw(1e-4, 0.15), draw(1e-3, 1.0)
        rate = dps(misalignment=qber, detector_efficiency=eta, p_dark=0.0, **given).terms["signed_rate_per_pulse"]
        assert rate == pytest.approx(dps_precisely(qber=qber, eta=eta, **given), rel=1e-9, abs=1e-15)


def test_differential_phase_shift_says_what_is_not_proven():
    assert any("individual attacks only" in line for line in dps().assumptions)
    assert (dps(misalignment=np.linspace(0.06, 0.5, 200), mu=0.01, f_ec=1.0).rate_per_pulse == 0).all()
    given = links(seed=6) | {"mu": 0.1, "p_dark": 0.0}
    assert (dps(**given).rate_per_pulse < plob(distance_km=given["distance_km"]).rate_per_pulse).all()


def test_coherent_one_way_never_gives_a_rate_and_says_why():
    rate = cow(**links(seed=7))
    assert (rate.rate_per_pulse == 0).all()
    assert rate.rate_per_pulse.shape == (3000,)
    assert any("no secure rate is proven" in line for line in rate.assumptions)
    assert (rate.terms["upper_bound_per_signal"] <= rate.terms["upper_bound_beam_splitting_per_signal"]).all()


def test_the_bound_of_coherent_one_way_falls_with_the_square_of_transmittance():
    """At the best intensity: ten times the loss leaves at most a hundredth."""
    losses, mu = np.arange(10.0, 50.0, 10.0), np.logspace(-7, 0, 4000)
    rate = cow(loss_db=losses[:, None], mu=mu, p_dark=0.0, misalignment=0.0)
    best = rate.terms["upper_bound_per_signal"].max(axis=1)
    assert (best > 0).all()
    assert best[:-1] / best[1:] == pytest.approx(100.0, rel=0.25)


@pytest.mark.parametrize("mu", [0.01, 0.5, 3.0])
def test_signals_cannot_be_told_apart_more_often(mu):
    """A measurement that never errs succeeds with p iff (overlaps - p) has no negative eigenvalue."""
    dark, lit = np.array([1.0, 0.0]), np.array([np.exp(-mu / 2), np.sqrt(1 - np.exp(-mu))])
    states = [np.kron(lit, dark), np.kron(dark, lit), np.kron(lit, lit)]
    overlaps = np.array([[a @ b for b in states] for a in states])
    assert np.linalg.eigvalsh(overlaps)[0] == pytest.approx(p_identified(np.float64(mu)), rel=1e-9)


@pytest.mark.parametrize(("mu", "p_decoy"), [(2.0, 0.1), (4.0, 0.5)])
def test_the_attack_delivers_as_many_bits_as_stated(mu, p_decoy):
    """Played out slot by slot; false alarm 1 in 1e6 (4.9 standard deviations of 4e5 signals, correlated in pairs)."""
    draw, count = np.random.default_rng(8), 400_000
    kind = draw.choice(3, count, p=[(1 - p_decoy) / 2, (1 - p_decoy) / 2, p_decoy])  # (lit, dark), (dark, lit), both
    known = draw.random(count) < p_identified(np.float64(mu))
    lit = np.stack([kind != 1, kind != 0], axis=1).ravel()
    seen = np.repeat(known, 2)
    dark_before, dark_after = _reaches_dark(lit, seen), _reaches_dark(lit[::-1], seen[::-1])[::-1]
    resent = seen & lit & dark_before & dark_after
    delivered = resent.reshape(-1, 2).any(axis=1) & (kind != 2)
    share = delivered.sum() / (kind != 2).sum()
    expected = zero_error_gain(np.float64(mu), np.float64(p_decoy))
    assert share == pytest.approx(expected, abs=4.9 * np.sqrt(3 * expected / count))


def _reaches_dark(lit, seen):
    """For each slot: going back through known slots, one known as dark comes before any unknown one."""
    slots = np.arange(len(lit))
    last_dark = np.maximum.accumulate(np.where(seen & ~lit, slots, -1))
    last_unknown = np.maximum.accumulate(np.where(~seen, slots, -1))
    return last_dark > last_unknown


def test_beam_splitting_information_agrees_with_density_matrices():
    draw = np.random.default_rng(9).uniform
    for _ in range(100):
        overlap, qber = draw(0, 1), draw(0, 0.5)
        states = [np.array([np.sqrt((1 + overlap) / 2), sign * np.sqrt((1 - overlap) / 2)]) for sign in (1, -1)]
        pure = [np.outer(state, state) for state in states]
        mixed = [(1 - qber) * pure[b] + qber * pure[1 - b] for b in (0, 1)]
        known = _von_neumann((mixed[0] + mixed[1]) / 2) - (_von_neumann(mixed[0]) + _von_neumann(mixed[1])) / 2
        expected = 1 - float(entropy(Decimal(qber))) - known  # I(B;AE) - I(B;E)
        assert split_information(np.float64(overlap), np.float64(qber)) == pytest.approx(expected, abs=1e-12)


def _von_neumann(state):
    values = np.clip(np.linalg.eigvalsh(state), 1e-300, 1)
    return -np.sum(values * np.log2(values))


def test_device_independent_points_and_threshold():
    point = AUTHORITY["di"]
    rate = di(chsh=point["chsh"], qber=point["qber"])
    assert rate.rate_per_pulse == pytest.approx(point["rate"], abs=5e-6)
    for by, has_key in ((-1e-5, True), (1e-5, False)):
        qber = point["threshold"] + by
        assert (di(qber=qber, chsh=2 * np.sqrt(2) * (1 - 2 * qber)).rate_per_pulse > 0) == has_key


@fifty_digits
def di_precisely(chsh, qber):
    beyond = ((Decimal(chsh) / 2) ** 2 - 1).sqrt()
    return 1 - entropy(Decimal(qber)) - entropy((1 + beyond) / 2)


def test_device_independence_in_fifty_digits():
    draw = np.random.default_rng(10).uniform
    for _ in range(100):
        chsh, qber = draw(2.0, 2.828), draw(1e-4, 0.2)
        rate = di(chsh=chsh, qber=qber).terms["signed_rate_per_pulse"]
        assert rate == pytest.approx(di_precisely(chsh, qber), rel=1e-9, abs=1e-14)


def test_every_lost_photon_counts_in_a_device_independent_key():
    """S and Q against the outcomes counted out: a lost photon answers +1."""
    eta, visibility = 0.95, 0.98
    correlations = np.array([1, 1, 1, -1]) * visibility / np.sqrt(2)
    outcomes = [eta**2 * value + (1 - eta) ** 2 for value in correlations]  # one lost: marginals of pairs are even
    rate = di(visibility=visibility, detector_efficiency=eta)
    assert rate.terms["chsh"] == pytest.approx(sum(outcomes[:3]) - outcomes[3], rel=1e-12)
    assert rate.qber == pytest.approx((1 - eta**2 * visibility - (1 - eta) ** 2) / 2, rel=1e-12)
    shares = di(visibility=1.0, detector_efficiency=[0.92, 0.9235, 1.0], distance_km=0.0).rate_per_pulse
    assert [share > 0 for share in shares] == [False, True, True]
    assert di(visibility=1.0, detector_efficiency=1.0, distance_km=5.0).rate_per_pulse == 0  # 0.5 dB to each end


def test_observations_come_together():
    with pytest.raises(ParameterError, match="together"):
        di(chsh=2.7)
    with pytest.raises(ParameterError, match="chsh"):
        di(chsh=3.0, qber=0.01)
