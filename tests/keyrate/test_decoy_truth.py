"""The bounds against the truth: random channels in which every photon number is known.

A channel gives each photon number its own yield and error rate, which is all that Eve can do to a
phase-randomised source. Intensity labels are drawn after detection from p(k | n) = p_k e^-mu_k mu_k^n /
(n! tau_n) (reference page on photons, 6.5): that is the proof's own picture, not ours of the link.
"""

import math

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.keyrate import decoy_finite
from qanat.keyrate.decoy import (
    DecoySettings,
    single_photon_bound,
    single_photon_errors_bound,
    vacuum_bound,
)
from qanat.keyrate.deviations import limits_named

PHOTONS = np.arange(25)
SHARE_LIVE = 1e-10 / 21


def random_settings(rng):
    mu1 = rng.uniform(0.2, 0.9)
    mu2 = mu1 * rng.uniform(0.1, 0.7)
    mu3 = rng.choice([0.0, 2e-4, mu2 * rng.uniform(0, 0.3)])
    mu3 = min(mu3, 0.9 * (mu1 - mu2))
    p = rng.dirichlet([4, 3, 2]) * 0.94 + 0.02
    return DecoySettings(intensities=(mu1, mu2, float(mu3)), p_intensities=tuple(float(x) for x in p))


def random_yields(rng):
    """Loss and dark counts mostly; otherwise photon-number splitting, or anything at all."""
    kind = rng.integers(3)
    if kind == 0:
        return 1 - (1 - 10 ** rng.uniform(-7, -3)) * (1 - 10 ** rng.uniform(-4, -0.5)) ** PHOTONS
    if kind == 1:
        return np.where(rng.integers(1, 3) < PHOTONS, 10 ** rng.uniform(-3, 0), 10 ** rng.uniform(-6, -3))
    return 10 ** rng.uniform(-5, 0, len(PHOTONS))


def p_label(settings):
    """p(k | n), shape (photon numbers, 3)."""
    mu = np.array(settings.intensities)
    weight = np.array(settings.p_intensities) * np.exp(-mu) * mu ** PHOTONS[:, None]
    return weight / weight.sum(axis=1, keepdims=True)


def random_truth(rng, settings):
    """Detections and errors per photon number, of one basis."""
    tau = np.array([settings.tau(int(n)) for n in PHOTONS])
    law = tau * random_yields(rng)
    detections = rng.multinomial(int(10 ** rng.uniform(3, 7)), law / law.sum())
    return detections, rng.binomial(detections, rng.uniform(0, 0.5, len(PHOTONS)))


def labelled(rng, settings, per_photon_number):
    drawn = rng.multinomial(per_photon_number, p_label(settings)).sum(axis=0)
    return tuple(float(count) for count in drawn)


def violations(seed, rounds, share):
    """How often each bound was on the wrong side of the truth."""
    counted = np.zeros(3, dtype=int)
    for number in range(rounds):
        rng = Streams(seed=seed).get(f"channel/{number}")
        settings = random_settings(rng)
        detections, errors = random_truth(rng, settings)
        n = labelled(rng, settings, detections)
        m = labelled(rng, settings, errors)
        counted += (
            vacuum_bound(settings, n, share) > detections[0],
            single_photon_bound(settings, n, share) > detections[1],
            single_photon_errors_bound(settings, m, share) < errors[1],
        )
    return counted


def test_no_bound_is_on_the_wrong_side_in_three_thousand_random_channels():
    # At 5e-12 per deviation a correct bound fails here with probability below 3000 * 12 * 5e-12 = 2e-7.
    assert violations(seed=41, rounds=3_000, share=SHARE_LIVE).tolist() == [0, 0, 0]


def test_loose_failure_probabilities_are_kept_too():
    # Each bound uses 4 deviations at most: a union of 4 * 0.01. Over 1500 channels 60 failures are
    # expected at worst, 95 with probability 1e-5.
    assert violations(seed=42, rounds=1_500, share=0.01).max() < 95


def test_the_search_would_see_a_wrong_bound():
    # Deviations of nearly nothing: the bounds must then fail often, or the search above shows nothing.
    counted = violations(seed=43, rounds=300, share=0.999_999)
    assert counted.min() > 5, counted


def test_without_fluctuations_the_bounds_close_in_on_the_truth():
    settings = DecoySettings(intensities=(0.5, 0.02, 1e-5), p_intensities=(0.5, 0.3, 0.2))
    yields = 1 - (1 - 1e-4) * (1 - 1e-2) ** PHOTONS
    tau = np.array([settings.tau(int(n)) for n in PHOTONS])
    truth = 1e9 * tau * yields
    n = tuple((truth[:, None] * p_label(settings)).sum(axis=0).tolist())
    m = tuple((0.1 * truth[:, None] * p_label(settings)).sum(axis=0).tolist())
    share = 1 - 1e-15
    assert vacuum_bound(settings, n, share) == pytest.approx(truth[0], rel=1e-2)
    assert vacuum_bound(settings, n, share) <= truth[0]
    assert single_photon_bound(settings, n, share) == pytest.approx(truth[1], rel=1e-2)
    assert single_photon_bound(settings, n, share) <= truth[1]
    assert single_photon_errors_bound(settings, m, share) == pytest.approx(0.1 * truth[1], rel=3e-2)
    assert single_photon_errors_bound(settings, m, share) >= 0.1 * truth[1]


def test_tau_is_the_photon_number_law():
    settings = DecoySettings(intensities=(0.5, 0.1, 0.0), p_intensities=(0.5, 0.3, 0.2))
    assert math.fsum(settings.tau(n) for n in range(40)) == pytest.approx(1, abs=1e-14)
    mean = math.fsum(n * settings.tau(n) for n in range(40))
    assert mean == pytest.approx(0.5 * 0.5 + 0.3 * 0.1, abs=1e-14)


