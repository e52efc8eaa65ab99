"""Finite keys of MDI, three and four intensities: against random relays whose photon numbers are known, against exact
tails, and what every finite key must obey."""

from math import factorial

import numpy as np
import pytest
from scipy.stats import binom

from qanat.core.streams import Streams
from qanat.keyrate import mdi, mdi_four
from qanat.keyrate.deviations import mean_limits
from qanat.keyrate.labels import least_seen, most_beside
from qanat.keyrate.mdi_finite import FINITE, Seen, Sent, budget_of, prove
from qanat.keyrate.pair_counts import HIGH, LOW, PairCounts, PairLight, joint_limit
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.protocol import Values
from qanat.keyrate.search import optimised

PHOTONS = 7
EVENTS_FOUR, EVENTS_THREE = 9, 14  # in counts: 5 and 3, once more 5 with decoys in both bases, and 1
EVERY = ((mdi, {"decoys": "two", "omega": 0.003, "nu": 0.05}), (mdi, {"decoys": "vacuum_weak"}), (mdi_four, {}))
NAMES = ("mdi-two", "mdi-vacuum_weak", "mdi-four")


# Relays that may do anything which the photon numbers allow; every label is drawn afterwards.


def settings_of(rng, count, is_four):
    """Per adversary: mean photon numbers and probabilities of one end's settings: the signal, X, and Z's decoys."""
    omega = rng.choice([0.0, 0.01], count) * (not is_four)
    nu = omega + rng.uniform(0.02, 0.3, count)
    bright = nu + rng.uniform(0.05, 0.6, count)
    if is_four:
        p = rng.dirichlet([4, 1.5, 3, 2], count).T * 0.92 + 0.02
        return np.stack([rng.uniform(0.1, 0.9, count), bright, nu, omega]), p
    p_key, p = rng.uniform(0.2, 0.8, count), rng.dirichlet([4, 3, 2], count).T * 0.94 + 0.02
    each = np.stack([bright, nu, omega])
    order = [0, 0, 1, 2, 1, 2]  # the signal in Z; mu, nu, omega in X; nu, omega in Z
    share = np.array([True, False, False, False, True, True])[:, None]
    return each[order], p[order] * np.where(share, p_key, 1 - p_key)


def relay_yields(rng, count):
    """A lossy relay; one that splits photon numbers; one that makes light of its own; anything at all."""
    total = np.add.outer(np.arange(PHOTONS), np.arange(PHOTONS))
    shape = (count, PHOTONS, PHOTONS)
    eta = 10 ** rng.uniform(-2, 0, (count, 1, 1))
    lossy = np.minimum(1, (1 - (1 - eta) ** np.arange(PHOTONS)[:, None]) * (1 - (1 - eta) ** np.arange(PHOTONS)) + 1e-5)
    split = np.where(total >= rng.integers(1, 5, (count, 1, 1)), 10 ** rng.uniform(-2, 0, (count, 1, 1)), 1e-6)
    own = np.broadcast_to(10 ** rng.uniform(-3, 0, (count, 1, 1)), shape)
    kinds = np.stack([lossy, split, own, rng.random(shape) < 0.3, 10 ** rng.uniform(-4, 0, shape)])
    return kinds[rng.integers(len(kinds), size=count), np.arange(count)]


def labelled(rng, happened, intensities, p, chosen):
    """Events by photon numbers, given labels of the chosen settings of both ends: (adversary, setting, setting)."""
    n = np.arange(PHOTONS)[:, None, None]
    law = (p * np.exp(-intensities) * intensities**n / np.array([factorial(k) for k in range(PHOTONS)])[:, None, None])[
        :, chosen
    ]  # photons, settings, adversaries
    law = np.moveaxis(law, 2, 0) / np.moveaxis(law, 2, 0).sum(axis=2, keepdims=True).clip(1e-300)
    both = np.einsum("knr,kms->knmrs", law, law)
    flat = both.reshape(*both.shape[:3], -1)
    drawn = rng.multinomial(happened, flat / flat.sum(axis=-1, keepdims=True).clip(1e-300)).sum(axis=(1, 2))
    return drawn.reshape(len(drawn), len(chosen), len(chosen))


def groups(table, settings):
    """Counts of mu, nu and omega as the bounds take them."""
    mu, nu, omega = settings
    return PairCounts(
        mu_mu=table[:, mu, mu].astype(float),
        mu_omega=(table[:, mu, omega] + table[:, omega, mu]).astype(float),
        nu_nu=table[:, nu, nu].astype(float),
        nu_omega=(table[:, nu, omega] + table[:, omega, nu]).astype(float),
        omega_omega=table[:, omega, omega].astype(float),
    )


