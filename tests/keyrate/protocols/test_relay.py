"""Protocols with a relay half way: values in authorities/relay.toml, second derivations, what must always hold."""

import tomllib
from math import factorial
from pathlib import Path

import numpy as np
import pytest
from tests.keyrate.protocols import decimal_relay
from tests.keyrate.protocols.decimal_relay import cal_yield, d

from qanat.core.streams import Streams
from qanat.keyrate import mdi, mdi_four, mode_pairing, plob, tf_cal, tf_original, tf_pm, tf_sns
from qanat.keyrate.bessel import i0_less_1, i0_second_difference
from qanat.keyrate.library import protocol_named
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.photon_pairs import gain_of_test_light, yield_bounds, yields
from qanat.keyrate.protocols.mdi import BellChannel, single_pair_bounds
from qanat.keyrate.protocols.mode_pairing import pairing_rate
from qanat.keyrate.protocols.tf_sns import paired
from qanat.keyrate.relay import window_clicks
from qanat.keyrate.search import optimised

AUTHORITY = tomllib.loads((Path(__file__).parents[3] / "authorities" / "relay.toml").read_text())
EVERY = (mdi, mdi_four, tf_original, tf_cal, tf_sns, tf_pm, mode_pairing)
VARIANTS = (
    (mdi, {"decoys": "infinite"}),
    (mdi, {"decoys": "vacuum_weak"}),
    (mdi, {"decoys": "two", "omega": 0.01}),
    (mdi_four, {"nu": 0.02}),
    (tf_original, {}),
    (tf_cal, {"decoys": "infinite"}),
    (tf_cal, {"decoys": "two", "omega": 0.002}),
    (tf_sns, {"pairing": "none"}),
    (tf_sns, {"pairing": "active_odd_parity"}),
    (tf_pm, {}),
    (mode_pairing, {"pairing_rounds_max": 1e6}),
)
PHASES = np.arange(512) * 2 * np.pi / 512


def name_of(case):
    return case["protocol"] if isinstance(case, dict) else "-".join([case[0].name, *map(str, case[1].values())])


@pytest.mark.parametrize("case", AUTHORITY["fixed"], ids=name_of)
def test_rates_with_all_parameters_fixed(case):
    found = protocol_named(case["protocol"])(distance_km=case["distance_km"], **case["parameters"])
    assert found.rate_per_pulse == pytest.approx(case["rate"], rel=1e-6)


@pytest.mark.parametrize("case", AUTHORITY["best"], ids=name_of)
def test_rates_with_the_best_intensity(case):
    found = optimised(protocol_named(case["protocol"]), distance_km=case["distance_km"], **case["parameters"])
    assert found.rate_per_pulse == pytest.approx(case["rate"], rel=5e-3)


@pytest.mark.parametrize("case", AUTHORITY["crossing"], ids=name_of)
def test_where_the_repeaterless_bound_is_exceeded(case):
    lengths = np.arange(case["distance_km"] - 30.0, case["distance_km"] + 30.0, 0.5)
    found = optimised(protocol_named(case["protocol"]), distance_km=lengths, **case["parameters"])
    above = found.rate_per_pulse > plob(distance_km=lengths).rate_per_pulse
    assert not above[0]
    assert above[-1]
    assert lengths[above][0] == pytest.approx(case["distance_km"], abs=case["tolerance_km"])


@pytest.mark.parametrize("case", AUTHORITY["reach"], ids=name_of)
def test_last_length_with_key(case):
    step = min(case["tolerance_km"] / 4, 2.5)
    lengths = np.arange(case["distance_km"] - 20 * step, case["distance_km"] + 20 * step, step)
    found = optimised(protocol_named(case["protocol"]), distance_km=lengths, **case["parameters"])
    has_key = found.rate_per_pulse > 0
    assert has_key[0]
    assert not has_key[-1]
    assert lengths[has_key].max() == pytest.approx(case["distance_km"], abs=case["tolerance_km"])


def test_pairs_per_round():
    p, rounds_max, expected = np.transpose(AUTHORITY["pairs_per_round"]["rows"])
    assert pairing_rate(p, rounds_max) == pytest.approx(expected, rel=1e-6)


