"""Intercept and resend: 25 % of errors per pulse taken, whoever chooses the basis how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.physics.attack import InterceptResend
from qanat.physics.attack.alphabet import measured


@pytest.mark.parametrize("basis", [0, 1])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 1.0])
@pytest.mark.parametrize("policy", ["random", "breidbart"])
@pytest.mark.parametrize("error", [0.0, 0.03])
def test_the_error_rate_rises_by_a_quarter_of_the_pulses_taken_in_both_bases(
    faint, read, basis, fraction, policy, error
) -> None:
    law = read.law(replace(faint, misalignment=error), [InterceptResend(fraction, policy)])
    assert read.qber(law, basis) == pytest.approx(error + fraction / 4 * (1 - 2 * error), abs=1e-6)


@pytest.mark.parametrize(("policy", "errors"), [("x", (0.0, 0.5)), ("z", (0.5, 0.0))])
def test_one_basis_only_is_silent_there_and_blind_in_the_other(faint, read, policy, errors) -> None:
    law = read.law(faint, [InterceptResend(1.0, policy)])
    assert [read.qber(law, basis) for basis in (0, 1)] == pytest.approx(errors, abs=1e-6)


@pytest.mark.parametrize("policy", ["random", "x", "breidbart"])
def test_the_gains_stay(faint, read, policy) -> None:
    honest, attacked = (read.gains(read.law(faint, attacks)) for attacks in ((), [InterceptResend(1.0, policy)]))
    assert attacked == pytest.approx(honest, rel=1e-9)


def test_breidbarts_basis_guesses_each_bit_with_0_854() -> None:
    right = [measured("breidbart")[state, 4 + state % 2] for state in range(4)]
    assert right == pytest.approx([0.853553390593] * 4, abs=1e-12)
    assert InterceptResend(1.0, "breidbart").guessing_probability == pytest.approx(right[0])


def test_a_measured_state_is_found_again(faint) -> None:
    for basis in ("x", "z", "breidbart"):
        twice = measured(basis) @ measured(basis)
        assert twice == pytest.approx(measured(basis), abs=1e-15)


def test_what_eve_learns(faint) -> None:
    learns = {
        policy: InterceptResend(1.0, policy).eve_information(faint) for policy in ("random", "x", "z", "breidbart")
    }
    assert learns == pytest.approx({"random": 0.5, "x": 1.0, "z": 0.0, "breidbart": 0.3991}, abs=1e-4)
    assert InterceptResend(0.2).eve_information(faint) == pytest.approx(0.1)


def test_three_eavesdroppers_of_all_kinds_in_a_row(faint, read) -> None:
    # Random, Breidbart, random: a bit survives each with visibility 1/2, 1/2, 1/2.
    law = read.law(faint, [InterceptResend(1.0), InterceptResend(1.0, "breidbart"), InterceptResend(1.0)])
    assert [read.qber(law, basis) for basis in (0, 1)] == pytest.approx([(1 - 1 / 8) / 2] * 2, abs=1e-6)


def test_clicks_show_the_errors_and_their_truth(sample, optics, settings) -> None:
    """Error rates of some 20 000 sifted clicks: five standard deviations, false alarm 6e-7 per comparison."""
    clicks = sample(optics, [InterceptResend(0.4, "breidbart")])
    honest = sample(optics)
    for basis in (0, 1):
        rates = []
        for one in (honest, clicks):
            sent = settings.at(one.gate)
            kept = (sent.basis == basis) & (one.basis == basis)
            wrong = (sent.bit != one.bit)[kept]
            rates.append((wrong.mean(), wrong.size))
        (e0, n0), (e1, n1) = rates
        sigma = np.sqrt(0.25 / n0 + 0.25 / n1)
        assert n1 > 1500
        assert abs(e1 - (e0 + 0.4 / 4 * (1 - 2 * e0))) < 5 * sigma
        assert e1 > e0 + 5 * np.sqrt(e0 / n0 + e1 / n1)
    mine = clicks.truth.label == clicks.truth.names.index("intercept-resend")
    sigma = np.sqrt(0.24 / mine.size)
    assert abs(mine.mean() - 0.4) < 6 * sigma, "rates do not depend on the label here, so neither does the share"
