from __future__ import annotations

import math

import numpy as np
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
from qanat.physics.landing import light_landing
from qanat.physics.light import light_of
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import Optics, optics_from_sheets
from qanat.physics.tables import wiring_from_layout
from qanat.physics.timing import efficiency_at

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


RECEIVER = """
kind = "receiver"
name = "r"
description = "a test receiver"
efficiency = {value = 0.2, unit = "probability", source = "test"}
loss_db = {value = 1.5, unit = "dB", source = "test"}
misalignment = {value = 0.01, unit = "probability", source = "test"}
p_x = {value = 0.9, unit = "probability", source = "test"}
"""
COMMON = 'dead_time_ns = {value = 1000, unit = "ns", source = "test"}\n'


def field(name: str, value: object, unit: str) -> str:
    return f'{name} = {{value = {value}, unit = "{unit}", source = "test"}}\n'


GATE = field("gate_width_ps", 150, "ps")


def optics_of(text: str, clock_hz: float = 1e9) -> Optics:
    sheet = receiver_from_text(RECEIVER + text, where="r")
    return optics_from_sheets(load_transmitter("decoy-1ghz"), sheet, loss_db=0.0, clock_hz=clock_hz)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (COMMON + field("jitter_ps", 0.04, "ns"), "jitter_ps is in 'ns'; it must be in 'ps'"),
        (COMMON + field("jitter_ps", -1, "ps"), "jitter_ps is -1, it must lie between 0 and"),
        (COMMON + field("jitter_ps", [1, 2], "ps"), "jitter_ps has 2 values for the four detectors"),
        (COMMON + field("jiter_ps", 1, "ps"), "did you mean 'jitter_ps'"),
        (COMMON + field("tail_ps", 1, "ps"), "tail_ps and p_tail come together"),
        (COMMON + field("p_tail", 1.5, "probability") + field("tail_ps", 1, "ps"), "p_tail is 1.5, no probability"),
        (COMMON + field("gate_centre_ps", 100, "ps"), "gate_centre_ps says nothing without gate_width_ps"),
        (COMMON + field("out_of_gate", 0.1, "ratio"), "out_of_gate says nothing without gate_width_ps"),
        (COMMON + field("gate_width_ps", 0, "ps"), "gate_width_ps is 0"),
        (COMMON + field("dark_doubling_k", 0, "K"), "dark_doubling_k is 0"),
        (COMMON + field("efficiency_per_k", -3, "relative change per K"), "efficiency_per_k is -3"),
        (COMMON + field("efficiency_per_k", -3, "percent per K"), "it must be in 'relative change per K'"),
        (COMMON + field("temperature_c", -300, "degrees Celsius"), "temperature_c is -300"),
        (COMMON + field("room_coupling", 2, "K per K"), "room_coupling is 2"),
        (COMMON + field("own_dead_time_ns", 10, "ns"), "give either dead_time_ns"),
        ("", "give either dead_time_ns"),
        (field("dead_time_ns", [1, 2, 3, 4], "ns"), "dead_time_ns takes one number"),
        (COMMON + 'hold_off = "own"', "field 'hold_off' is unknown"),
    ],
)
def test_a_mistake_in_an_optional_field_is_named(more: str, said: str) -> None:
    receiver_from_text(RECEIVER + COMMON, where="r")
    with pytest.raises(DatasheetError) as told:
        receiver_from_text(RECEIVER + more, where="r")
    assert "datasheet r" in str(told.value)
    assert said in str(told.value)


def test_a_common_hold_off_and_one_of_each_detector_become_what_detectors_remember() -> None:
    common = memory_from_sheet(receiver_from_text(RECEIVER + COMMON, where="r"), clock_hz=5e8)
    assert (common.dead_gates, common.is_simultaneous) == (500, True)
    own = field("own_dead_time_ns", [100, 200, 300, 400], "ns")
    memory = memory_from_sheet(receiver_from_text(RECEIVER + own, where="r"), clock_hz=5e8)
    assert (memory.dead_gates, memory.is_simultaneous) == ((50, 100, 150, 200), False)
    assert not load_receiver("ingaas-free-running").is_hold_off_common


def test_gates_that_differ_make_the_efficiencies_differ_in_time_down_to_their_floor() -> None:
    """Closed form, written anew: floor + (1 - floor) w / s exp(-(t - c)^2 / (2 s^2)), s^2 = w^2 + pulse^2."""
    text = COMMON + GATE + field("gate_centre_ps", [-100, 100, 0, 0], "ps") + field("out_of_gate", 0.01, "ratio")
    optics = optics_of(text)
    s = math.hypot(150, load_transmitter("decoy-1ghz").pulse_ps)

    def answer(time_ps: float, centre_ps: float) -> float:
        return 0.01 + 0.99 * 150 / s * math.exp(-((time_ps - centre_ps) ** 2) / (2 * s * s))

    for time_ps in (-400.0, -50.0, 0.0, 250.0):
        expected = [answer(time_ps, c) / answer(0.0, c) for c in (-100, 100, 0, 0)]
        assert efficiency_at(optics, time_ps) / optics.efficiency == pytest.approx(expected, rel=1e-12)
    far = efficiency_at(optics, 5000.0) / optics.efficiency
    assert far[2] == pytest.approx(0.01 / answer(0.0, 0.0), rel=1e-9), "only the floor is left"


def test_jitter_puts_as_many_tags_into_a_neighbours_gate_as_its_law_says() -> None:
    """300 ps in a gate of +-250 ps; the pulse's 20 ps on top. Twice the Gaussian tail: to gates on either side."""
    light = light_of(
        optics_of(COMMON + field("jitter_ps", 300, "ps"), clock_hz=2e9),
        memory_from_sheet(load_receiver("snspd"), clock_hz=2e9),
    )
    _, away = light_landing(light, wiring_from_layout(light.optics.layout))
    tail = math.erfc(250 / math.hypot(300, 20) / math.sqrt(2))
    assert away[0].sum(axis=1) == pytest.approx([tail] * 4, rel=1e-6)
    shipped = optics_from_sheets(
        load_transmitter("decoy-1ghz"), load_receiver("ingaas-gated"), loss_db=0.0, clock_hz=1e9
    )
    light = light_of(shipped, memory_from_sheet(load_receiver("ingaas-gated"), clock_hz=1e9))
    _, away = light_landing(light, wiring_from_layout(shipped.layout))
    assert np.abs(away).max() < 1e-20, "the shipped receiver's tags stay in their gates"


def test_what_a_datasheet_does_not_say_changes_nothing() -> None:
    sheet = receiver_from_text(RECEIVER + COMMON, where="r")
    optics = optics_of(COMMON)
    assert efficiency_at(optics, 300.0) == pytest.approx(optics.efficiency, rel=1e-12)
    assert (sheet.dark_doubling_k, sheet.efficiency_per_k, sheet.room_coupling) == (math.inf, 0.0, 0.0)