def light_of(intensities, p, settings):
    mu, nu, omega = settings
    return PairLight(mu=intensities[mu], nu=intensities[nu], omega=intensities[omega],
                     p_mu=p[mu], p_nu=p[nu], p_omega=p[omega])  # fmt: skip


def played(seed, count, is_four):
    """What was sent, what was seen, and the truth: pairs of single photons in the key, and their phase errors."""
    rng = Streams(seed=seed).get(f"relays/{is_four}")
    intensities, p = settings_of(rng, count, is_four)
    every, test, key = list(range(len(p))), [1, 2, 3], [0] if is_four else [0, 4, 5]
    rounds = 10 ** rng.uniform(5, 11, count)[:, None, None]
    photons = np.arange(PHOTONS)[:, None, None]
    weight = (p * np.exp(-intensities) * intensities**photons) / np.array([factorial(k) for k in range(PHOTONS)])[
        :, None, None
    ]

    def happened(chosen):
        each = weight[:, chosen].sum(axis=1).T
        return rng.poisson(rounds * each[:, :, None] * each[:, None, :] * relay_yields(rng, count))

    tables = {}
    for name, chosen in (("test", test), ("key", key)):  # all but pairs of single photons: the relay may know the basis
        seen = happened(chosen)
        seen[:, 1, 1] = 0
        wrong = rng.binomial(seen, rng.random(seen.shape) * rng.choice([1.0, 0.1], (count, 1, 1)))
        right_table, wrong_table = (labelled(rng, each, intensities, p, chosen) for each in (seen - wrong, wrong))
        tables[name] = right_table + wrong_table, wrong_table
    single = np.zeros((count, PHOTONS, PHOTONS), dtype=int)
    single[:, 1, 1] = happened(every)[:, 1, 1]
    wrong = rng.binomial(single, rng.choice([0.02, 0.1, 0.5], count)[:, None, None])  # if measured in X
    right_table, wrong_table = (labelled(rng, each, intensities, p, every) for each in (single - wrong, wrong))
    both = right_table + wrong_table
    gains_test, errors_test = (
        each + one[:, 1:4, 1:4] for each, one in zip(tables["test"], (both, wrong_table), strict=True)
    )
    gains_key = tables["key"][0] + both[np.ix_(range(count), key, key)]
    seen = Seen(
        key=gains_key[:, 0, 0].astype(float),
        key_errors=np.zeros(count),
        gains_test=groups(gains_test, (0, 1, 2)),
        errors_test=groups(errors_test, (0, 1, 2)),
        gains_key=None if is_four else groups(gains_key, (0, 1, 2)),
    )
    sent = Sent(
        signal=intensities[0],
        p_signal=p[0],
        test=light_of(intensities, p, test),
        key=None if is_four else light_of(intensities, p, key),
    )
    return sent, seen, both[:, 0, 0], wrong_table[:, 0, 0]


def violations(seed, count, is_four, budget):
    """How often each bound was on the wrong side: pairs of single photons, their phase errors."""
    sent, seen, single, wrong = played(seed, count, is_four)
    with np.errstate(all="ignore"):
        found = prove(sent, seen, {name: np.float64(value) for name, value in budget.items()})
    assert ((found.single > 0) & (found.phase < 0.5)).sum() > count / 50  # the search sees blocks with key
    assert (found.single > 0.5 * single).sum() > count / 50  # and bounds that are tight
    return [int((found.single > single + 1e-6).sum()), int((found.errors < wrong - 1e-6).sum())]


@pytest.mark.parametrize("is_four", [False, True], ids=["three", "four"])
def test_no_bound_is_on_the_wrong_side_among_ten_thousand_hostile_relays(is_four):
    # 1e4 relays; a correct bound fails here with probability below 1e4 (5e-11 + 6e-22) = 5e-7.
    assert violations(71, 10_000, is_four, {"counts": 5e-11, "phase_errors": 5e-11}) == [0, 0]


@pytest.mark.parametrize("is_four", [False, True], ids=["three", "four"])
def test_loose_failure_probabilities_are_kept_too(is_four):
    # The counts fail for 5 % of the relays at worst, phase errors for (0.2 / 2)^2 = 1 % besides.
    single, wrong = violations(72, 10_000, is_four, {"counts": 0.05, "phase_errors": 0.2})
    assert single < 500
    assert wrong < 600


@pytest.mark.parametrize("is_four", [False, True], ids=["three", "four"])
def test_the_search_would_see_a_wrong_bound(is_four):
    events = EVENTS_FOUR if is_four else EVENTS_THREE
    counted = violations(73, 3000, is_four, {"counts": events * 0.999_999, "phase_errors": 1.999_999})
    assert min(counted) > 20, counted


# The parts against exact laws.


