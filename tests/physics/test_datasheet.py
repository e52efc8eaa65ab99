from __future__ import annotations

import pytest

from qanat.physics.datasheet import (
    load_receiver,
    load_transmitter,
    receiver_from_text,
    receiver_names,
    transmitter_from_text,
    transmitter_names,
)
from qanat.physics.errors import DatasheetError

SOURCE = """
kind = "transmitter"
name = "t"
description = "a test source"
intensities = {value = [0.5, 0.1], unit = "mean photon number", source = "test"}
p_intensities = {value = [0.7, 0.3], unit = "probability", source = "test"}
p_x = {value = 0.9, unit = "probability", source = "test"}
clock_hz_max = {value = 1e9, unit = "Hz", source = "test"}
"""


def test_every_shipped_datasheet_loads_and_every_value_has_a_source() -> None:
    sheets = [load_transmitter(name) for name in transmitter_names()]
    sheets += [load_receiver(name) for name in receiver_names()]  # type: ignore[misc]
    assert {"decoy-1ghz", "ingaas-gated", "snspd"} <= {sheet.name for sheet in sheets}
    for sheet in sheets:
        assert all(fact.source and fact.unit for fact in sheet.facts.values())


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(DatasheetError, match="did you mean 'decoy-1ghz'"):
        load_transmitter("decoy-1gzh")
    with pytest.raises(DatasheetError, match="did you mean 'ingaas-gated'"):
        load_receiver("ingas-gated")


def test_dark_counts_in_time_become_dark_counts_per_gate() -> None:
    assert load_receiver("snspd").p_dark(1e9)[0] == pytest.approx(100 / 1e9, rel=1e-6)
    assert load_receiver("ingaas-gated").p_dark(1e8)[0] == load_receiver("ingaas-gated").p_dark_per_gate[0]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('unit = "Hz"', 'unit = "GHz"', "it must be in 'Hz'"),
        ("[0.5, 0.1]", "[0.1, 0.5]", "must fall"),
        ("[0.7, 0.3]", "[0.7, 0.2]", "sum to 1"),
        ("value = 0.9", "value = 1.9", "no probability"),
        ("p_x =", "p_xx =", "did you mean 'p_x'"),
        ('value = 1e9, unit = "Hz", source = "test"', 'value = 1e9, unit = "Hz", source = ""', "no source"),
        ("value = 0.9,", 'value = "0.9",', "no finite number"),
        ('kind = "transmitter"', 'kind = "receiver"', "kind is"),
        ('name = "t"', "", "name is missing"),
        ("p_x = {", "p_x = [", "transmitter t"),
    ],
)
def test_a_mistake_in_a_datasheet_is_named(before: str, after: str, said: str) -> None:
    transmitter_from_text(SOURCE, where="t")
    assert before in SOURCE
    said = "datasheet t" if said == "transmitter t" else said
    with pytest.raises(DatasheetError, match=said):
        transmitter_from_text(SOURCE.replace(before, after), where="t")


def test_a_receiver_must_say_all_that_is_needed() -> None:
    with pytest.raises(DatasheetError, match="is missing"):
        receiver_from_text('kind = "receiver"\nname = "r"\ndescription = "d"', where="r")