def many_settings(rng, count, *, is_one):
    """Intensities and probabilities, brightest first, of many random transmitters."""
    mu = rng.uniform(0.2, 0.9, count)
    nu = mu * rng.uniform(0.05, 0.7, count)
    p_mu = rng.uniform(0.1, 0.9, count)
    if is_one:
        return decoy_finite.Light(intensities=(mu, nu), p_intensities=(p_mu, 1 - p_mu))
    omega = np.minimum(rng.choice([0.0, 2e-4, 0.02], count), 0.5 * np.minimum(nu, mu - nu))
    p_nu = (1 - p_mu) * rng.uniform(0.1, 0.9, count)
    return decoy_finite.Light(intensities=(mu, nu, omega), p_intensities=(p_mu, p_nu, 1 - p_mu - p_nu))


def many_yields(rng, count):
    """Each photon number's yield: a lossy link; photon-number splitting of several strengths; Eve's own light, which
    makes empty pulses click as often as any; and anything at all."""
    lossy = 1 - (1 - 10 ** rng.uniform(-7, -3, (count, 1))) * (1 - 10 ** rng.uniform(-4, -0.5, (count, 1))) ** PHOTONS
    passed = rng.integers(1, 4, (count, 1)) <= PHOTONS
    split = np.where(passed, 10 ** rng.uniform(-3, 0, (count, 1)), 10 ** rng.uniform(-7, -3, (count, 1)))
    injected = np.maximum(lossy, 10 ** rng.uniform(-4, 0, (count, 1)))
    anything = 10 ** rng.uniform(-5, 0, (count, len(PHOTONS)))
    kinds = np.stack([lossy, split, injected, anything])
    return kinds[rng.integers(len(kinds), size=count), np.arange(count)]


def many_truths(rng, light, count):
    """Detections and errors per photon number of one basis, and their counts per intensity.

    Empty pulses carry no bit, so half of what they make are errors, whatever Eve does.
    """
    mu, p = (np.stack(each, axis=-1)[:, None, :] for each in (light.intensities, light.p_intensities))
    weight = p * np.exp(-mu) * mu ** PHOTONS[:, None] / np.array([float(math.factorial(n)) for n in PHOTONS])[:, None]
    tau = weight.sum(axis=-1)
    law = tau * many_yields(rng, count)
    detections = rng.multinomial((10 ** rng.uniform(3, 9, count)).astype(int), law / law.sum(axis=1, keepdims=True))
    wrong = rng.uniform(0, 0.5, (count, len(PHOTONS))) * rng.choice([1.0, 0.1], (count, 1))
    wrong[:, 0] = 0.5
    errors = rng.binomial(detections, wrong)
    label = weight / tau[..., None]
    right = rng.multinomial(detections - errors, label).sum(axis=1)
    m = rng.multinomial(errors, label).sum(axis=1)
    columns = [tuple(column.astype(float) for column in each.T) for each in (right + m, m)]
    return detections, errors, *columns


def study_violations(seed, decoys, deviations, epsilon_sec, count):
    """How often each bound of the studies was on the wrong side: empty, single, single in the test, their errors."""
    rng = Streams(seed=seed).get(f"{decoys}/{deviations}")
    light = many_settings(rng, count, is_one=decoys == "one")
    key_truth, _, n_key, m_key = many_truths(rng, light, count)
    test_truth, wrong_truth, n_test, m_test = many_truths(rng, light, count)
    seen = decoy_finite.Seen(n_key=n_key, m_key=m_key, n_test=n_test, m_test=m_test)
    prove = decoy_finite.one_decoy if decoys == "one" else decoy_finite.two_decoys
    with np.errstate(all="ignore"):
        found = prove(light, seen, limits_named(deviations), np.float64(epsilon_sec))
    assert ((found.single > 0) & (found.phase < 0.5)).sum() > count / 50  # the search sees blocks with key
    return np.array([
        (found.vacuum > key_truth[:, 0] + 1e-6).sum(),
        (found.single > key_truth[:, 1] + 1e-6).sum(),
        (found.single_test > test_truth[:, 1] + 1e-6).sum(),
        (found.errors_test < wrong_truth[:, 1] - 1e-6).sum(),
    ])  # fmt: skip


VARIANTS = [(decoys, deviations) for decoys in ("two", "one") for deviations in ("hoeffding", "chernoff")]


@pytest.mark.parametrize(("decoys", "deviations"), VARIANTS)
def test_no_study_bound_is_on_the_wrong_side_in_ten_thousand_random_and_hostile_channels(decoys, deviations):
    # 1e4 channels, 12 deviations of 5e-12 each: a correct bound fails here with probability below 1e-6.
    assert study_violations(61, decoys, deviations, 1e-10, 10_000).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("decoys", "deviations"), VARIANTS)
def test_study_bounds_keep_loose_failure_probabilities_too(decoys, deviations):
    # Each bound rests on 5 deviations at most. With a share of 0.01 each, 500 failures are expected at worst in 1e4.
    assert study_violations(62, decoys, deviations, 0.2, 10_000).max() < 500


@pytest.mark.parametrize("decoys", ["two", "one"])
def test_the_search_of_the_studies_would_see_a_wrong_bound(decoys):
    shares = 19 if decoys == "one" else 21
    counted = study_violations(63, decoys, "hoeffding", shares * 0.999_999, 3000)
    assert counted[[1, 3]].min() > 5, counted
