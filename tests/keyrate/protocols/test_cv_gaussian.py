"""Gaussian continuous variables: printed points, fifty digits, and what must hold for every channel."""

import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from tests.keyrate.protocols.precise import fifty_digits, log2, mode_entropy, roots

from qanat.keyrate import cv_gaussian, plob
from qanat.keyrate.gaussian import Line
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.search import optimised

AUTHORITY = tomllib.loads((Path(__file__).parents[3] / "authorities" / "continuous_variables.toml").read_text())
USUAL = AUTHORITY["gaussian_parameters"]
WAYS = [(detection, receiver) for detection in ("homodyne", "heterodyne") for receiver in ("trusted", "untrusted")]


def channels(seed, count=3000):
    """Random channels and devices, also poor ones."""
    draw = np.random.default_rng(seed).uniform
    return {
        "distance_km": draw(0.0, 200.0, count),
        "v_a": 10 ** draw(-1, 2, count),
        "xi": 10 ** draw(-4, -0.5, count),
        "detector_efficiency": draw(0.2, 1.0, count),
        "v_el": 10 ** draw(-3, -0.5, count),
        "beta": draw(0.8, 1.0, count),
    }


def signed(**given):
    return cv_gaussian(**given).terms["signed_rate_per_pulse"]


@pytest.mark.parametrize("row", AUTHORITY["gaussian"], ids=lambda row: "-".join(map(str, row["parameters"].values())))
def test_asymptotic_points(row):
    rate = cv_gaussian(distance_km=row["distance_km"], **USUAL, **row["parameters"])
    assert rate.rate_per_pulse == pytest.approx(row["rate"], rel=1e-6)


def test_finite_points():
    point = AUTHORITY["gaussian_finite"]
    rate = cv_gaussian(**USUAL, receiver="trusted", **{name: point[name] for name in point if name != "rate"})
    assert rate.rate_per_pulse == pytest.approx(point["rate"], rel=1e-6)


@pytest.mark.parametrize("row", AUTHORITY["gaussian_finite_best"], ids=lambda row: f"{row['n_sent']:.0e}")
def test_finite_points_with_the_best_modulation(row):
    held = AUTHORITY["gaussian_finite_best_parameters"]
    best = optimised(
        cv_gaussian, over=["v_a"], n_sent=row["n_sent"], distance_km=row["distance_km"], p_estimate=0.5, **held
    )
    assert best.rate_per_pulse == pytest.approx(row["rate"], rel=5e-3)


@fifty_digits
def precisely(detection, receiver, **given):
    """Fossier et al. 2009 as printed, which cancels badly, in fifty digits."""
    v_a, xi, eta, v_el, beta = (Decimal(given[name]) for name in ("v_a", "xi", "detector_efficiency", "v_el", "beta"))
    t = Decimal(10) ** (-Decimal(given["distance_km"]) * Decimal("0.2") / 10)
    both = detection == "heterodyne"
    if receiver == "untrusted":
        t, xi, eta, v_el = t * eta, xi + (1 + both) * v_el / (t * eta), Decimal(1), Decimal(0)
    v, line = v_a + 1, 1 / t - 1 + xi
    noise = (1 + (1 - eta) + 2 * v_el if both else (1 - eta) + v_el) / eta
    total = line + noise / t
    information = (1 + both) * log2((v + total) / (1 + total)) / 2
    a = v**2 * (1 - 2 * t) + 2 * t + t**2 * (v + line) ** 2
    root = t * (v * line + 1)
    seen = t * (v + total)
    if both:
        c = a * noise**2 + root**2 + 1 + 2 * noise * (v * root + t * (v + line)) + 2 * t * (v**2 - 1)
        c, d = c / seen**2, ((v + root * noise) / seen) ** 2
    else:
        c = (v * root + t * (v + line) + a * noise) / seen
        d = root * (v + root * noise) / seen
    one, two, three, four = (mode_entropy(each) for each in (*roots(a, root**2), *roots(c, d)))
    return beta * information - (one + two - three - four)


