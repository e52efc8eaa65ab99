"""Soundness of the secret length: never too much, never for a wrong reason, every bit counted once."""

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.core.streams import Streams
from qanat.keyrate.channel_model import LinkModel, expected_counts, rate_per_pulse
from qanat.keyrate.counts import CountsError, DecoyCounts
from qanat.keyrate.decoy import DecoySettings
from qanat.keyrate.lim2014 import secret_length
from qanat.keyrate.sampling import binary_entropy

SETTINGS = {"intensities": (0.5, 0.2, 2e-4), "p_intensities": (0.6, 0.3, 0.1)}
BUDGET = {"tag_bits": 128, "epsilon_sec": 1e-9, "epsilon_cor": 1e-12}
GOOD = DecoyCounts(n_x=(832_600, 167_330, 70), n_z=(92_500, 18_590, 8), m_z=(900, 180, 1))


def length(counts=GOOD, leak_bits=120_000, **changes):
    return secret_length(counts, leak_bits=leak_bits, **(SETTINGS | BUDGET | changes))


def with_qber(qber):
    return replace(GOOD, m_z=tuple(math.ceil(qber * n) for n in GOOD.n_z))


def test_a_good_block_yields_key_and_the_terms_add_up_to_it():
    result = length()
    assert result.length_bits == math.floor(result.signed_bits) > 100_000
    assert math.fsum(result.terms.values()) == result.signed_bits
    assert set(result.terms) == {"vacuum", "single_photon", "phase_error", "reconciliation", "verification", "secrecy"}


def test_the_epsilons_sum_to_the_budget():
    assert math.fsum(length().epsilon.values()) == 1e-9 + 1e-12


def test_every_leaked_bit_costs_exactly_one_bit():
    base = length().signed_bits
    for leak in (0, 1, 12_345):
        assert length(leak_bits=120_000 + leak).signed_bits == pytest.approx(base - leak, abs=1e-6)


def test_the_tag_is_charged_once_and_never_below_its_size():
    base = length(tag_bits=128)
    assert base.terms["verification"] == -128
    assert length(tag_bits=64).signed_bits == pytest.approx(base.signed_bits + 64, abs=1e-6)
    # A tag as short as epsilon_cor allows: then the paper's own term is charged, 1 bit more.
    shortest = length(tag_bits=40, epsilon_cor=2.0**-40)
    assert shortest.terms["verification"] == -41


def test_a_tag_too_short_for_its_epsilon_is_refused():
    with pytest.raises(CountsError, match="needs 40 bits"):
        length(tag_bits=39)
    with pytest.raises(CountsError):
        length(tag_bits=0)


def test_the_length_is_capped_by_the_sifted_key_and_by_nothing_else():
    rng = Streams(seed=17).get("random counts")
    lengths = []
    for _ in range(5_000):
        n_x = rng.integers(0, 10 ** rng.integers(1, 8, 3))
        n_z = rng.integers(0, 10 ** rng.integers(1, 8, 3))
        m_z = (n_z * rng.uniform(0, 0.2, 3)).astype(int)
        counts = DecoyCounts(n_x=tuple(n_x), n_z=tuple(n_z), m_z=tuple(m_z))
        result = length(counts, leak_bits=0, epsilon_sec=10 ** rng.uniform(-15, -1))
        assert 0 <= result.length_bits <= counts.total_x
        assert result.vacuum_bound + result.single_photon_bound <= counts.total_x
        assert 0 <= result.phase_error_bound <= 0.5
        lengths.append(result.length_bits)
    assert sum(size > 0 for size in lengths) > 50  # the search does see blocks with key


def test_empty_blocks_yield_nothing():
    none = (0, 0, 0)
    for n_x, n_z in ((none, none), (GOOD.n_x, none), (none, GOOD.n_z)):
        result = length(DecoyCounts(n_x=n_x, n_z=n_z, m_z=none), leak_bits=0)
        assert result.length_bits == 0
        assert result.signed_bits <= 0


def test_no_key_above_threshold_even_without_any_leak():
    # Entropic threshold of the single photons: a phase error bound of 1/2. At QBER 25 % (intercept and
    # resend) the bound is beyond it; at 11.0028 % the exact leak n h(q) takes what is left.
    assert length(with_qber(0.25), leak_bits=0).length_bits == 0
    leak = math.ceil(GOOD.total_x * binary_entropy(0.110028))
    assert length(with_qber(0.110028), leak_bits=leak).length_bits == 0


def test_more_errors_never_give_more_key():
    qbers = [0.0, 0.001, 0.01, 0.02, 0.03, 0.05, 0.08, 0.11, 0.2, 0.5]
    lengths = [length(with_qber(qber), leak_bits=0).signed_bits for qber in qbers]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > lengths[5] > 0


