"""Constellations: printed points, fifty digits, a cut-off Fock space, and what must hold for every channel."""

import math
import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from tests.keyrate.protocols.precise import fifty_digits, mode_entropy, roots

from qanat.keyrate import cv_gaussian, cv_qpsk, plob
from qanat.keyrate.constellation import (
    SIDES,
    Moments,
    four_phases,
    grid,
    information,
    overlap_and_spread,
    square_grid,
)
from qanat.keyrate.protocols.cv_qpsk import holevo
from qanat.keyrate.search import optimised

AUTHORITY = tomllib.loads((Path(__file__).parents[3] / "authorities" / "continuous_variables.toml").read_text())
IDEAL = {"detection": "heterodyne", "detector_efficiency": 1.0, "v_el": 0.0}


def channels(seed, count=2000):
    draw = np.random.default_rng(seed).uniform
    return {
        "distance_km": draw(0.0, 150.0, count),
        "alpha": draw(0.1, 1.5, count),
        "xi": 10 ** draw(-4, -1.5, count),
        "beta": draw(0.9, 1.0, count),
    }


def fock(alpha, side, cutoff):
    """Both moments in a Fock space that ends at ``cutoff`` photons: the paper's own way."""
    levels, weights = grid(side)
    numbers = np.arange(cutoff + 1)
    factorials = np.sqrt([float(math.factorial(n)) for n in numbers])
    points = (alpha / np.sqrt(2) * (levels[:, None] + 1j * levels)).ravel()
    states = np.exp(-(np.abs(points[:, None]) ** 2) / 2) * points[:, None] ** numbers / factorials
    shares = np.outer(weights, weights).ravel()
    values, vectors = np.linalg.eigh(np.einsum("k,km,kn->mn", shares, states, states.conj()))
    kept = values > 1e-13
    root, inverse = ((vectors[:, kept] * values[kept] ** power) @ vectors[:, kept].conj().T for power in (0.5, -0.5))
    lowers = np.diag(np.sqrt(numbers[1:]), 1)
    overlap = np.trace(root @ lowers @ root @ lowers.T).real
    moved = states @ (root @ lowers @ inverse).T
    means = np.einsum("km,km->k", states.conj(), moved)
    spread = shares @ (np.sum(np.abs(moved) ** 2, axis=1) - np.abs(means) ** 2)
    return overlap, spread


@pytest.mark.parametrize("row", AUTHORITY["qpsk_best"], ids=lambda row: f"xi={row['xi']}")
def test_points_with_the_best_amplitude(row):
    best = optimised(cv_qpsk, distance_km=row["distance_km"], xi=row["xi"])
    assert best.rate_per_pulse == pytest.approx(row["rate"], rel=5e-3)


def test_gaussian_modulation_of_the_same_power_at_printed_points():
    point = AUTHORITY["qpsk_below_gaussian"]
    rate = cv_gaussian(distance_km=point["distance_km"], v_a=point["v_a"], xi=0.001, **IDEAL)
    assert rate.rate_per_pulse == pytest.approx(point["gaussian"], rel=5e-3)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_a_fock_space_of_20_or_30_photons_gives_the_closed_form(alpha):
    exact = four_phases(np.float64(alpha))
    for cutoff in (20, 30):
        overlap, spread = fock(alpha, 2, cutoff)
        assert overlap == pytest.approx(exact.overlap, rel=1e-9)
        assert spread == pytest.approx(exact.spread, rel=1e-9)
    rates = [_rate_of(Moments(*fock(alpha, 2, cutoff)), alpha) for cutoff in (20, 30)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-9)
    assert rates[0] == pytest.approx(_rate_of(exact, alpha), rel=1e-9)


def _rate_of(moments, alpha):
    t, excess = np.float64(0.5), np.float64(5e-4)
    shared = 2 * information(alpha * np.sqrt(2 * t / (2 + excess)), 2)
    return 0.95 * shared - holevo(moments, np.float64(alpha**2), t, excess)[0]


@pytest.mark.parametrize(("side", "alpha", "cutoff"), [(4, 0.5, 40), (4, 1.0, 50), (8, 1.0, 70)])
def test_grids_agree_with_a_large_fock_space(side, alpha, cutoff):
    found = square_grid(np.array([alpha]), side)
    overlap, spread = fock(alpha, side, cutoff)
    assert found.overlap[0] == pytest.approx(overlap, rel=1e-9)
    assert found.spread[0] == pytest.approx(spread, rel=1e-6)


def test_four_phases_are_the_grid_of_side_two():
    alpha = np.linspace(0.05, 2.5, 50)
    closed, general = four_phases(alpha), square_grid(alpha, 2)
    assert general.overlap == pytest.approx(closed.overlap, rel=1e-9)
    assert general.spread == pytest.approx(closed.spread, rel=1e-6)


def test_a_constellation_of_one_state_tells_nothing():
    assert overlap_and_spread(np.array([0.7 + 0j]), np.array([1.0])) == pytest.approx((0.49, 0.0))