@pytest.mark.parametrize(("detection", "receiver"), WAYS)
def test_fifty_digits(detection, receiver):
    given = channels(seed=1, count=60)
    rate = signed(detection=detection, receiver=receiver, **given)
    for index in range(60):
        one = {name: float(value[index]) for name, value in given.items()}
        assert rate[index] == pytest.approx(precisely(detection, receiver, **one), rel=1e-9, abs=1e-13), one


@pytest.mark.parametrize(("detection", "receiver"), WAYS)
def test_no_rate_above_the_repeaterless_bound(detection, receiver):
    given = channels(seed=2)
    rate = signed(detection=detection, receiver=receiver, **{**given, "beta": 1.0, "xi": 0.0})
    assert (rate > 0).any()
    assert (rate < plob(distance_km=given["distance_km"]).rate_per_pulse).all()


@pytest.mark.parametrize(("detection", "receiver"), WAYS)
@pytest.mark.parametrize(("name", "more"), [("distance_km", 1.0), ("xi", 1e-3)])
def test_more_loss_or_noise_never_gives_more_key(detection, receiver, name, more):
    given = channels(seed=3) | {"detection": detection, "receiver": receiver}
    rate = cv_gaussian(**given).rate_per_pulse
    worse = cv_gaussian(**{**given, name: given[name] + more}).rate_per_pulse
    assert (rate > worse).any()
    assert (worse <= rate + 1e-14).all(), int(np.argmax(worse - rate))


@pytest.mark.parametrize("detection", ["homodyne", "heterodyne"])
def test_electronic_noise_costs_key_unless_it_is_trusted_on_a_noisy_channel(detection):
    """Trusted noise hides more from Eve than from Alice where she holds much noise: Garcia-Patron, Cerf 2009."""
    given = channels(seed=7) | {"detection": detection}
    noisier = given | {"v_el": given["v_el"] + 1e-2}
    for receiver, may_help in (("untrusted", False), ("trusted", True)):
        gained = signed(receiver=receiver, **noisier) - signed(receiver=receiver, **given)
        assert (gained > 1e-14).any() == may_help
    quiet = {"xi": 1e-3, "beta": 0.95, "receiver": "trusted"}
    assert (
        cv_gaussian(**{**noisier, **quiet}).rate_per_pulse <= cv_gaussian(**{**given, **quiet}).rate_per_pulse
    ).all()


@pytest.mark.parametrize("detection", ["homodyne", "heterodyne"])
def test_trust_in_the_receiver_never_costs_key(detection):
    given = channels(seed=4) | {"detection": detection}
    trusted, untrusted = (cv_gaussian(receiver=each, **given).rate_per_pulse for each in ("trusted", "untrusted"))
    assert (trusted > untrusted).any()
    assert (untrusted <= trusted + 1e-14).all()


@pytest.mark.parametrize("detection", ["homodyne", "heterodyne"])
@pytest.mark.parametrize("estimate", ["published", "worst"])
def test_finite_blocks_give_less_and_larger_ones_more(detection, estimate):
    given = channels(seed=5) | {"detection": detection, "receiver": "trusted"}
    n_sent = np.logspace(5, 18, 27)[:, None]
    finite = cv_gaussian(n_sent=n_sent, estimate=estimate, p_estimate=0.1, **given).rate_per_pulse
    assert (finite <= cv_gaussian(**given).rate_per_pulse).all()
    assert (np.diff(finite, axis=0) >= -1e-14).all()
    assert (finite[-1] > 0).sum() > 100