def test_joint_limits_hold_and_are_narrower_than_separate_ones():
    rng = Streams(seed=74).get("joint")
    means, weights = 10 ** rng.uniform(0, 4, (3, 400)), 10 ** rng.uniform(-2, 1, (3, 400))
    share = np.float64(0.01)
    failures = np.zeros(2)
    for _ in range(100):
        counts = rng.poisson(means).astype(float)
        low, high = (joint_limit(tuple(zip(weights, counts, strict=True)), share, side) for side in (LOW, HIGH))
        apart = [sum(w * mean_limits(n, share)[side] for w, n in zip(weights, counts, strict=True)) for side in (0, 1)]
        assert np.all(low >= apart[0] - 1e-9)
        assert np.all(high <= apart[1] * (1 + 1e-12))
        true = (weights * means).sum(axis=0)
        failures += [(low > true).sum(), (high < true).sum()]
    assert (failures < 0.03 * 40_000).all()  # three events of 1 % each


def test_joint_limits_take_any_shapes_that_broadcast():
    weighted = ((np.float64(2.0), np.ones((3, 1)) * 100.0), (np.ones(4), np.float64(50.0)))
    found = joint_limit(weighted, np.float64(1e-6), LOW)
    assert found.shape == (3, 4)
    alone = joint_limit(
        ((np.float64(2.0), np.float64(100.0)), (np.float64(1.0), np.float64(50.0))), np.float64(1e-6), 0
    )
    assert found == pytest.approx(np.full((3, 4), alone), rel=1e-15)


@pytest.mark.parametrize("share", [1e-2, 1e-6, 1e-12])
@pytest.mark.parametrize("r", [0.03, 0.5, 0.97])
def test_labels_hidden_beside_those_seen_exceed_their_bound_more_rarely_than_their_share(r, share):
    for total in (1, 5, 40, 300, 5000, 200_000):
        hidden = np.arange(total + 1.0)
        is_wrong = hidden > most_beside(total - hidden, np.float64(r / (1 - r)), np.float64(share))
        assert binom.pmf(hidden, total, r)[is_wrong].sum() <= share
        is_wrong = hidden < least_seen(np.float64(total * r), np.float64(share))
        assert binom.pmf(hidden, total, r)[is_wrong].sum() <= share


# What every finite key must obey.


def drawn(protocol, seed, count=2000):
    rng = Streams(seed=seed).get(f"links/{protocol.name}")
    given = {
        "distance_km": rng.uniform(0, 200, count),
        "misalignment": rng.uniform(0, 0.1, count),
        "p_dark": 10 ** rng.uniform(-9, -5, count),
        "mu": rng.uniform(0.2, 0.8, count),
        "nu": rng.uniform(0.005, 0.15, count),
    }
    if protocol is mdi:
        p = rng.dirichlet([3, 2, 2], count).T
        return given | {"p_mu": p[0], "p_nu": p[1], "p_basis": rng.uniform(0.1, 0.9, count)}
    p = rng.dirichlet([3, 2, 2, 2], count).T
    return given | {"mu_test": rng.uniform(0.16, 0.6, count), "p_mu": p[0], "p_mu_test": p[1], "p_nu": p[2]}


@pytest.mark.parametrize(("protocol", "variant"), EVERY, ids=NAMES)
def test_a_finite_rate_never_exceeds_the_asymptotic_one_and_grows_with_the_block(protocol, variant):
    links = drawn(protocol, 75) | {name: value for name, value in variant.items() if name != "nu"}
    links["nu"] = links["nu"] + links.get("omega", 0.0)
    limit = protocol(**links).rate_per_pulse * (links["p_mu"] * links.get("p_basis", 1.0)) ** 2
    before = np.zeros_like(limit)
    for n_sent in (1e9, 1e11, 1e13, 1e15, 1e18, 1e24):
        rate = protocol(**links, n_sent=n_sent).rate_per_pulse
        assert np.all(rate <= limit * (1 + 1e-9))
        assert np.all(rate >= before * (1 - 1e-9))
        before = rate
    # 1e18 rounds are few behind 200 km with weak decoys drawn rarely; 1e24 are not.
    assert before[limit > 0.02 * limit.max()] == pytest.approx(limit[limit > 0.02 * limit.max()], rel=0.01)


@pytest.mark.parametrize(("protocol", "variant"), EVERY, ids=NAMES)
def test_a_block_of_1e18_gives_the_asymptotic_rate_within_one_per_cent(protocol, variant):
    share = protocol(n_sent=1.0).params["p_mu"] * protocol(n_sent=1.0).params.get("p_basis", 1.0)
    limit = protocol(distance_km=[0, 30], **variant).rate_per_pulse * share**2
    assert (limit > 0).all()
    assert protocol(distance_km=[0, 30], n_sent=1e18, **variant).rate_per_pulse == pytest.approx(limit, rel=0.01)


