"""What every rate function must obey, by random search; whatever protocol is listed is searched."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.keyrate.library import FILES, protocol_named
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.protocol import Protocol, Values

COUNT = 2000
RANGES = {  # where links live; what is not here stays at its default
    "distance_km": (0.0, 400.0),
    "attenuation_db_per_km": (0.15, 0.4),
    "detector_efficiency": (0.05, 1.0),
    "p_dark": (-9.0, -4.0),  # logarithms of base 10
    "misalignment": (0.0, 0.2),
    "f_ec": (1.0, 1.3),
    "mu": (0.02, 1.0),
    "nu": (0.005, 0.3),
    "n_x": (4.0, 12.0),
    "n_sent": (8.0, 15.0),
}
LOGARITHMIC = {"p_dark", "n_x", "n_sent"}
# More of it never gives more key; of a ratio: less of it.
WORSE = (
    *("distance_km", "p_dark", "p_noise", "misalignment", "f_ec", "xi"),
    *("mu_trojan", "intensity_spread", "intensity_rise", "efficiency_ratio", "correlation_spread"),
)
STEPS = {
    "distance_km": 1.0,
    "xi": 1e-3,
    "intensity_spread": 0.01,
    "intensity_rise": 0.01,
    "correlation_spread": 1e-3,
    "efficiency_ratio": -0.4,
}
ASYMPTOTIC = {"mu_trojan", "correlation_spread"}  # refused with a block size
TOLERANCE = 1e-9
WITHOUT_PROOF = {"cow"}  # its rate is 0 everywhere, and says why


def drawn(protocol: Protocol, seed: int) -> dict[str, np.ndarray]:
    """Random parameters that do not contradict each other."""
    stream = np.random.default_rng(seed)
    names = {each.name for each in protocol.parameters} & set(RANGES)
    if {"n_x", "n_sent"} <= names:  # one of them says how large a block is
        names -= {("n_x", "n_sent")[seed % 2]}
    values = {}
    for name in sorted(names):
        low, high = RANGES[name]
        found = stream.uniform(low, high, COUNT)
        values[name] = 10**found if name in LOGARITHMIC else found
    allowed = are_allowed(protocol, values)
    return {name: value[allowed] for name, value in values.items()}


def are_allowed(protocol: Protocol, values: dict[str, np.ndarray]) -> np.ndarray:
    """Where they do not contradict each other."""
    defaults = {each.name: each.default for each in protocol.parameters}
    checked = Values({**{k: np.asarray(v) if isinstance(v, float | int) else v for k, v in defaults.items()}, **values})
    is_sound = np.ones(len(next(iter(values.values()))), dtype=bool)
    for constraint in protocol.constraints:
        is_sound &= constraint.holds(checked)
    return is_sound


@pytest.fixture(params=list(FILES))
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return protocol_named(request.param)


@pytest.mark.parametrize("seed", [1, 2])
def test_rates_are_numbers_at_least_zero_and_below_the_bound(protocol: Protocol, seed: int) -> None:
    values = drawn(protocol, seed)
    rate = protocol(**values)
    for found in (rate.rate_per_pulse, rate.qber, *rate.terms.values(), *rate.epsilon.values()):
        assert np.isfinite(found).all()
    assert (rate.rate_per_pulse >= 0).all()
    assert ((rate.qber >= 0) & (rate.qber <= 1)).all()
    if protocol.bound is not None and "distance_km" in values:
        channel = {name: values[name] for name in ("distance_km", "attenuation_db_per_km") if name in values}
        terms = protocol_named("plob")(**channel).terms
        limit = terms["plob_bits_per_use" if protocol.bound == "plob" else "single_repeater_bits_per_use"]
        assert (rate.rate_per_pulse <= limit * (1 + TOLERANCE)).all()


def having(*names: str) -> list[tuple[str, str]]:
    """Protocols with each of these parameters; the bounds are none."""
    return [
        (file, name)
        for file in FILES
        for name in names
        if file != "plob" and name in {each.name for each in protocol_named(file).parameters}
    ]


@pytest.mark.parametrize(("file", "name"), having(*WORSE))
def test_more_loss_noise_or_misalignment_never_gives_more_key(file: str, name: str) -> None:
    protocol = protocol_named(file)
    values = drawn(protocol, 3)
    parameter = next(each for each in protocol.parameters if each.name == name)
    if name in ASYMPTOTIC:
        values = {each: value for each, value in values.items() if each not in ("n_x", "n_sent")}
    start = 1.0 if name == "efficiency_ratio" else 0.0
    before = values.get(name, np.full(len(next(iter(values.values()))), start))
    more = np.minimum(before * 1.3 + STEPS.get(name, 1e-7), parameter.quantity.high)
    allowed = are_allowed(protocol, {**values, name: more})
    values, before, more = {each: value[allowed] for each, value in values.items()}, before[allowed], more[allowed]
    better, worse = (protocol(**{**values, name: each}).rate_per_pulse for each in (before, more))
    assert (worse <= better * (1 + TOLERANCE) + 1e-15).all()
    assert (better > 0).any() or file in WITHOUT_PROOF


def test_every_bad_number_is_refused_by_name_and_range(protocol: Protocol) -> None:
    for parameter in protocol.parameters:
        quantity = parameter.quantity
        wrong = ["no such"] if quantity.choices else [np.nan, np.inf, -1.0]
        wrong += [] if quantity.choices or quantity.high == np.inf else [quantity.high * 2 + 1]
        for value in wrong:
            if not quantity.choices and quantity.low <= value <= quantity.high and np.isfinite(value):
                continue
            with pytest.raises(ParameterError, match=parameter.name) as error:
                protocol(**{parameter.name: value})
            assert quantity.range_text in str(error.value)


@pytest.mark.parametrize(("file", "name"), having("epsilon_sec"))
def test_parts_of_epsilon_add_up_to_what_was_asked(file: str, name: str) -> None:
    protocol = protocol_named(file)
    names = {each.name: each for each in protocol.parameters}
    size = {"n_x": 1e7} if "n_x" in names else {"n_sent": 1e11}
    rate = protocol(epsilon_sec=1e-9, **({"epsilon_cor": 1e-14} if "epsilon_cor" in names else {}), **size)
    total = 1e-9 + (1e-14 if "epsilon_cor" in names else 0.0)
    assert float(sum(rate.epsilon.values())) == pytest.approx(total, rel=1e-12)


def test_what_is_left_out_is_the_default_and_nobody_can_change_it(protocol: Protocol) -> None:
    first, second = protocol(), protocol()
    for each in protocol.parameters:
        value = first.params[each.name]
        if isinstance(value, np.ndarray):
            assert not value.flags.writeable
            assert value == each.default
        else:
            assert value == each.default
    assert first.as_dict() == second.as_dict()


@pytest.mark.parametrize("number", [50, 50.0, np.float64(50.0), np.array(50.0), [50.0], np.float32(50.0)])
def test_numbers_of_any_kind_give_the_same_rate(number: object) -> None:
    protocol = protocol_named("decoy-bb84")
    rate = protocol(distance_km=number).rate_per_pulse
    assert np.ravel(rate)[0] == protocol(distance_km=50.0).rate_per_pulse
    assert np.shape(rate) == np.shape(number)


@pytest.mark.parametrize("nothing", ["mu", "distance_km"])
def test_none_for_what_is_needed_is_named_as_missing(nothing: str) -> None:
    with pytest.raises(ParameterError, match=f"{nothing} is missing"):
        protocol_named("decoy-bb84")(**{nothing: None})
