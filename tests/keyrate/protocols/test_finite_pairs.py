"""Finite single-photon BB84, BBM92 and E91 against printed values, the live path and each other."""

import math
import tomllib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.keyrate import bb84, bbm92, e91
from qanat.keyrate.pair_finite import Pairs, key
from qanat.keyrate.parameter import ParameterError, checked_values
from qanat.keyrate.protocol import Values
from qanat.keyrate.search import optimised
from qanat.keyrate.tomamichel2012 import pair_secret_length

AUTHORITY = tomllib.loads((Path(__file__).parents[3] / "authorities" / "finite_pairs.toml").read_text())
TOMAMICHEL = AUTHORITY["tomamichel"]
IDEAL = {"detector_efficiency": 1.0, "p_dark": 0.0}
MFL = AUTHORITY["ma_fung_lo"]


@pytest.mark.parametrize(("n", "k", "qber", "length"), TOMAMICHEL["lengths"])
def test_lengths_of_given_samples(n, k, qber, length):
    share = math.sqrt(n / k)  # p / (1 - p)
    rate = bb84(n_x=n, p_basis=share / (1 + share), misalignment=qber, **IDEAL, **TOMAMICHEL["parameters"])
    assert float(rate.terms["n_test"]) == pytest.approx(k, rel=1e-9)
    assert float(rate.terms["signed_length_bits"]) == pytest.approx(length, rel=1e-6)


@pytest.mark.parametrize(("n", "qber", "per_bit", "p_basis"), TOMAMICHEL["best"])
def test_the_best_share_of_the_key_basis(n, qber, per_bit, p_basis):
    best = optimised(bb84, n_sent=n, misalignment=qber, **IDEAL, **TOMAMICHEL["parameters"])
    assert float(best.rate_per_pulse) == pytest.approx(per_bit, rel=5e-3)
    assert float(best.params["p_basis"]) == pytest.approx(p_basis, abs=2e-3)


def test_pairs_from_the_middle_give_the_recomputed_rates():
    rate = bbm92(distance_km=MFL["distance_km"], mean_pairs=0.1, **MFL["parameters"])
    assert rate.rate_per_pulse == pytest.approx(MFL["rate"], rel=1e-6)
    assert rate.qber[0] == pytest.approx(MFL["qber_at_0_km"], abs=1e-5)
    best = optimised(bbm92, distance_km=MFL["distance_km"], **MFL["parameters"])
    assert best.rate_per_pulse == pytest.approx(MFL["best_rate"], rel=5e-3)
    assert best.params["mean_pairs"] / 2 == pytest.approx(MFL["best_lambda"], abs=1e-3)


@pytest.mark.parametrize("loss_db", [0, 40, 100])
def test_gain_and_errors_agree_with_exact_fractions(loss_db):
    """The printed formula cancels where little arrives; ours must not: 1e-9 of the exact value at 50 dB per side."""
    given = {"loss_db": loss_db, "mean_pairs": 0.1, "detector_efficiency": 0.145, "dark_counts": "per_pulse"}
    found = bbm92(p_dark=6e-6, misalignment=0.01, **given)
    eta = Fraction(0.145 * 10 ** (-loss_db / 20))
    lam, y = Fraction(0.1) / 2, 1 - Fraction(6e-6)
    both = 1 + 2 * eta * lam - eta**2 * lam
    gain = 1 - 2 * y / (1 + eta * lam) ** 2 + (y / both) ** 2
    agree = (1 - 2 * Fraction(0.01)) * eta**2 * lam * (1 + lam) / ((1 + eta * lam) ** 2 * both)
    assert float(found.terms["gain"]) == pytest.approx(float(gain), rel=1e-9)
    assert float(found.qber) == pytest.approx(float(Fraction(1, 2) - agree / gain), rel=1e-9)


def test_a_source_anywhere_on_the_line_gives_the_same_coincidences_without_darks():
    rates = [
        float(bbm92(distance_km=80, p_dark=0.0, mean_pairs=0.01, source_share=share).rate_per_pulse)
        for share in (0.0, 0.5, 1.0)
    ]
    assert rates[0] == pytest.approx(rates[2], rel=1e-12)
    assert rates[0] == pytest.approx(rates[1], rel=0.02)