def test_two_decoys_of_mdi():
    case = AUTHORITY["mdi_bounds"]
    shared = {"distance_km": case["distance_km"], "mu": 0.5, "nu": 0.1}
    bounds, true = (mdi(decoys=decoys, **shared).terms for decoys in ("two", "infinite"))
    assert bounds["yield_single_pair"] == pytest.approx(case["yield_bound"], rel=1e-6)
    assert true["yield_single_pair"] == pytest.approx(case["yield_true"], rel=1e-6)
    assert bounds["error_single_pair"] == pytest.approx(case["error_bound"], abs=1e-5)
    assert true["error_single_pair"] == pytest.approx(case["error_true"], abs=1e-4)


# Closed forms against 50 digits.


@pytest.mark.parametrize("distance_km", [0.0, 37.0, 180.0, 350.0])
@pytest.mark.parametrize(
    ("protocol", "variant"),
    [
        (mdi, {"decoys": "infinite", "p_dark": 1e-9}),
        (mdi, {"decoys": "two", "omega": 0.003, "p_dark": 1e-9, "nu": 0.05}),
        (mdi, {"decoys": "vacuum_weak", "p_dark": 1e-9, "nu": 0.01}),
        (tf_original, {}),
        (tf_cal, {}),
        (tf_sns, {}),
        (tf_pm, {"p_dark": 1e-9}),
        (mode_pairing, {"pair_errors": "fixed", "pairing_rounds_max": 3000.0}),
    ],
    ids=lambda each: getattr(each, "name", None),
)
def test_closed_forms_to_nine_digits(protocol, variant, distance_km):
    found = protocol(distance_km=distance_km, **variant)
    second = getattr(decimal_relay, protocol.name.replace("-", "_"))
    expected = float(second({**found.params, "distance_km": distance_km}))
    assert found.terms["signed_rate_per_pulse"] == pytest.approx(expected, rel=1e-9)


def test_bessel_functions_to_fifteen_digits():
    for x in (1e-12, 1e-6, 0.03, 0.7, 3.0, 10.0, 60.0):
        exact = sum((d(x) ** 2 / 4) ** k / d(factorial(k)) ** 2 for k in range(1, 150))
        twice = sum((4**k - 4) * (d(x) ** 2 / 4) ** k / d(factorial(k)) ** 2 for k in range(2, 150))
        assert float(i0_less_1(np.array(x))) == pytest.approx(float(exact), rel=2e-15)
        assert float(i0_second_difference(np.array(x))) == pytest.approx(float(twice), rel=2e-15)


# Channels a second time, from the optics.


def clicks_of(intensity, p_dark):
    return 1 - (1 - p_dark) * np.exp(-intensity)


def only_two(click, first, second):
    chance = 1.0
    for which, p in click.items():
        chance = chance * (p if which in (first, second) else 1 - p)
    return chance


def bell_rates(eta, p_dark, a, b, basis):
    """Gain and errors of four detectors behind a beam splitter and two polarisers, phases averaged numerically."""
    states = {"Z": ((1, 0), (0, 1)), "X": ((0.5**0.5, 0.5**0.5), (0.5**0.5, -(0.5**0.5)))}[basis]
    gain = errors = 0.0
    for bit_a, left in enumerate(states):
        for bit_b, right in enumerate(states):
            click = {}
            for polarisation, (x, y) in enumerate(zip(left, right, strict=True)):
                one, other = x * np.sqrt(eta * a), y * np.sqrt(eta * b) * np.exp(1j * PHASES)
                click["1", polarisation] = clicks_of(abs(one + other) ** 2 / 2, p_dark)
                click["2", polarisation] = clicks_of(abs(one - other) ** 2 / 2, p_dark)
            plus = only_two(click, ("1", 0), ("1", 1)) + only_two(click, ("2", 0), ("2", 1))
            minus = only_two(click, ("1", 0), ("2", 1)) + only_two(click, ("1", 1), ("2", 0))
            plus, minus = plus.mean() / 4, minus.mean() / 4
            gain += plus + minus
            is_same = bit_a == bit_b
            if basis == "Z":
                errors += is_same * (plus + minus)
            else:  # psi+ means equal bits, psi- opposite ones
                errors += minus if is_same else plus
    return gain, errors


