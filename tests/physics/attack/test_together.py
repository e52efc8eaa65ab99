"""Several attacks at once, and any attack at all: a law stays a law, and nobody edits a count."""

from __future__ import annotations

import ast
import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.physics import attack as attack_room
from qanat.physics.attack import (
    ATTACK_NAMES,
    AfterGate,
    Blinding,
    Cut,
    InterceptResend,
    LightAttack,
    PhotonNumberSplitting,
    Tap,
    TimeShift,
    attack_from_name,
    check_together,
    name_from_attack,
    parameters_of,
)
from qanat.physics.datasheet import load_receiver, load_transmitter
from qanat.physics.errors import AttackError
from qanat.physics.instruments import Instruments
from qanat.physics.memory import DetectorMemory
from qanat.physics.optics import Optics, branches_of, gate_law, optics_from_sheets
from qanat.physics.photons import PhotonLaw
from qanat.physics.timing import Timing

LINK = optics_from_sheets(load_transmitter("decoy-1ghz"), load_receiver("snspd"), loss_db=10.0, clock_hz=1e9)


@st.composite
def attacks(draw) -> LightAttack:
    name = draw(st.sampled_from(ATTACK_NAMES))
    values = {}
    for field in parameters_of(name).values():
        facts = field.metadata
        if "options" in facts:
            values[field.name] = draw(st.sampled_from(facts["options"]))
        elif isinstance(field.default, int):
            values[field.name] = draw(st.integers(int(facts["low"]), 10**6))
        else:
            values[field.name] = draw(st.floats(facts["low"], facts["high"]) | st.just(field.default))
    if name == "pulsed-blinding":
        values["length_gates"] = min(values["length_gates"], values["period_gates"])
    return attack_from_name(name, **values)


@st.composite
def links(draw) -> Optics:
    p = st.floats(0, 1)
    timing = Timing(
        gate_centre_ps=tuple(draw(st.floats(-300, 300)) for _ in range(4)),
        gate_width_ps=draw(st.floats(20, 500) | st.just(math.inf)),
    )
    return replace(
        LINK,
        transmittance=draw(p),
        efficiency=tuple(draw(p) for _ in range(4)),
        p_dark=tuple(draw(st.floats(0, 0.5)) for _ in range(4)),
        p_x=draw(p),
        misalignment=draw(p),
        photon_law=draw(st.sampled_from(PhotonLaw)),
        fluctuation=draw(st.sampled_from([0.0, 0.05])),
        rotation_rad=draw(st.floats(-3, 3)),
        preparation_error_rad=tuple(draw(st.floats(-0.2, 0.2)) for _ in range(4)),
        background_hz=draw(st.floats(0, 1e9)),
        timing=timing,
    )


@settings(max_examples=150, deadline=None)
@given(optics=links(), together=st.lists(attacks(), max_size=3))
def test_whatever_eve_does_probabilities_are_probabilities(optics, together) -> None:
    branches = branches_of(optics, together)
    assert sum(branch.p for branch in branches) == pytest.approx(1, abs=1e-9)
    for branch in branches:
        for table in (branch.states, branch.shares, branch.efficiency, branch.p_dark):
            assert table.min() >= 0
            assert table.max() <= 1 + 1e-12
        assert branch.states.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-9)
        # Light may be lost between the channels, never be made there; states halfway between mislabelled ones may
        # reach 1 + the errors' second order.
        assert branch.shares.sum(axis=1).max() <= 1 + 1e-9
        assert 0 <= branch.transmittance <= 1
        if branch.photons is not None:
            assert branch.photons.min() >= 0
            assert branch.photons.sum(axis=1) == pytest.approx(np.ones(len(branch.light)), abs=1e-9)
    assert len({branch.states.shape[1] for branch in branches}) == 1
    law = gate_law(optics, together)
    for table in (law.p_given, law.p_pattern):
        assert table.min() >= 0
        assert table.max() <= 1 + 1e-12
        assert table.sum(axis=-1) == pytest.approx(np.ones(table.shape[:-1]), abs=1e-9)
    assert np.isfinite(law.p_hidden_given).all()
    memory, meters = DetectorMemory(dead_gates=3, p_trap=(0.4, (0.2,) * 4), p_release=(0.1, 0.2)), Instruments()
    for attack in together:
        memory, meters = attack.on_memory(memory), attack.on_instruments(meters, optics)
        known = attack.eve_information(optics)
        assert known is None or 0 <= known <= 1 + 1e-9
    assert 0 <= memory.p_trap_of(4).min() <= memory.p_trap_of(4).max() <= 1
    assert min(meters.extra_bias_current_na) >= 0