@pytest.mark.parametrize(("protocol", "variant"), EVERY, ids=NAMES)
def test_no_key_beyond_the_threshold_nor_from_few_pulses(protocol, variant):
    assert optimised(protocol, n_sent=1e18, misalignment=[0.12, 0.3, 0.5], **variant).rate_per_pulse.max() == 0
    assert optimised(protocol, n_sent=1e14, p_dark=0.3, **variant).rate_per_pulse.max() == 0
    assert optimised(protocol, n_sent=[1.0, 1e4, 1e7], **variant).rate_per_pulse.max() == 0


@pytest.mark.parametrize(("protocol", "variant"), EVERY, ids=NAMES)
@pytest.mark.parametrize("worse", ["distance_km", "p_dark", "p_noise", "misalignment", "f_ec"])
def test_worse_links_never_give_more_finite_key(protocol, variant, worse):
    links = drawn(protocol, 76) | {name: value for name, value in variant.items() if name != "nu"}
    links["nu"] = links["nu"] + links.get("omega", 0.0)
    links = {"p_noise": 0.0, "f_ec": 1.1, **links, "n_sent": 1e14}
    worsened = links | {worse: links[worse] * 1.3 + (1e-7 if worse != "distance_km" else 1.0)}
    before, after = (protocol(**each).rate_per_pulse for each in (links, worsened))
    assert np.all(after <= before * (1 + 1e-9))
    assert np.any(before > 0)


@pytest.mark.parametrize(("protocol", "variant"), EVERY, ids=NAMES)
def test_the_epsilons_add_up_exactly_and_say_what_they_are_for(protocol, variant):
    rate = protocol(n_sent=1e13, epsilon_sec=3e-10, epsilon_cor=1e-13, **variant)
    assert set(rate.epsilon) == {"counts", "phase_errors", "privacy_amplification", "correctness"}
    assert sum(rate.epsilon.values()) - rate.epsilon["correctness"] == 3e-10
    assert rate.epsilon["correctness"] == 1e-13
    assert set(FINITE) <= set(rate.assumptions)
    assert not any("asymptotic" in each for each in rate.assumptions)


@pytest.mark.parametrize(("protocol", "variant"), EVERY, ids=NAMES)
def test_blocks_may_be_given_by_their_sifted_bits(protocol, variant):
    by_pulses = protocol(n_sent=1e13, **variant)
    by_bits = protocol(n_x=float(by_pulses.terms["n_x"]), **variant)
    assert by_bits.rate_per_pulse == pytest.approx(by_pulses.rate_per_pulse, rel=1e-9)
    assert by_pulses.rate_per_pulse > 0


def test_decoys_beside_the_signals_cost_more_than_decoys_in_the_other_basis():
    three, four = (optimised(each, distance_km=40, n_sent=1e12).rate_per_pulse for each in (mdi, mdi_four))
    assert four > 2 * three > 0


def test_four_intensities_are_optimised_as_well_as_by_a_long_random_search():
    rng = Streams(seed=77).get("search")
    best = optimised(mdi_four, distance_km=50, n_sent=1e13).rate_per_pulse
    p = rng.dirichlet([3, 0.5, 2, 2], 100_000).T
    bright = rng.uniform(0.1, 0.5, 100_000)
    found = mdi_four(distance_km=50, n_sent=1e13, mu=rng.uniform(0.2, 0.7, 100_000), mu_test=bright,
                     nu=bright * rng.uniform(0.05, 0.6, 100_000), p_mu=np.clip(p[0], 1e-3, 0.98),
                     p_mu_test=np.clip(p[1], 1e-4, 1) * 0.99, p_nu=np.clip(p[2], 1e-4, 1) * 0.99)  # fmt: skip
    assert found.rate_per_pulse.max() < best < 1.3 * found.rate_per_pulse.max()


@pytest.mark.parametrize(
    ("protocol", "given", "named"),
    [
        (mdi, {"decoys": "infinite", "n_sent": 1e12}, "no block is long enough"),
        (mdi, {"p_mu": 0.6, "p_nu": 0.4, "n_sent": 1e12}, "p_mu \\+ p_nu"),
        (mdi_four, {"p_mu": 0.6, "p_nu": 0.4, "n_sent": 1e12}, "probability of vacuum"),
        (mdi_four, {"mu_test": 0.04}, "mu_test must be brighter"),
        (mdi_four, {"n_sent": 1e12, "n_x": 1e5}, "not both"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(protocol, given, named):
    with pytest.raises(ParameterError, match=named):
        protocol(**given)


def test_half_a_budget_is_for_counts():
    budget = budget_of(Values({"epsilon_sec": np.array(1e-9), "epsilon_cor": np.array(1e-15)}))
    assert budget["counts"] == 5e-10
    assert budget["phase_errors"] == budget["privacy_amplification"] == 2.5e-10