@pytest.mark.parametrize(("eta", "p_dark", "a", "b"), [(0.3, 1e-3, 0.5, 0.2), (1.0, 0.0, 0.8, 0.8), (0.05, 0.02, 1, 0)])
def test_bell_measurements_as_the_optics_gives_them(eta, p_dark, a, b):
    channel = BellChannel(*map(np.asarray, (eta, p_dark, 0.0)))
    a, b = np.asarray(float(a)), np.asarray(float(b))
    assert channel.key_basis(a, b) == pytest.approx(bell_rates(eta, p_dark, a, b, "Z"), rel=1e-10, abs=1e-14)
    assert channel.test_basis(a, b) == pytest.approx(bell_rates(eta, p_dark, a, b, "X"), rel=1e-10, abs=1e-14)


@pytest.mark.parametrize(("eta", "p_dark", "mu"), [(0.3, 1e-3, 0.5), (1.0, 0.0, 2.0), (0.02, 0.05, 0.1)])
def test_windows_as_the_optics_gives_them(eta, p_dark, mu):
    expected = []
    for a, b in ((mu, 0.0), (mu, mu), (0.0, 0.0)):
        one, other = np.sqrt(eta * a), np.sqrt(eta * b) * np.exp(1j * PHASES)
        first, second = (clicks_of(abs(one + sign * other) ** 2 / 2, p_dark) for sign in (1, -1))
        expected.append(np.mean(first * (1 - second) + second * (1 - first)))
    assert [float(each) for each in window_clicks(*map(np.asarray, (eta, p_dark, mu)))] == pytest.approx(expected)


def test_yields_of_photon_numbers_as_binomial_loss_gives_them():
    for eta, p_dark in ((0.4, 1e-3), (1.0, 0.0), (1e-6, 1e-9)):
        for (m, n), found in yields(np.asarray(eta), np.asarray(p_dark)).items():
            assert float(found) == pytest.approx(float(cal_yield(d(eta), d(p_dark), m, n)), rel=1e-12)


def test_test_light_is_the_poisson_mixture_of_photon_numbers():
    eta, p_dark, a, b = 0.3, 1e-4, 0.2, 0.35
    mixed = sum(
        np.exp(-a - b) * a**m * b**n / factorial(m) / factorial(n) * float(cal_yield(d(eta), d(p_dark), m, n))
        for m in range(14)
        for n in range(14)
    )
    assert float(gain_of_test_light(*map(np.asarray, (eta, p_dark, a, b)))) == pytest.approx(mixed, rel=1e-12)


# Bounds by decoys against whatever a hostile relay may do.


class HostileRelays:
    """Many relays, each with yields and errors of pairs of photon numbers as an adversary likes."""

    PHOTONS = 25

    def __init__(self, stream, count):
        shape = (count, self.PHOTONS, self.PHOTONS)
        total = np.add.outer(np.arange(self.PHOTONS), np.arange(self.PHOTONS))
        self.yields = stream.random(shape)
        style = np.arange(count) % 4
        self.yields[style == 0] = self.yields[style == 0] < 0.3  # all or nothing
        few = stream.integers(1, 5, (count, 1, 1))
        self.yields[style == 1] *= (total >= few)[style == 1]  # photon-number splitting: nothing from few photons
        self.yields[style == 2] *= 10.0 ** -stream.uniform(0, 6, shape)[style == 2]
        self.errors = stream.random(shape) * self.yields

    def gains(self, a, b):
        """Poisson mixtures, as pulses of intensities a and b show them."""
        weights = [np.stack([np.exp(-x) * x**n / factorial(n) for n in range(self.PHOTONS)], axis=-1) for x in (a, b)]
        return tuple(np.einsum("ki,kij,kj->k", weights[0], table, weights[1]) for table in (self.yields, self.errors))


def test_mdi_decoys_never_flatter_a_hostile_relay():
    stream = Streams(4).get("tests/mdi-decoys")
    for _ in range(5):
        key, test = HostileRelays(stream, 2000), HostileRelays(stream, 2000)
        test.yields[:, 1, 1] = true = key.yields[:, 1, 1]  # single photons do not show their basis
        test.errors[:, 1, 1] = wrong = stream.random(2000) * true
        omega, nu, mu = np.cumsum(stream.uniform(1e-3, 0.4, (3, 2000)), axis=0) - 1e-3 * stream.integers(2, size=2000)
        y11, e11 = single_pair_bounds(key.gains, test.gains, mu, nu, omega)
        assert np.all(y11 <= true * (1 + 1e-12))
        assert np.all(e11 >= np.minimum(wrong, true / 2) / np.where(true > 0, true, 1) * (1 - 1e-12))
        assert np.any(y11 > 0.3 * true)