@fifty_digits
def precisely(distance_km, alpha, xi, beta):
    """The paper's formula with eigenvalues by their series and I_AB as 1 - E log2(1 + e^(-2 A (A + n)))."""
    alpha, xi, beta = Decimal(alpha), Decimal(xi), Decimal(beta)
    t = Decimal(10) ** (-Decimal(distance_km) * Decimal("0.2") / 10)
    x = alpha**2
    weights = [sum(x ** (k + 4 * m) / math.factorial(k + 4 * m) for m in range(15)) * (-x).exp() for k in range(4)]
    ratios = [weights[k - 1] / weights[k] for k in range(4)]
    mean = sum(weights[k - 1] * ratios[k].sqrt() for k in range(4))
    spread = x * (sum(weights[k - 1] * ratios[k] for k in range(4)) - mean**2)
    z = max(2 * t.sqrt() * x * mean - (2 * t * xi * spread).sqrt(), Decimal(0))
    v, w = 1 + 2 * x, 1 + 2 * t * x + t * xi
    one, two = roots(v**2 + w**2 - 2 * z**2, (v * w - z**2) ** 2)
    chi = mode_entropy(one) + mode_entropy(two) - mode_entropy(v - z**2 / (1 + w))
    amplitude = (2 * t * x / (2 + t * xi)).sqrt()
    step, lost, total = Decimal("0.12"), Decimal(0), Decimal(0)
    for k in range(-85, 86):
        noise = k * step
        weight = (-noise * noise / 2).exp()
        lost += weight * (1 + (-2 * amplitude * (amplitude + noise)).exp()).ln()
        total += weight
    return beta * 2 * (1 - lost / total / Decimal(2).ln()) - chi


def test_fifty_digits():
    given = channels(seed=1, count=12)
    rate = cv_qpsk(**given).terms["signed_rate_per_pulse"]
    for index in range(12):
        one = {name: float(value[index]) for name, value in given.items()}
        assert rate[index] == pytest.approx(precisely(**one), rel=1e-9, abs=1e-13), one


def test_information_of_many_levels_agrees_with_that_of_two_and_nears_its_limits():
    strong = information(np.array([20.0]), 4)
    _, weights = grid(4)
    assert strong == pytest.approx(-np.sum(weights * np.log2(weights)), rel=1e-9)  # all that was sent
    weak = np.array([0.01])
    for side in SIDES.values():  # Shannon's capacity where noise rules
        assert information(weak, side) == pytest.approx(0.5 * np.log2(1 + weak**2), rel=1e-4)
    dense = np.linspace(-30, 30, 60001)
    amplitude = 1.3
    both = sum(np.exp(-((dense - sign * amplitude) ** 2) / 2) for sign in (-1, 1)) / np.sqrt(8 * np.pi)
    seen = -np.trapezoid(np.where(both > 0, both * np.log2(np.where(both > 0, both, 1)), 0), dense)
    expected = seen - 0.5 * np.log2(2 * np.pi * np.e)
    assert information(np.array([amplitude]), 2) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("modulation", ["qpsk", "qam16", "qam64"])
def test_a_constellation_gives_less_than_gaussian_modulation_of_the_same_power(modulation):
    given = channels(seed=2, count=2000 if modulation == "qpsk" else 60)
    discrete = cv_qpsk(modulation=modulation, **given).terms["signed_rate_per_pulse"]
    v_a = 2 * given.pop("alpha") ** 2
    gaussian = cv_gaussian(v_a=v_a, **given, **IDEAL).terms["signed_rate_per_pulse"]
    assert (discrete < gaussian + 1e-12).all()
    assert (gaussian > 0).any()


def test_more_states_give_more_and_64_nearly_all():
    given = {"distance_km": 25.0, "alpha": 0.8, "xi": 0.01}
    rates = [cv_qpsk(modulation=each, **given).terms["signed_rate_per_pulse"] for each in SIDES]
    assert rates == sorted(rates)
    gaussian = cv_gaussian(distance_km=25.0, v_a=1.28, xi=0.01, **IDEAL).rate_per_pulse
    assert 0.9 * gaussian < rates[-1] < gaussian


@pytest.mark.parametrize("name", ["distance_km", "xi"])
def test_more_loss_or_noise_never_gives_more_key(name):
    given = channels(seed=3)
    rate = cv_qpsk(**given).rate_per_pulse
    worse = cv_qpsk(**{**given, name: given[name] + {"distance_km": 1.0, "xi": 1e-3}[name]}).rate_per_pulse
    assert (rate > worse).any()
    assert (worse <= rate + 1e-14).all()


def test_no_rate_above_the_repeaterless_bound():
    given = channels(seed=4) | {"beta": 1.0, "xi": 0.0}
    rate = cv_qpsk(**given).rate_per_pulse
    assert (rate > 0).any()
    assert (rate < plob(distance_km=given["distance_km"]).rate_per_pulse).all()


@pytest.mark.parametrize("protocol", [cv_qpsk, cv_gaussian])
def test_rounding_makes_no_key_on_endless_links(protocol):
    endless = protocol(distance_km=np.linspace(400.0, 3500.0, 5000), xi=1e-3)
    assert (endless.rate_per_pulse == 0).all()


def test_noise_of_the_detector_counts_as_noise_of_the_channel():
    """v_el of each quadrature is 2 v_el / (T eta) at the channel's input."""
    lossy = cv_qpsk(distance_km=10.0, detector_efficiency=0.5, v_el=1e-4, xi=1e-3)
    t = 10**-0.2 * 0.5
    same = cv_qpsk(loss_db=-10 * np.log10(t), xi=1e-3 + 2e-4 / t)
    assert lossy.rate_per_pulse == pytest.approx(same.rate_per_pulse, rel=1e-9)
    assert lossy.rate_per_pulse > 0