def test_smaller_epsilons_never_give_more_key():
    lengths = [length(epsilon_sec=10.0**-power).signed_bits for power in range(2, 20)]
    assert lengths == sorted(lengths, reverse=True)


def test_larger_blocks_give_more_per_detection_and_never_more_than_infinite_ones():
    def scaled(factor):
        counts = DecoyCounts(
            n_x=tuple(factor * n for n in GOOD.n_x),
            n_z=tuple(factor * n for n in GOOD.n_z),
            m_z=tuple(factor * m for m in GOOD.m_z),
        )
        return length(counts, leak_bits=factor * 120_000).signed_bits / factor

    rates = [scaled(10**power) for power in range(9)]
    assert rates == sorted(rates)
    assert scaled(10**14) == pytest.approx(scaled(10**12), rel=1e-2)


def test_photon_number_splitting_leaves_no_key():
    # Eve blocks every single photon and lets the rest through so that the signal's gain looks right:
    # the decoy's gain then falls like mu^2, and no single photon can be proven.
    rng = Streams(seed=17).get("splitting")
    mu = np.array(SETTINGS["intensities"])
    p_multi = 1 - np.exp(-mu) * (1 + mu)
    law = np.array(SETTINGS["p_intensities"]) * p_multi
    n_x, n_z = (rng.multinomial(size, law / law.sum()) for size in (1_000_000, 110_000))
    result = length(DecoyCounts(n_x=tuple(n_x), n_z=tuple(n_z), m_z=(0, 0, 0)), leak_bits=0)
    assert result.length_bits == 0
    assert result.single_photon_bound == 0


def test_the_bound_of_repeaterless_links_is_kept():
    settings = DecoySettings(**SETTINGS)
    model = LinkModel()
    for length_km in (0, 25, 50, 100, 150):
        rate = rate_per_pulse(
            model, settings, length_km=length_km, p_x=0.99, n_x=1e15, epsilon_sec=1e-10, epsilon_cor=1e-15
        )
        assert rate < -math.log1p(-model.transmittance(length_km)) / math.log(2)


def test_expected_counts_split_by_basis_and_not_intensity_by_basis():
    settings = DecoySettings(**SETTINGS)
    expected = expected_counts(LinkModel(), settings, length_km=25, p_x=0.8, n_pulses=1e9)
    ratios = [x / z for x, z in zip(expected.n_x, expected.n_z, strict=True)]
    assert ratios == pytest.approx([16.0] * 3)
    assert all(0 < m < n / 2 for m, n in zip(expected.m_z, expected.n_z, strict=True))


def test_one_of_detections_and_pulses_must_be_given():
    arguments = {"length_km": 1, "p_x": 0.9, "epsilon_sec": 1e-9, "epsilon_cor": 1e-9}
    for both in ({}, {"n_x": 1e6, "n_pulses": 1e9}):
        with pytest.raises(ValueError):
            rate_per_pulse(LinkModel(), DecoySettings(**SETTINGS), **arguments, **both)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_x": (1, 2)},
        {"n_x": (1, 2, 3, 4)},
        {"n_x": (1, -2, 3)},
        {"n_x": (1.5, 2, 3)},
        {"n_x": (1.0, 2, 3)},
        {"n_x": ("1", 2, 3)},
        {"m_z": (0, 0, 9)},
        {"m_z": (-1, 0, 0)},
    ],
)
def test_counts_that_cannot_be_are_refused(changes):
    with pytest.raises(CountsError):
        replace(GOOD, **changes)


def test_numpy_counts_become_plain_ones():
    counts = DecoyCounts(n_x=tuple(np.array([1, 2, 3])), n_z=GOOD.n_z, m_z=GOOD.m_z)
    assert [type(count) for count in counts.n_x] == [int] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"intensities": (0.5, 0.5, 0.0)},
        {"intensities": (0.2, 0.5, 0.0)},
        {"intensities": (0.5, 0.3, 0.2)},
        {"intensities": (0.5, 0.2, -0.1)},
        {"intensities": (math.nan, 0.2, 0.0)},
        {"intensities": (math.inf, 0.2, 0.0)},
        {"intensities": (0.5, 0.2)},
        {"p_intensities": (0.6, 0.3, 0.2)},
        {"p_intensities": (0.7, 0.3, 0.0)},
        {"p_intensities": (0.6, 0.3, math.nan)},
        {"leak_bits": -1},
        {"epsilon_sec": 0.0},
        {"epsilon_sec": 1.0},
        {"epsilon_sec": math.nan},
        {"epsilon_cor": 0.0},
        {"epsilon_cor": -1e-9},
    ],
)
def test_settings_and_budgets_outside_the_proof_are_refused(changes):
    with pytest.raises(CountsError):
        length(**changes)
