"""The joint law of pairs against other derivations: closed formulas, sums over photon numbers, Fock space, dice."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qanat.physics.bell import CHSH_ALICE_RAD, CHSH_BOB_RAD, chsh_from_counts
from qanat.physics.datasheet import load_receiver
from qanat.physics.errors import SamplerError
from qanat.physics.pairs import PairLink, PairSource, end_from_angles, end_from_sheet, light_hits, pair_law

PAPER = tomllib.loads((Path(__file__).parents[2] / "authorities" / "ma_fung_lo2007.toml").read_text("utf-8"))


def gain_and_errors(law):
    """Both ends have one basis and two detectors; a double click is a random bit."""
    correlation = np.array([0, 1, -1, 0])
    joint = law.reshape(4, 4)
    gain = joint[1:, 1:].sum()
    return gain, (gain - correlation @ joint @ correlation) / 2


def one_basis_link(mean_pairs, eta_a, eta_b, *, p_dark=0.0, mode_count=1.0, **source):
    ends = [end_from_angles((0.0,), efficiency=eta, p_dark=p_dark, transmittance=1.0) for eta in (eta_a, eta_b)]
    source = PairSource(mean_pairs=mean_pairs, mode_count=mode_count, **source)
    return PairLink(source=source, alice=ends[0], bob=ends[1])


def by_photon_numbers(mean, eta_a, eta_b, *, most=200):
    """Both polarisations are a thermal number of pairs of their own; every photon is found or lost alone."""
    n = np.arange(most)
    p = mean**n / (1 + mean) ** (n + 1)
    finds = [1 - (1 - eta) ** n for eta in (eta_a, eta_b)]
    both, only_a, only_b = p @ (finds[0] * finds[1]), p @ finds[0], p @ finds[1]
    seen = np.array(
        [1 - only_a - only_b + both, only_a - both, only_b - both, both]
    )  # of one polarisation: -, a, b, ab
    law = np.zeros((4, 4))
    for first in range(4):
        for second in range(4):
            alice, bob = (first & 1) + 2 * (second & 1), (first >> 1) + 2 * (second >> 1)
            law[bob, alice] += seen[first] * seen[second]
    return law.ravel()


@pytest.mark.parametrize("point", PAPER["points"])
def test_gain_and_error_rate_are_those_of_ma_fung_and_lo(point) -> None:
    mean, eta_a, eta_b, y_0 = (point[name] for name in ("mean_pairs", "eta_a", "eta_b", "y_0"))
    lam, a, b = mean / 2, eta_a * mean / 2, eta_b * mean / 2
    both = 1 + a + b - eta_a * eta_b * lam
    gain = 1 - (1 - y_0) / (1 + a) ** 2 - (1 - y_0) / (1 + b) ** 2 + ((1 - y_0) / both) ** 2
    errors = gain / 2 - eta_a * eta_b * lam * (1 + lam) / ((1 + a) * (1 + b) * both)
    p_dark = 1 - math.sqrt(1 - y_0)
    seen = gain_and_errors(pair_law(one_basis_link(mean, eta_a, eta_b, p_dark=p_dark)))
    assert seen[0] == pytest.approx(gain, rel=1e-9)
    assert seen[1] == pytest.approx(errors, rel=1e-9 if y_0 == 0 else 2e-3)


@pytest.mark.parametrize("point", PAPER["points"][:3])
def test_the_determinant_sums_the_photon_numbers(point) -> None:
    mean, eta_a, eta_b = (point[name] for name in ("mean_pairs", "eta_a", "eta_b"))
    expected = by_photon_numbers(mean / 2, eta_a, eta_b)
    assert pair_law(one_basis_link(mean, eta_a, eta_b)) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def lowering(modes, most):
    one = np.diag(np.sqrt(np.arange(1, most)), 1)
    parts = []
    for mode in range(modes):
        full = np.eye(1)
        for other in range(modes):
            full = np.kron(full, one if other == mode else np.eye(most))
        parts.append(full)
    return parts


def test_the_law_over_unequal_bases_is_that_of_fock_space() -> None:
    """Up to three pairs; four weigh 5e-8 at this mean number."""
    alice = end_from_angles((0.3, 1.2), efficiency=0.7, p_dark=0.0, transmittance=0.9, visibility=0.93)
    bob = end_from_angles((0.8,), efficiency=0.6, p_dark=0.0, transmittance=0.8)
    link = PairLink(source=PairSource(mean_pairs=0.02, mode_count=1), alice=alice, bob=bob)
    most = 4
    a0, a1, b0, b1 = lowering(4, most)
    vacuum = np.zeros(most**4)
    vacuum[0] = 1.0
    strength = math.sqrt(0.01 / 1.01)  # lambda = 0.01
    state = vacuum * (1 - strength**2)
    term = state.copy()
    for n in range(1, most):
        term = strength / n * (a0.T @ (b0.T @ term) + a1.T @ (b1.T @ term))
        state = state + term
    hits = light_hits(link)
    for chosen in range(1, 64):
        expected = 1 - state @ survives(chosen, alice, (a0, a1)) @ survives(chosen >> 4, bob, (b0, b1)) @ state
        assert hits[chosen] == pytest.approx(expected, abs=2e-7), chosen


def survives(chosen, end, modes):
    """The operator of "no photon is found in these channels": Gamma(1 - X), by its eigenvectors."""
    x = np.zeros((2, 2))
    for c, angle in enumerate(end.angles_rad):
        if chosen >> c & 1:
            weight = end.transmittance * end.shares[c] * end.efficiency[c] / 2
            cosine, sine = end.visibility * math.cos(angle), end.visibility * math.sin(angle)
            x += weight * np.array([[1 + cosine, sine], [sine, 1 - cosine]])
    values, vectors = np.linalg.eigh(1.0 * np.eye(2) - x)
    logarithm = vectors @ np.diag(np.log(values)) @ vectors.T
    generator = sum(logarithm[i, j] * modes[i].T @ modes[j] for i in (0, 1) for j in (0, 1))
    levels, basis = np.linalg.eigh(generator)
    return basis @ np.diag(np.exp(levels)) @ basis.T


def test_many_modes_are_independent_pairs() -> None:
    ends = [end_from_angles(angles, efficiency=0.3, p_dark=1e-5, transmittance=0.5) for angles in ((0.0, 1.0), (0.4,))]
    few, many, all_of_them = (
        pair_law(PairLink(source=PairSource(mean_pairs=0.2, mode_count=k), alice=ends[0], bob=ends[1]))
        for k in (1.0, 1e5, math.inf)
    )
    assert many == pytest.approx(all_of_them, rel=1e-3, abs=1e-9)
    bunched = few[0b000101] / all_of_them[0b000101]  # photons of one mode like directions that are close
    assert bunched == pytest.approx(1 + math.cos(0.5) ** 2, rel=0.1)


def test_both_ends_of_a_bbm92_link_agree_but_for_misalignment_accidentals_and_darks() -> None:
    receiver = load_receiver("snspd")
    end = end_from_sheet(receiver, loss_db=5.0, clock_hz=1e9)
    law = pair_law(PairLink(source=PairSource(mean_pairs=1e-4), alice=end, bob=end)).reshape(16, 16)
    equal, unequal = law[1, 1] + law[2, 2], law[1, 2] + law[2, 1]
    e = receiver.misalignment
    assert unequal / (equal + unequal) == pytest.approx(2 * e * (1 - e), rel=0.02)


def chsh_of(law):
    counts = np.zeros((2, 2, 2, 2))
    for i, j, a, b in np.ndindex(2, 2, 2, 2):
        counts[i, j, a, b] = law.reshape(16, 16)[1 << (2 * j + b), 1 << (2 * i + a)]
    return chsh_from_counts(counts).value


def e91_link(visibility, *, mean_pairs=1e-6, intercepted=0.0):
    alice = end_from_angles(CHSH_ALICE_RAD, efficiency=0.3, p_dark=0.0, transmittance=0.5)
    bob = end_from_angles(CHSH_BOB_RAD, efficiency=0.2, p_dark=0.0, transmittance=0.9)
    source = PairSource(mean_pairs=mean_pairs, visibility=visibility)
    return PairLink(source=source, alice=alice, bob=bob, intercepted=intercepted)


@pytest.mark.parametrize("visibility", [1.0, 0.9, 1 / math.sqrt(2), 0.2])
def test_a_werner_state_has_s_of_two_root_two_times_its_visibility(visibility) -> None:
    assert chsh_of(pair_law(e91_link(visibility))) == pytest.approx(2 * math.sqrt(2) * visibility, rel=1e-4)


def test_measured_and_resent_pairs_obey_root_two() -> None:
    """Half of them lose one component of their correlation, half the other: S = sqrt(2)."""
    assert chsh_of(pair_law(e91_link(1.0, intercepted=1.0))) == pytest.approx(math.sqrt(2), rel=1e-4)
    half = chsh_of(pair_law(e91_link(1.0, intercepted=0.5)))
    assert half == pytest.approx(1.5 * math.sqrt(2), rel=1e-4)


def test_interception_of_all_gives_a_quarter_of_errors_and_the_same_rates() -> None:
    end = end_from_angles((0.0, math.pi / 2), efficiency=0.3, p_dark=0.0, transmittance=0.5)
    link = PairLink(source=PairSource(mean_pairs=1e-5), alice=end, bob=end)
    honest, taken = (pair_law(replace(link, intercepted=share)).reshape(16, 16) for share in (0.0, 1.0))
    for basis in (0, 1):
        same, other = 1 << 2 * basis, 2 << 2 * basis
        errors = taken[same, other] + taken[other, same]
        assert errors / (errors + taken[same, same] + taken[other, other]) == pytest.approx(0.25, abs=1e-4)
    assert taken[1:].sum() == pytest.approx(honest[1:].sum(), rel=1e-4)


def test_coincidences_over_accidentals_fall_with_the_brightness() -> None:
    """With eta small and no darks, true over accidental coincidences is 1 / mean for independent pairs."""
    for mean in (1e-3, 1e-2):
        law = pair_law(one_basis_link(mean, 0.01, 0.01, mode_count=math.inf)).reshape(4, 4)
        accidental = law[1:].sum() * law[:, 1:].sum()
        assert law[1:, 1:].sum() / accidental - 1 == pytest.approx(1 / mean, rel=0.02)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SamplerError):
        PairSource(mean_pairs=-1.0)
    many = end_from_angles((0.0, 1.0, 2.0, 3.0), efficiency=0.1, p_dark=0.0, transmittance=1.0)
    with pytest.raises(SamplerError):
        PairLink(source=PairSource(mean_pairs=0.1), alice=many, bob=many)
    with pytest.raises(ValueError, match="coincidences"):
        chsh_from_counts(np.zeros((2, 2, 2, 2), dtype=np.int64))
