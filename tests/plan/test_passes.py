"""A pass as CSV: what is read, and what is refused with its line."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from qanat.plan.experiment import PARTS_PER_PASS, slant_transmittances
from qanat.plan.passes import PARTS_MAX, PassFileError, pass_from_csv

EXAMPLE = Path(__file__).parents[2] / "examples/micius-like-pass.csv"


def test_loss_and_transmittance_say_the_same_in_either_order_with_comments() -> None:
    by_loss = pass_from_csv("\ufeff# a pass\nduration_s, loss_db\n60, 30\n\n# culmination\n30, 20.0\n", "a")
    by_eta = pass_from_csv("transmittance,duration_s\n1e-3,60\n1e-2,30\n", "b")
    assert by_loss.durations_s == by_eta.durations_s == (60.0, 30.0)
    assert by_loss.transmittances == pytest.approx(by_eta.transmittances, rel=1e-12)
    assert by_eta.losses_db == pytest.approx((30.0, 20.0))
    assert by_eta.midpoints_s == (30.0, 75.0)


def test_a_part_without_sight_is_kept_as_infinite_loss() -> None:
    flown = pass_from_csv("duration_s,transmittance\n10,0\n10,0.01\n", "a")
    assert flown.losses_db == (math.inf, pytest.approx(20.0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a.csv is empty; it begins with the line duration_s,loss_db"),
        ("# nothing\n", "a.csv is empty"),
        ("60,30\n", "line 1: the columns are 60, 30; they must be duration_s and one of loss_db and transmittance"),
        ("duration_s,loss\n60,30\n", "line 1: the columns are duration_s, loss"),
        ("loss_db,transmittance\n3,0.5\n", "they must be duration_s and one of"),
        ("duration_s,loss_db\n", "has 0 parts"),
        ("duration_s,loss_db\n60\n", "line 2: 1 values for the two columns"),
        ("duration_s,loss_db\n60,30,1\n", "line 2: 3 values for the two columns"),
        ("duration_s,loss_db\n60,30\n60,high\n", "line 3: loss_db is 'high'; it must be a number"),
        ("duration_s,loss_db\n60,nan\n", "line 2: loss_db is 'nan'; it must be a number"),
        ("duration_s,loss_db\n0,30\n", "line 2: duration_s is 0; a part lasts more than 0 seconds"),
        ("duration_s,loss_db\n60,-30\n", "line 2: loss_db is -30; a loss is written without a minus sign"),
        ("duration_s,transmittance\n60,1.5\n", "line 2: transmittance is 1.5; it must lie between 0 and 1"),
        ("duration_s,transmittance\n60,0\n", "no part has sight"),
        ("duration_s,loss_db\n" + "1,30\n" * (PARTS_MAX + 1), f"a pass has 1 to {PARTS_MAX}"),
    ],
)
def test_another_form_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(PassFileError) as refused:
        pass_from_csv(text, "a.csv")
    assert said in refused.value.detail


def test_the_example_is_the_pass_of_the_demonstration() -> None:
    flown = pass_from_csv(EXAMPLE.read_text(encoding="utf-8"), "the example")
    assert sum(flown.durations_s) == 273
    fine = slant_transmittances(
        {
            "slant_km_least": 645.0,
            "slant_km_most": 1200.0,
            "spreading_loss_db": 22.0,
            "air_loss_db": 5.5,
            "pointing_loss_db": 1.5,
        }
    )
    assert len(fine) == PARTS_PER_PASS
    assert sum(flown.transmittances) / len(flown.transmittances) == pytest.approx(fine.mean(), rel=2e-3)