def test_twin_field_decoys_never_flatter_a_hostile_relay():
    stream = Streams(4).get("tests/twin-field-decoys")
    for _ in range(5):
        relays = HostileRelays(stream, 2000)
        tests = tuple(np.cumsum(10.0 ** stream.uniform(-4, -0.5, (3, 2000)), axis=0))
        for (m, n), bound in yield_bounds(lambda a, b, relays=relays: relays.gains(a, b)[0], tests).items():
            assert np.all(bound >= relays.yields[:, m, n] * (1 - 1e-12)), (m, n)
            assert np.any(bound < 1), (m, n)


def test_decoys_close_together_lose_key_and_never_gain_it():
    apart = np.logspace(-12, -2, 60)
    exact = tf_cal(distance_km=200, decoys="infinite").terms["signed_rate_per_pulse"]
    near = tf_cal(distance_km=200, decoys="two", nu=0.01 + apart, omega=0.01, mu_test=0.01 + 2 * apart)
    assert np.all(near.terms["signed_rate_per_pulse"] < exact)
    exact = mdi(distance_km=50, decoys="infinite").terms["signed_rate_per_pulse"]
    assert np.all(mdi(distance_km=50, decoys="two", nu=0.1 + apart, omega=0.1).terms["signed_rate_per_pulse"] < exact)


def test_bounds_by_decoys_are_never_better_than_exact_yields_on_random_links():
    stream = Streams(4).get("tests/decoys-on-links")
    size = 5000
    shared = {
        "distance_km": stream.uniform(0, 400, size),
        "p_dark": 10 ** -stream.uniform(4, 11, size),
        "misalignment": stream.uniform(0, 0.1, size),
    }
    omega, nu, bright = np.cumsum(stream.uniform(1e-3, 0.2, (3, size)), axis=0)
    for protocol, light in ((mdi, "mu"), (tf_cal, "mu_test")):
        given = {**shared, light: bright}
        exact = protocol(decoys="infinite", **given).terms["signed_rate_per_pulse"]
        bound = protocol(decoys="two", nu=nu, omega=omega, **given).terms["signed_rate_per_pulse"]
        assert np.all(bound <= exact + 1e-15)


# Pairing.


def test_phase_errors_of_an_odd_parity_pair_are_those_of_both_bits():
    """Two states with no bit errors and phase error rate e, both ends' parities odd, one bit of each end kept."""
    for e in (0.0, 0.03, 0.2, 0.5):
        plus, minus = np.array([0, 1, 1, 0]) / 2**0.5, np.array([0, 1, -1, 0]) / 2**0.5
        state = (1 - e) * np.outer(plus, plus) + e * np.outer(minus, minus)
        two = np.kron(state, state).reshape([2] * 8)  # a1 b1 a2 b2, then the same of the bra
        kept = np.zeros((2, 2, 2, 2))
        for a, b, c, f in np.ndindex(2, 2, 2, 2):
            kept[a, b, c, f] = two[a, b, 1 - a, 1 - b, c, f, 1 - c, 1 - f]
        kept = kept.reshape(4, 4) / np.trace(kept.reshape(4, 4))
        bits = paired(*map(np.asarray, (0.02, 0.006, 0.004, 0.012, e)))
        assert minus @ kept @ minus == pytest.approx(float(bits.phase_error), abs=1e-12)


