"""The density evolution by which the LDPC codes were designed finds the thresholds that others published."""

import json
import sys
from pathlib import Path

import pytest

DESIGN = Path(__file__).parents[2] / "design"
sys.path.insert(0, str(DESIGN))

from ldpc_degrees import check_degree_wanted, concentrated  # noqa: E402
from ldpc_density import PUBLISHED, Ensemble, entropy_bits, iterations_needed  # noqa: E402

from qanat.distill.ldpc.codes import COLUMNS, code, row_counts  # noqa: E402


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_thresholds_are_met_to_their_last_digit(name):
    ensemble, published = PUBLISHED[name]
    assert iterations_needed(ensemble, published - 0.001) is not None
    assert iterations_needed(ensemble, published + 0.0015) is None


def test_a_check_degree_bounds_f_from_below():
    """No profile of the package beats Gallager's bound for its check degree, and none is above capacity."""
    for line in (DESIGN / "ldpc_profiles.jsonl").read_text().splitlines():
        profile = json.loads(line)
        assert profile["f"] > 1
        assert check_degree_wanted(profile["q"], profile["f"]) < profile["check_degree"]


def test_a_profile_corrects_the_error_rate_it_claims_and_not_much_more():
    lines = [json.loads(line) for line in (DESIGN / "ldpc_profiles.jsonl").read_text().splitlines()]
    profile = min(lines, key=lambda each: abs(each["q"] - 0.06))
    ensemble = Ensemble({int(d): s for d, s in profile["variable"].items()}, concentrated(profile["check_degree"]))
    assert ensemble.syndrome_rate / entropy_bits(profile["q"]) == pytest.approx(profile["f"], abs=2e-3)
    assert iterations_needed(ensemble, profile["q"] * 0.995) is not None
    assert iterations_needed(ensemble, profile["q"] * 1.03) is None


def test_the_codes_of_the_package_are_those_profiles():
    profiles = sorted((json.loads(line) for line in (DESIGN / "ldpc_profiles.jsonl").read_text().splitlines()),
                      key=lambda each: each["rate"])  # fmt: skip
    assert [round(each["rate"] * COLUMNS) for each in profiles] == list(row_counts())
    for index, profile in enumerate(profiles):
        edges = len(code(index, 0).columns)
        assert edges / COLUMNS == pytest.approx(profile["degree_mean"], rel=0.01)