@settings(max_examples=60, deadline=None)
@given(together=st.permutations([Blinding(0.3), Tap(0.5), InterceptResend(0.5), PhotonNumberSplitting(0.4)]))
def test_attacks_of_different_places_commute_in_the_list(together) -> None:
    by_place = sorted(together, key=lambda attack: attack.place)
    assert gate_law(LINK, together).p_pattern == pytest.approx(gate_law(LINK, by_place).p_pattern, abs=1e-15)


def test_two_at_once_leave_both_signatures_and_both_names(fibre_100_km, read) -> None:
    law = read.law(fibre_100_km, [Tap(0.5), InterceptResend(0.4)])
    honest = read.law(fibre_100_km)
    assert read.gains(law)[0] == pytest.approx((read.gains(honest)[0] + 1.205e-6) / 2, rel=1e-3)
    assert read.qber(law, 0) == pytest.approx(0.01 + 0.1 * 0.98, abs=3e-3)
    shares = {branch.label: 0.0 for branch in law.branches}
    for branch in law.branches:
        shares[branch.label] += branch.p
    assert shares == pytest.approx({"tap": 0.6, "tap+intercept-resend": 0.4})


def test_the_same_attack_twice_is_one_name() -> None:
    assert {branch.label for branch in branches_of(LINK, [Tap(0.5), Tap(0.5)])} == {"tap"}


def test_every_attack_is_named_described_and_refuses_what_cannot_be() -> None:
    assert len(ATTACK_NAMES) == 13
    for entry in attack_room.attack_table():
        name = entry["name"]
        assert name_from_attack(attack_from_name(name)) == name
        assert entry["what"].endswith((".", ";", ":"))
        assert len(entry["signature"]) > 20
        for number in entry["parameters"]:
            assert number["help"]
            for wrong in (-1e300, math.inf, math.nan, "much", True, [], {}):
                with pytest.raises(AttackError):
                    attack_from_name(name, **{number["name"]: wrong})


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("blindin", {}, "did you mean 'blinding'"),
        ("intercept-resend", {"basis": "breitbart"}, "did you mean 'breidbart'"),
        ("pulsed-blinding", {"length_gates": 10.5}, "whole number"),
        ("laser-seeding", {"factor": 0.5}, "between 1 and 10"),
        ("time-shift", {"shift": 100.0}, "it takes shift_ps, fraction, early"),
        ("tap", {"transmittance": "half"}, "must be a number"),
    ],
)
def test_what_is_wrong_is_said(name, values, said) -> None:
    with pytest.raises(AttackError, match=said):
        attack_from_name(name, **values)


def test_too_many_at_once_are_refused() -> None:
    check_together([Cut()] * 5)
    with pytest.raises(AttackError, match="at most 5"):
        check_together([Cut()] * 6)


def test_no_attack_knows_of_counts_reports_or_samplers() -> None:
    """Eve acts on light, detectors and meters; the files that describe her import nothing that counts."""
    allowed = {
        f"qanat.physics.{name}"
        for name in ("branch", "errors", "instruments", "layout", "memory", "optics", "photons", "timing")
    }
    seen = 0
    for module in vars(attack_room).values():
        if not inspect.ismodule(module):
            continue
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("qanat."):
                seen += 1
                assert node.module in allowed or node.module.startswith("qanat.physics.attack"), module.__name__
    assert seen > 30


def test_a_shift_and_bright_pulses_after_the_gate_arrive_when_the_last_of_them_says() -> None:
    timed = replace(LINK, timing=Timing(gate_centre_ps=(-50.0, 50.0) * 2, gate_width_ps=200.0))
    assert {b.offset_ps for b in branches_of(timed, [AfterGate(offset_ps=300.0), TimeShift(100.0)])} == {300.0}
    assert {b.offset_ps for b in branches_of(timed, [TimeShift(100.0), TimeShift(50.0)])} == {
        -150.0,
        -50.0,
        50.0,
        150.0,
    }