def test_a_werner_state_needs_its_visibility():
    faint = {"mean_pairs": 1e-9, "f_ec": 1.0, **IDEAL}
    threshold = AUTHORITY["werner"]["visibility_key"]
    assert e91(visibility=threshold + 1e-4, **faint).rate_per_pulse > 0
    assert e91(visibility=threshold - 1e-4, **faint).rate_per_pulse == 0
    assert float(e91(visibility=1 / math.sqrt(2), **faint).terms["chsh"]) == pytest.approx(2.0, abs=1e-6)
    assert float(e91(visibility=1.0, **faint).terms["chsh"]) == pytest.approx(2 * math.sqrt(2), abs=1e-6)


def test_e91_without_its_test_is_bbm92():
    link = {"distance_km": [0.0, 40.0], "mean_pairs": 0.05, "f_ec": 1.2}
    for size in ({}, {"n_sent": 1e12}):
        one = e91(visibility=0.96, misalignment=0.0, p_chsh=0.0, **link, **size)
        other = bbm92(misalignment=0.02, **link, **size)
        assert one.rate_per_pulse == pytest.approx(other.rate_per_pulse, rel=1e-12)
    tested = e91(visibility=0.96, misalignment=0.0, p_chsh=0.25, **link)
    assert tested.rate_per_pulse == pytest.approx(0.75 * bbm92(misalignment=0.02, **link).rate_per_pulse, rel=1e-12)


@pytest.mark.parametrize("protocol", [bb84, bbm92, e91], ids=lambda protocol: protocol.name)
def test_longer_blocks_gain_and_reach_the_limit(protocol):
    rng = Streams(seed=51).get(protocol.name)
    link = {
        "distance_km": rng.uniform(0, 100, 2000),
        "p_dark": 10 ** rng.uniform(-8, -5, 2000),
        "misalignment": rng.uniform(0, 0.08, 2000),
        "p_basis": rng.uniform(0.3, 0.98, 2000),
    }
    rate = protocol(n_sent=10.0 ** np.array([7, 8, 9, 11, 13, 18, 26])[:, None], **link).rate_per_pulse
    assert (np.diff(rate, axis=0) >= -1e-12 * rate[1:]).all()
    limit = protocol(**{name: value for name, value in link.items() if name != "p_basis"}).rate_per_pulse
    limit = limit * link["p_basis"] ** 2
    assert (rate <= limit * (1 + 1e-9)).all()
    has_key = limit > 1e-2 * limit.max()
    assert has_key.sum() > 300
    assert rate[-1, has_key] == pytest.approx(limit[has_key], rel=1e-6)
    at_1e18 = protocol(n_x=1e18, **link).rate_per_pulse
    assert at_1e18[has_key] == pytest.approx(limit[has_key], rel=1e-2)


@pytest.mark.parametrize("protocol", [bb84, bbm92, e91], ids=lambda protocol: protocol.name)
def test_no_key_beyond_the_threshold_whatever_the_block(protocol):
    rate = protocol(misalignment=0.1101, n_x=[1e5, 1e12, 1e24], f_ec=1.0, distance_km=10)
    assert (rate.rate_per_pulse == 0).all()


def test_the_live_length_never_exceeds_the_study_and_equals_it_where_errors_are_many():
    rng = Streams(seed=52).get("pairs")
    equal = 0
    for _ in range(2000):
        n, k = (int(10 ** rng.uniform(2, 7)) for _ in range(2))
        errors = int(rng.binomial(k, rng.uniform(0, 0.1)))
        epsilon_sec, wrong = 10 ** rng.uniform(-12, -4), int(n * errors / k)
        given = {"n_x": 1.0, "f_ec": 1.0, "epsilon_sec": epsilon_sec, "epsilon_cor": 2.0**-50}
        values = Values(checked_values("bb84", bb84.parameters, given))
        counted = {"key": n, "key_errors": wrong, "test": k, "test_errors": errors}
        seen = Pairs(**{name: np.float64(count) for name, count in counted.items()})
        study = float(key(values, seen, np.float64(1.0)).terms["signed_length_bits"])
        q = wrong / n
        leak = math.ceil(n * (-q * math.log2(q) - (1 - q) * math.log2(1 - q))) if q else 0
        live = pair_secret_length(
            n=n, k=k, errors=errors, leak_bits=leak, tag_bits=50, epsilon_sec=epsilon_sec, epsilon_cor=2.0**-50
        )
        assert live.length_bits <= max(0.0, study) + 1e-6
        if live.length_bits > 0 and errors > 1000:
            assert study - live.signed_bits == pytest.approx(0, abs=1 + 1e-9 * n)
            equal += 1
    assert equal > 50


def test_a_block_needs_its_own_sifting():
    with pytest.raises(ParameterError, match="p_basis"):
        bbm92(n_x=1e6, sifting=0.5)