@pytest.mark.parametrize(("detection", "receiver"), WAYS)
def test_huge_blocks_come_within_a_percent_of_the_asymptotic_rate(detection, receiver):
    held = {**USUAL, "v_el": 0.01, "xi": 0.002, "detection": detection, "receiver": receiver}
    lengths = np.array([0.0, 10.0, 25.0])
    best = optimised(cv_gaussian, over=["p_estimate"], distance_km=lengths, n_sent=1e18, **held)
    assert best.rate_per_pulse == pytest.approx(cv_gaussian(distance_km=lengths, **held).rate_per_pulse, rel=0.01)


def test_the_worst_estimate_is_never_better_than_the_published_one_and_worse_on_long_links():
    given = {**USUAL, "v_el": 0.01, "receiver": "trusted", "n_sent": 1e9, "distance_km": [1.0, 5.0, 40.0, 60.0]}
    published, worst = (signed(estimate=each, **given) for each in ("published", "worst"))
    assert published[0] == worst[0]  # the least transmittance is the worst there
    assert (worst[2:] < published[2:]).all()


def test_the_default_is_the_worst_estimate_and_the_published_one_says_that_it_is_too_high():
    given = {**USUAL, "receiver": "trusted", "n_sent": 1e8, "distance_km": 25.0}
    asked, default = cv_gaussian(estimate="worst", **given), cv_gaussian(**given)
    published = cv_gaussian(estimate="published", **given)
    assert default.rate_per_pulse == asked.rate_per_pulse
    assert 0.98 * published.rate_per_pulse < default.rate_per_pulse < 0.995 * published.rate_per_pulse
    assert any("too high" in each for each in published.assumptions)
    assert not any("least transmittance" in each for each in default.assumptions)


@pytest.mark.parametrize(("detection", "quadratures"), [("homodyne", 1), ("heterodyne", 2)])
def test_the_worst_estimate_is_the_worst_of_a_dense_search(detection, quadratures):
    given = channels(seed=8, count=3000)
    n_sent = 10 ** np.random.default_rng(8).uniform(6, 12, 3000)
    rate = cv_gaussian(detection=detection, receiver="trusted", n_sent=n_sent, estimate="worst", **given)
    terms, eta = rate.terms, given["detector_efficiency"]
    noise = (quadratures - eta + quadratures * given["v_el"]) / eta
    least, best = np.sqrt(terms["transmittance_least"]), np.sqrt(terms["transmittance"])
    within = least + np.linspace(0, 2, 101)[:, None] * (best - least)
    lines = Line(given["v_a"], np.minimum(within**2, 1.0), terms["excess_noise_most"])
    missed = lines.holevo(noise, quadratures)[0].max(axis=0) - terms["holevo_worst"]
    has_key = rate.rate_per_pulse > 0
    assert has_key.sum() > 100
    assert missed[has_key].max() < 1e-6


def test_epsilon_is_spent_to_the_last_bit():
    for total in np.random.default_rng(6).uniform(0, 1, 200):
        rate = cv_gaussian(n_sent=1e9, epsilon_sec=total)
        assert sum(float(part) for part in rate.epsilon.values()) == total
    assert not cv_gaussian().epsilon


def test_an_estimate_from_a_handful_of_pulses_gives_no_key_and_no_nan():
    rate = cv_gaussian(n_sent=[1.0, 1e-300, 10.0], distance_km=[0.0, 3000.0, 10.0], receiver="trusted")
    assert rate.rate_per_pulse.tolist() == [0.0, 0.0, 0.0]
    assert np.isfinite(rate.terms["signed_rate_per_pulse"]).all()


@pytest.mark.parametrize("wrong", [{"v_a": 0.0}, {"xi": -1e-3}, {"beta": 1.01}, {"receiver": "calibrated"}])
def test_impossible_parameters_are_named(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        cv_gaussian(**wrong)


def test_who_holds_the_receiver_is_said_with_the_rate():
    assert any("out of Eve's reach" in line for line in cv_gaussian(receiver="trusted").assumptions)
    assert any("are Eve's" in line for line in cv_gaussian().assumptions)
