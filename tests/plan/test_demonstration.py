"""The list of demonstrations: what is stated, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.plan.demonstration import Demonstration, DemonstrationError, chosen, demonstrations_from_text

SHIPPED = Path(__file__).parents[2] / "authorities/demonstrations.toml"

ONE = """
[assumed.detectors]
why = "usual"
detector_efficiency = 0.1

[[demonstration]]
name = "a"
title = "A"
source = "somebody"
setting = "field"
geometry = "50 km"

[[demonstration.point]]
name = "50 km"
protocol = "bb84"
inputs = { distance_km = 50 }
assumes = ["detectors"]
published = { rate_bps = 1e3, read = "abstract" }
claims = "passes"
"""


@pytest.fixture(scope="module")
def shipped() -> tuple[Demonstration, ...]:
    return demonstrations_from_text(SHIPPED.read_text(encoding="utf-8"))


def test_inputs_and_assumptions_stay_apart_and_are_computed_with_together() -> None:
    (found,) = demonstrations_from_text(ONE)
    (point,) = found.points
    assert point.inputs == {"distance_km": 50}
    assert [each.values for each in point.assumptions] == [{"detector_efficiency": 0.1}]
    assert point.values == {"distance_km": 50, "detector_efficiency": 0.1}
    assert found.tolerance == 0.3
    assert str(point.assumptions[0]) == "detector_efficiency = 0.1: usual"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('why = "usual"', "", "an assumption has values and a reason"),
        ("detector_efficiency = 0.1", "", "an assumption has values and a reason"),
        ("distance_km = 50", "detector_efficiency = 0.2", "detector_efficiency is stated twice"),
        ('assumes = ["detectors"]', 'assumes = ["detector"]', "no set of values detector (did you mean detectors?"),
        ('read = "abstract"', 'read = ""', "and where it was read"),
        ("rate_bps = 1e3", "rate_bps = 1e3, bits = 5", "published has one of"),
        ("rate_bps = 1e3", "rate_kbps = 1", "no key rate_kbps (did you mean rate_bps?"),
        ('claims = "passes"', "", "claims (passes or misses) goes with something published"),
        ('claims = "passes"', 'claims = "agrees"', "claims (passes or misses) goes with something published"),
        ('published = { rate_bps = 1e3, read = "abstract" }', "", "claims (passes or misses) goes with something"),
        ('claims = "passes"', 'claims = "misses"', "a miss says why (because)"),
        ('claims = "passes"', 'claims = "passes"\nbecause = "we wish"', "a miss says why (because), and nothing else"),
        ('setting = "field"', 'setting = "office"', "setting is one of bench, field"),
        ('geometry = "50 km"', "", "geometry is missing"),
        ('geometry = "50 km"', 'geometry = "50 km"\nlength = 50', "no key length"),
        ('name = "50 km"', "", "name is missing"),
        ('protocol = "bb84"', 'protocol = "bb84"\nhow = "network"', "how = network goes with link = FILE/LINK"),
        ('protocol = "bb84"', 'protocol = "bb84"\nlink = "tiny/a-b"', "how = network goes with link = FILE/LINK"),
        (
            'protocol = "bb84"',
            'protocol = "bb84"\nhow = "network"\nlink = "a/b"',
            "and with no inputs: they are in the file",
        ),
        ("[assumed.detectors]", "[assumed.detectors", "is no TOML"),
        ("[assumed.detectors]", "[assume.detectors]", "the file: no key assume (did you mean assumed?"),
    ],
)
def test_a_statement_that_contradicts_another_is_refused_with_its_place(old: str, new: str, said: str) -> None:
    assert old in ONE
    with pytest.raises(DemonstrationError) as refused:
        demonstrations_from_text(ONE.replace(old, new, 1))
    assert said in refused.value.detail


def test_a_qber_that_went_in_is_not_compared() -> None:
    with_input = ONE.replace("distance_km = 50", "qber = 0.01")
    with_published = ONE.replace("rate_bps = 1e3", "rate_bps = 1e3, qber = 0.02")
    assert demonstrations_from_text(with_input)  # either by itself is allowed
    assert demonstrations_from_text(with_published)
    text = with_input.replace("rate_bps = 1e3", "rate_bps = 1e3, qber = 0.02")
    with pytest.raises(DemonstrationError, match="a QBER that is an input cannot be compared"):
        demonstrations_from_text(text)


def test_two_of_one_name_are_refused() -> None:
    second = ONE[ONE.index("[[demonstration]]") :]
    with pytest.raises(DemonstrationError, match="there are several"):
        demonstrations_from_text(ONE + second)


def test_a_name_that_nearly_fits_is_suggested(shipped: tuple[Demonstration, ...]) -> None:
    assert chosen(shipped, None) == shipped
    assert [each.name for each in chosen(shipped, "micius-2017")] == ["micius-2017"]
    with pytest.raises(DemonstrationError, match=r"did you mean micius-201"):
        chosen(shipped, "mizius-2017")


def test_no_rate_known_by_hearsay_alone_is_compared(shipped: tuple[Demonstration, ...]) -> None:
    """Rates that circulate for these experiments and that we have read nowhere: they must not come in by the back."""
    hearsay = {4.9e3, 787, 62, 0.25, 0.269, 0.118, 3.4, 3.45, 0.014, 1.5e3, 0.25e3}
    for demonstration in shipped:
        for point in demonstration.points:
            if point.published is not None:
                assert len(point.published.read) > 5, (demonstration.name, point.name)
                assert point.published.value not in hearsay, (demonstration.name, point.name)
    unread = {"twin-field-500-km", "twin-field-installed", "twin-field-658-km", "wang-2022", "pittaluga-2021"}
    unread |= {"swissquantum", "micius-entanglement-2017", "micius-teleportation-2017"}
    networks = {"bristol-cambridge", "madrid", "hefei", "chattanooga", "singapore", "oak-ridge", "laquila", "eagle-1"}
    silent = {each.name for each in shipped if all(point.published is None for point in each.points)}
    assert unread | networks <= silent


def test_every_set_of_assumptions_is_used(shipped: tuple[Demonstration, ...]) -> None:
    used = {each.label for demonstration in shipped for point in demonstration.points for each in point.assumptions}
    stated = {line[len("[assumed.") : -1] for line in SHIPPED.read_text().splitlines() if line.startswith("[assumed.")}
    assert stated == used