def test_pairing_counts_as_bits_paired_one_by_one():
    """A simulated run of 2e6 windows; each count within 6 standard deviations (false alarm below 1e-7)."""
    stream = Streams(4).get("tests/pairing")
    right, both, none, untagged = 0.02, 0.006, 0.004, 0.012
    windows = 2_000_000
    kinds = stream.choice(6, windows, p=[untagged, right - untagged, both, none, right, 1 - 2 * right - both - none])
    sent = stream.permutation(np.flatnonzero(np.isin(kinds, (0, 1, 2))))
    silent = np.flatnonzero(np.isin(kinds, (3, 4)))
    pairs = min(len(sent), len(silent))
    is_single = stream.random(pairs) < untagged / right
    first, second = kinds[sent[:pairs]], kinds[silent[:pairs]]
    survives = (first == 2) == (second == 3)
    wrong = (first == 2) & (second == 3)
    single = (first == 0) & (second == 4) & is_single
    bits = paired(*map(np.asarray, (right, both, none, untagged, 0.03)))
    for counted, expected in (
        (survives.sum(), bits.count),
        (wrong.sum(), bits.count * bits.qber),
        (single.sum(), bits.untagged),
    ):
        expected = float(expected) * windows
        assert abs(counted - expected) < 6 * np.sqrt(expected)


def test_pairing_gives_more_key_and_reaches_further():
    lengths = np.array([100.0, 300.0, 600.0])
    plain, better = (optimised(tf_sns, distance_km=lengths, pairing=how) for how in tf_sns_pairings())
    assert np.all(better.rate_per_pulse > 1.5 * plain.rate_per_pulse)
    assert optimised(tf_sns, distance_km=600, misalignment=0.35, pairing="active_odd_parity").rate_per_pulse > 0
    assert optimised(tf_sns, distance_km=600, misalignment=0.35).rate_per_pulse == 0


def tf_sns_pairings():
    return next(each for each in tf_sns.parameters if each.name == "pairing").quantity.choices


# What must always hold.


def random_links(stream, size, protocol, variant):
    given = {
        "distance_km": stream.uniform(0, 500, size) * (stream.random(size) > 0.05),
        "detector_efficiency": stream.uniform(0.05, 1.0, size),
        "p_dark": 10 ** -stream.uniform(3, 12, size),
        "misalignment": stream.uniform(0, 0.2, size),
        "f_ec": stream.uniform(1.0, 1.3, size),
    }
    if protocol is mdi and variant["decoys"] != "infinite":
        given |= {"mu": stream.uniform(0.2, 1.0, size), "nu": stream.uniform(0.02, 0.19, size)}
    else:
        given["mu"] = 10 ** stream.uniform(-3, 0.3, size)
    if protocol in (tf_sns, mode_pairing):
        given["p_send"] = stream.uniform(0.005, 0.9, size)
    return {**given, **variant}


@pytest.mark.parametrize("case", VARIANTS, ids=name_of)
def test_nothing_exceeds_its_bound(case):
    protocol, variant = case
    links = random_links(Streams(4).get(f"tests/bound/{name_of(case)}"), 20_000, protocol, variant)
    rate = protocol(**links)
    best = plob(distance_km=links["distance_km"])
    term = {"plob": "plob_bits_per_use", "single-repeater": "single_repeater_bits_per_use"}[protocol.bound]
    assert np.all(rate.rate_per_pulse <= best.terms[term])
    assert np.any(rate.rate_per_pulse > 0)
    assert np.all(np.isfinite(rate.qber))
    assert np.all((rate.qber >= 0) & (rate.qber <= 0.5))


@pytest.mark.parametrize("case", VARIANTS, ids=name_of)
@pytest.mark.parametrize("worse", ["distance_km", "p_dark", "p_noise", "misalignment", "f_ec"])
def test_worse_links_never_give_more_key(case, worse):
    protocol, variant = case
    stream = Streams(4).get(f"tests/monotone/{name_of(case)}/{worse}")
    links = random_links(stream, 5000, protocol, variant)
    if worse == "distance_km":
        worsened = links | {worse: links[worse] + 10 ** stream.uniform(-2, 2, 5000)}
    elif worse == "p_noise":
        worsened = links | {worse: 10 ** -stream.uniform(3, 12, 5000)}
    else:
        worsened = links | {
            worse: np.minimum(links[worse] * stream.uniform(1.001, 3, 5000), 0.5 if worse != "f_ec" else 9)
        }
    before, after = protocol(**links).rate_per_pulse, protocol(**worsened).rate_per_pulse
    assert np.all(after <= before * (1 + 1e-9))


@pytest.mark.parametrize("case", VARIANTS, ids=name_of)
def test_no_key_beyond_the_threshold(case):
    """Half of the bits wrong, or only noise: nothing that an optimiser may choose makes key."""
    protocol, variant = case
    assert optimised(protocol, distance_km=[0, 50], misalignment=0.5, **variant).rate_per_pulse.max() == 0
    assert optimised(protocol, distance_km=[0, 50], p_dark=0.4, **variant).rate_per_pulse.max() == 0
    assert optimised(protocol, distance_km=[2000, 20000], **variant).rate_per_pulse.max() == 0


