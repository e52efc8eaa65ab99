from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import Cut, InterceptResend, Jamming, Tap, attack_from_name, name_from_attack
from qanat.physics.errors import AttackError
from qanat.physics.optics import Optics, gate_law


def single_click_qber(optics: Optics, attacks, basis: int) -> float:
    """Error share of slots in which exactly one detector of the basis is marked, brightest intensity, bit 0."""
    setting = basis * 2
    right, wrong = (gate_law(optics, attacks).p_pattern[setting, 1 << (basis * 2 + bit)] for bit in (0, 1))
    return float(wrong / (right + wrong))


def even(optics: Optics, **changes) -> Optics:
    return replace(optics, efficiency=(0.2,) * 4, p_dark=(0.0,) * 4, transmittance=1e-4, **changes)


def test_the_law_of_marks_is_the_formula_written_out(optics: Optics) -> None:
    law = gate_law(optics)
    arrived = 0.2 * 0.4  # intensity 1, fibre
    wrong = arrived * 0.22 * 0.7 * 0.02  # X1 when (X, 0) was sent
    crossed = arrived * 0.18 * 0.3 / 2  # Z0
    assert law.p_mark[0, 4, 1] == pytest.approx(1 - (1 - 1e-4) * np.exp(-wrong), rel=1e-12)
    assert law.p_mark[0, 4, 2] == pytest.approx(1 - (1 - 2e-4) * np.exp(-crossed), rel=1e-12)
    assert law.p_pattern.sum(axis=1) == pytest.approx(np.ones(12), abs=1e-14)
    assert law.p_any == pytest.approx(1 - (1 - law.p_mark[0]).prod(axis=1), rel=1e-12)


@pytest.mark.parametrize("basis", [0, 1])
@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_intercept_resend_makes_a_quarter_of_errors_per_attacked_pulse(optics, basis, fraction) -> None:
    qber = single_click_qber(even(optics, misalignment=0.0), [InterceptResend(fraction)], basis)
    assert qber == pytest.approx(fraction / 4, abs=1e-5)


def test_misalignment_adds_to_intercept_resend_as_theory_says(optics: Optics) -> None:
    # Half of the pulses keep their state (error 0.02), half are random (1/2).
    assert single_click_qber(even(optics), [InterceptResend(1.0)], 0) == pytest.approx(0.26, abs=1e-5)


def test_two_eavesdroppers_in_a_row_disturb_more_than_one(optics: Optics) -> None:
    # The state survives if both chose its basis: 1/4. Else it is random: 3/4 * 1/2.
    twice = [InterceptResend(1.0), InterceptResend(1.0)]
    assert single_click_qber(even(optics, misalignment=0.0), twice, 1) == pytest.approx(3 / 8, abs=1e-5)
    assert gate_law(optics, twice * 5).p_hidden.size <= 5


def test_intercept_resend_leaves_the_rate_as_it_was(optics: Optics) -> None:
    free, attacked = (gate_law(even(optics), attacks).p_any for attacks in ((), [InterceptResend(1.0)]))
    assert attacked == pytest.approx(free, rel=1e-4)


def test_tap_scales_all_gains(optics: Optics) -> None:
    free, tapped = (gate_law(even(optics), attacks).p_any for attacks in ((), [Tap(0.25)]))
    assert tapped == pytest.approx(free / 4, rel=1e-4)
    assert np.array_equal(gate_law(optics, [Tap(0.5), Tap(0.5)]).p_any, gate_law(optics, [Tap(0.25)]).p_any)


def test_a_cut_leaves_dark_counts_whatever_was_sent(optics: Optics) -> None:
    law = gate_law(optics, [Cut()])
    assert law.p_mark[0] == pytest.approx(np.tile(optics.p_dark, (12, 1)), rel=1e-9)


def test_jamming_adds_unpolarised_light_even_to_a_cut_fibre(optics: Optics) -> None:
    law = gate_law(replace(optics, p_dark=(0.0,) * 4), [Cut(), Jamming(1e8)])
    assert law.p_mark[0, 0, 0] == pytest.approx(-np.expm1(-0.1 * 0.35 * 0.2), rel=1e-12)
    assert law.p_mark[0, 0, 3] == pytest.approx(-np.expm1(-0.1 * 0.15 * 0.2), rel=1e-12)


def test_attacks_by_name() -> None:
    assert attack_from_name("intercept-resend") == InterceptResend(1.0)
    assert attack_from_name("intercept-resend", fraction=0.0) == InterceptResend(0.0)
    for attack in (InterceptResend(0.1), Tap(0.5), Cut(), Jamming(1e7)):
        assert attack_from_name(name_from_attack(attack)).__class__ is attack.__class__


@pytest.mark.parametrize(
    ("name", "numbers", "said"),
    [
        ("intercept-resent", {}, "did you mean 'intercept-resend'"),
        ("tap", {"fraction": 0.5}, "does not take fraction; it takes transmittance"),
        ("cut", {"rate_hz": 1.0}, "it takes no number"),
        ("tap", {"transmittance": 1.5}, "between 0 and 1"),
        ("tap", {"transmittance": float("nan")}, "between 0 and 1"),
        ("jamming", {"rate_hz": -1.0}, "between 0 and 1e15"),
    ],
)
def test_an_attack_that_cannot_be_is_refused(name, numbers, said) -> None:
    with pytest.raises(AttackError, match=said):
        attack_from_name(name, **numbers)
