"""Families in datasheets: what a module must say, and which modules do not fit each other."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest

from qanat.physics.datasheet import load_receiver, load_transmitter, receiver_from_text, transmitter_from_text
from qanat.physics.errors import DatasheetError
from qanat.physics.families.sheets import misfit
from qanat.physics.memory import memory_from_sheet
from qanat.physics.optics import optics_from_sheets
from qanat.physics.pairs import end_from_sheet


def text_of(stem):
    return resources.files("qanat.physics.datasheets").joinpath(f"{stem}.toml").read_text("utf-8")


def test_a_sheet_without_a_family_is_of_polarisation_with_four_states() -> None:
    transmitter = load_transmitter("decoy-1ghz")
    assert (transmitter.family, transmitter.p_zero, transmitter.is_three_state) == ("polarisation", (0.5, 0.5), False)
    assert load_receiver("snspd").family == "polarisation"


def test_the_shipped_time_bin_modules_differ_in_their_test_states() -> None:
    three, four = load_transmitter("time-bin-3state"), load_transmitter("time-bin-4state")
    assert three.is_three_state
    assert not four.is_three_state
    assert three.family == four.family == load_receiver("time-bin-snspd").family == "time-bin"
    for sheet in (three, four):
        assert misfit(sheet, load_receiver("time-bin-snspd"), clock_hz=2.5e9) is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('family = "time-bin"', 'family = "time-bins"', "did you mean 'time-bin'"),
        ('family = "time-bin"', "family = 3", "family '3' is unknown"),
        ('family = "time-bin"', "", "bin_ps belongs to the family 'time-bin'"),
        ("[bin_ps]\nvalue = 200", "[bin_ps]\nvalue = 0", "bin_ps is 0"),
        ("value = [0.5, 1.0]", "value = [0.5, 0.9]", "No proof here covers other choices"),
        ("value = [0.5, 1.0]", "value = [0.6, 1.0]", "No proof here covers other choices"),
        ("value = [0.5, 1.0]", "value = 1.0", "No proof here covers other choices"),
    ],
)
def test_a_transmitter_of_no_family_is_refused_in_words(before, after, said) -> None:
    text = text_of("transmitter-time-bin-3state")
    transmitter_from_text(text, where="t")
    assert before in text
    with pytest.raises(DatasheetError, match=said):
        transmitter_from_text(text.replace(before, after), where="t")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('family = "time-bin"', "", "belongs to the family 'time-bin'"),
        ("value = 0.98", "value = 1.2", "visibility is 1.2"),
        ("value = 0.80", "value = [0.8, 0.7, 0.8, 0.8]", "efficiency differs in X0 and X1"),
        ('unit = "ps"', 'unit = "ns"', "must be in 'ps'"),
    ],
)
def test_a_time_bin_receiver_that_cannot_be_is_refused_in_words(before, after, said) -> None:
    text = text_of("receiver-time-bin-snspd")
    receiver_from_text(text, where="r")
    assert before in text
    with pytest.raises(DatasheetError, match=said):
        receiver_from_text(text.replace(before, after), where="r")


def test_modules_that_do_not_fit_are_named_with_the_reason() -> None:
    transmitter, receiver = load_transmitter("time-bin-3state"), load_receiver("time-bin-snspd")
    for args, clock_hz, said in (
        ((transmitter, load_receiver("snspd")), 1e9, "sends time-bin light, receiver 'snspd' tells polarisation"),
        ((load_transmitter("decoy-1ghz"), receiver), 1e9, "sends polarisation light"),
        ((replace(transmitter, bin_ps=150.0), receiver), 1e9, "150 ps apart"),
        ((transmitter, receiver), 2.6e9, r"do not fit a clock slot at 2.6e\+09 Hz; at most 2.5e\+09"),
    ):
        assert misfit(*args, clock_hz=clock_hz) is not None
        with pytest.raises(DatasheetError, match=said):
            optics_from_sheets(*args, loss_db=1.0, clock_hz=clock_hz)
    assert "drift is not modelled" in str(misfit(transmitter, receiver, clock_hz=1e9, has_weather=True))


def test_pairs_do_not_take_a_time_bin_receiver_for_one_of_polarisation() -> None:
    assert end_from_sheet(load_receiver("snspd"), loss_db=1.0, clock_hz=1e9).p_x == load_receiver("snspd").p_x
    with pytest.raises(DatasheetError, match="tells time-bin light"):
        end_from_sheet(load_receiver("time-bin-snspd"), loss_db=1.0, clock_hz=1e9)


def test_every_dark_count_of_a_gate_falls_into_some_slot() -> None:
    """Two bins fill a gate at 2.5 GHz; at a slower clock the time between slots has no channel."""
    receiver = load_receiver("time-bin-snspd")
    for clock_hz, share in ((2.5e9, 1.0), (1.25e9, 0.75)):
        optics = optics_from_sheets(load_transmitter("time-bin-3state"), receiver, loss_db=1.0, clock_hz=clock_hz)
        port = sum(optics.p_dark[2:5])
        assert port == pytest.approx(share * receiver.p_dark(clock_hz)[2], rel=1e-4)


def test_each_of_three_detectors_keeps_its_own_numbers() -> None:
    receiver = replace(
        load_receiver("time-bin-snspd"),
        dead_time_ns=(100.0, 100.0, 200.0, 300.0),
        is_hold_off_common=False,
        jitter_ps=(10.0, 10.0, 20.0, 30.0),
    )
    assert memory_from_sheet(receiver, clock_hz=1e9).dead_gates == (100, 200, 300)
    optics = optics_from_sheets(load_transmitter("time-bin-3state"), receiver, loss_db=1.0, clock_hz=1e9)
    assert optics.timing.jitter_ps == (10.0, 20.0, 30.0)
    assert len(optics.efficiency) == len(optics.p_dark) == 8