@pytest.mark.parametrize("protocol", EVERY, ids=lambda each: each.name)
def test_conventions_of_papers_are_parameters(protocol):
    each = protocol(distance_km=30, p_dark=1e-4)
    pair = protocol(distance_km=30, p_dark=1 - (1 - 1e-4) ** 2, dark_counts="per_pulse")
    assert pair.terms["signed_rate_per_pulse"] == pytest.approx(each.terms["signed_rate_per_pulse"], rel=1e-9)
    by_loss = protocol(loss_db=6.0, p_dark=1e-4)
    assert by_loss.terms["signed_rate_per_pulse"] == pytest.approx(each.terms["signed_rate_per_pulse"], rel=1e-12)


@pytest.mark.parametrize("protocol", [tf_original, tf_pm], ids=lambda each: each.name)
def test_intensity_of_one_end_or_of_both(protocol):
    one, both = protocol(distance_km=50, mu=0.1, mu_of="each_end"), protocol(distance_km=50, mu=0.2, mu_of="both_ends")
    assert one.rate_per_pulse == both.rate_per_pulse
    assert one.rate_per_pulse > 0


def test_noise_clicks_add_phase_errors_to_single_photon_pairs():
    fixed, honest = (
        mode_pairing(distance_km=400, pair_errors=how, pairing_rounds_max=1e6) for how in ("fixed", "with_noise")
    )
    name = "phase_error_single_photon_pairs"
    assert honest.terms[name] > fixed.terms[name] == pytest.approx(0.04)
    assert honest.rate_per_pulse < fixed.rate_per_pulse


@pytest.mark.parametrize("case", VARIANTS, ids=name_of)
def test_the_best_intensity_is_that_of_a_dense_grid(case):
    protocol, variant = case
    lengths = np.array([0.0, 60.0, 180.0])
    found = optimised(protocol, over=["mu"], distance_km=lengths, **variant).rate_per_pulse
    low, high = next(each for each in protocol.tunable if each.name == "mu").search
    if protocol is mdi and variant["decoys"] != "infinite":
        low = 0.101  # above nu
    grid = np.linspace(low, high, 2000)[:, None]
    dense = protocol(distance_km=lengths, mu=grid, **variant).rate_per_pulse.max(axis=0)
    assert np.all(found >= dense * (1 - 1e-6))


@pytest.mark.parametrize(
    ("protocol", "given", "named"),
    [
        (mdi, {"nu": 0.6}, "mu must be brighter"),
        (mdi, {"decoys": "two", "omega": 0.2}, "nu must be brighter"),
        (mdi, {"decoys": "one"}, "decoys"),
        (mdi, {"detector_efficiency": 1.1}, "detector_efficiency"),
        (tf_original, {"slices": 1}, "slices"),
        (tf_original, {"duty_factor": 0}, "duty_factor"),
        (tf_cal, {"decoys": "two", "mu_test": 0.01}, "mu_test must be brighter"),
        (tf_cal, {"misalignment": 0.6}, "misalignment"),
        (tf_sns, {"p_send": 1.0}, "p_send"),
        (tf_sns, {"pairing": "some"}, "pairing"),
        (tf_pm, {"mu": -0.1}, "mu"),
        (mode_pairing, {"pairing_rounds_max": 0}, "pairing_rounds_max"),
        (mode_pairing, {"p_dark": float("nan")}, "p_dark"),
    ],
)
def test_impossible_parameters_are_named(protocol, given, named):
    with pytest.raises(ParameterError, match=named):
        protocol(**given)


def test_original_twin_field_says_that_it_is_not_proven():
    assert any("NOT PROVEN" in each for each in tf_original().assumptions)


def test_infinitely_many_decoys_are_an_assumption_where_they_are_one():
    for protocol in (mdi, tf_cal):
        exact, few = (protocol(decoys=decoys).assumptions for decoys in ("infinite", "two"))
        assert any("infinitely many" in each for each in exact)
        assert not any("infinitely many" in each for each in few)
