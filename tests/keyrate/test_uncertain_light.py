"""Intensities within intervals: the bounds against adversaries who choose intensities and yields pulse by pulse.

An adversary here mixes kinds of pulses. Each kind has a mean photon number for every setting, anywhere within the
intervals, and a yield and error rate for every photon number: all that Eve can do when she learns the intensities that
a pulse would have, but not its setting.
"""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from qanat.keyrate import decoy_bb84
from qanat.keyrate.decoy_finite import SHARES_ONE, SHARES_TWO, Seen, one_decoy, two_decoys
from qanat.keyrate.decoy_light import Light
from qanat.keyrate.deviations import limits_named
from qanat.keyrate.parameter import ParameterError
from qanat.keyrate.protocol import Values
from qanat.keyrate.satellite import pass_rate
from qanat.keyrate.uncertain_light import UncertainLight, interval, uncertain

CHANNELS = 10_000
PHOTONS = np.arange(20)
FACTORIALS = np.cumprod(np.maximum(PHOTONS, 1)).astype(float)
KINDS = 3
ROUNDING = 1e-12
SIGNAL_ALONE = (1.0, 0.0, 0.0)


def poisson(mu):
    """P(n) along a new last axis."""
    mu = np.asarray(mu)[..., None]
    return np.exp(-mu) * mu**PHOTONS / FACTORIALS


def random_light(rng, count, decoys, makes_key):
    """Intensities whose intervals do not touch, with the intervals and the shares of the key."""
    spread, rise = rng.uniform(0.001, 0.08, count), rng.uniform(0, 0.08, count) * rng.integers(0, 2, count)
    mu = rng.uniform(0.2, 0.9, count)
    nu = mu * rng.uniform(0.1, 0.6, count)
    omega = nu * rng.uniform(0, 0.5, count) * rng.integers(0, 2, count)
    intensities = (mu, nu, omega)[:decoys]
    if makes_key == "signal":
        shares = tuple(np.full(count, share) for share in SIGNAL_ALONE[:decoys])
    else:
        shares = tuple((rng.dirichlet(np.ones(decoys), count) * 0.9 + 0.1 / decoys).T)
    values = Values({"intensity_spread": spread, "intensity_rise": rise})
    light = uncertain(values, Light(intensities=intensities, p_intensities=shares))
    assert isinstance(light, UncertainLight)
    return light


def random_yields(rng, count):
    """Of each kind and photon number: loss and dark counts, photon-number splitting, or anything at all."""
    shape = (count, KINDS, len(PHOTONS))
    eta, y0 = 10 ** rng.uniform(-4, -0.3, (2, count, 1, 1))
    lossy = 1 - (1 - 1e-2 * y0) * (1 - eta) ** PHOTONS * np.ones(shape)
    split = np.where(rng.integers(1, 3, (count, KINDS, 1)) < PHOTONS, rng.uniform(0, 1, shape), 1e-2 * lossy)
    wild = 10 ** rng.uniform(-5, 0, shape) * rng.integers(0, 2, shape)
    which = rng.integers(0, 3, (count, 1, 1))
    yields = np.where(which == 0, lossy, np.where(which == 1, split, wild))
    return yields * np.where(rng.integers(0, 2, (count, KINDS, 1)) == 0, 1.0, rng.uniform(0, 1, (count, KINDS, 1)))


def random_truth(rng, light, count):
    """Gains and error gains of each intensity; empty and single detections and single errors of the key's shares."""
    ends = [np.stack((each.low, each.high)) for each in light.intervals]
    inside = [rng.uniform(size=(KINDS, count)) for _ in ends]
    corners = rng.integers(0, 2, (count,)) == 0
    inside = [np.where(corners, np.round(each), each) for each in inside]
    chosen = [(low + (high - low) * each).T for (low, high), each in zip(ends, inside, strict=True)]
    mixture = rng.dirichlet(np.ones(KINDS), count)[..., None]
    yields = mixture * random_yields(rng, count)
    wrong = yields * rng.uniform(0, 0.5, yields.shape)
    wrong[..., 0] = yields[..., 0] / 2  # an empty pulse tells nothing of Alice's bit
    laws = [poisson(each) for each in chosen]
    tau = sum(share[:, None, None] * law for share, law in zip(light.p_intensities, laws, strict=True))
    gains, errors = (tuple((law * each).sum(axis=(1, 2)) for law in laws) for each in (yields, wrong))
    empty, single = ((tau * yields)[..., n].sum(axis=1) for n in (0, 1))
    return gains, errors, (empty, single, (tau * wrong)[..., 1].sum(axis=1))


def bounds(light, gains, errors):
    empty = np.maximum(light.empty(gains, gains), 0.0)
    if len(gains) == 3:
        single = light.single(gains, gains, empty)
    else:
        single = light.single_beside(gains, gains, errors, np.array(0.0))
    return empty, single, light.errors(errors, errors)


def violations(bound, truth):
    """How many channels have more, more and fewer than the bounds on empty, single photons and errors allow."""
    (empty, single, wrong), (true_empty, true_single, true_wrong) = bound, truth
    return np.array(
        [
            (empty > true_empty * (1 + ROUNDING) + ROUNDING).sum(),
            (single > true_single * (1 + ROUNDING) + ROUNDING).sum(),
            (wrong < true_wrong * (1 - ROUNDING) - ROUNDING).sum(),
        ]
    )


def narrowed(light, factor):
    """The same with intervals narrowed around their middles: a bound that hopes for the best."""
    values = [((each.low + each.high) / 2, (each.high - each.low) / 2 * factor) for each in light.intervals]
    return UncertainLight(
        intensities=light.intensities,
        p_intensities=light.p_intensities,
        intervals=tuple(type(light.intervals[0])(middle - half, middle + half) for middle, half in values),
    )


@pytest.mark.parametrize("makes_key", ["signal", "all"])
@pytest.mark.parametrize("decoys", [3, 2])
def test_no_bound_is_on_the_wrong_side_of_ten_thousand_random_adversaries(decoys, makes_key):
    rng = np.random.default_rng(551)
    light = random_light(rng, CHANNELS, decoys, makes_key)
    gains, errors, truth = random_truth(rng, light, CHANNELS)
    found = bounds(light, gains, errors)
    assert violations(found, truth).tolist() == [0, 0, 0]
    assert (found[1] > 0.5 * truth[1]).mean() > 0.03  # nor are they empty
    assert violations(bounds(narrowed(light, 0.3), gains, errors), truth).min() > 0  # the search would see it


def worst(light, observed, target, sense):
    """The least (sense 1) or most (-1) of sum tau_n x_n that an adversary reaches with these gains: a linear program.

    Unknowns: how often each corner of the intervals is chosen, and the detections of each corner and photon number.
    """
    corners = list(product(*((float(each.low), float(each.high)) for each in light.intervals)))
    laws = np.array([poisson(corner) for corner in corners])  # corner, setting, n
    tau = np.einsum("k,ckn->cn", [float(share) for share in light.p_intensities], laws)
    size, many = len(PHOTONS), len(corners)
    goal = np.zeros((many, size))
    goal[:, target] = tau[:, target]
    scale = 1 / max(observed)
    equal = np.hstack((laws.transpose(1, 0, 2).reshape(len(observed), -1) * scale, np.zeros((len(observed), many))))
    equal = np.vstack((equal, np.concatenate((np.zeros(many * size), np.ones(many)))))
    at_most = np.hstack((np.eye(many * size), -np.repeat(np.eye(many), size, axis=0)))
    found = linprog(
        sense * np.concatenate((goal.ravel(), np.zeros(many))),
        A_ub=at_most,
        b_ub=np.zeros(many * size),
        A_eq=equal,
        b_eq=[*(each * scale for each in observed), 1.0],
    )
    assert found.success, found.message
    return sense * found.fun


@pytest.mark.parametrize("makes_key", ["signal", "all"])
def test_the_best_adversary_of_a_linear_program_stays_within_the_bounds_and_near_them(makes_key):
    rng, seen = np.random.default_rng(552), np.zeros(2, dtype=int)
    for _ in range(12):
        light = random_light(rng, 1, 3, makes_key)
        light = UncertainLight(
            intensities=tuple(each[0] for each in light.intensities),
            p_intensities=tuple(each[0] for each in light.p_intensities),
            intervals=tuple(type(each)(each.low[0], each.high[0]) for each in light.intervals),
        )
        eta, error = 10 ** rng.uniform(-2.5, -0.5), rng.uniform(0.01, 0.05)
        gains = tuple(1e-5 - np.expm1(-eta * each) for each in light.intensities)
        wrong = tuple(0.5e-5 - error * np.expm1(-eta * each) for each in light.intensities)
        empty, single, errors = bounds(light, gains, wrong)
        least, most = worst(light, gains, 1, 1), worst(light, wrong, 1, -1)
        assert empty <= worst(light, gains, 0, 1) * (1 + 1e-6) + 1e-9
        assert single <= least * (1 + 1e-6) + 1e-9
        assert errors >= most * (1 - 1e-6) - 1e-9
        if light.intensities[2] == 0:  # with a true vacuum the bound is what the best adversary reaches
            assert single == pytest.approx(least, rel=1e-3)
        hopeful = bounds(narrowed(light, 0.0), gains, wrong)
        seen += hopeful[1] > least * (1 + 1e-6), hopeful[2] < most * (1 - 1e-6)
    assert seen.min() >= 3, seen  # the program would see nominal intensities taken for true


@pytest.mark.parametrize("decoys", ["vacuum_weak", "two", "one"])
@pytest.mark.parametrize("size", [{}, {"n_x": 1e8}])
def test_intervals_of_no_width_give_the_known_bounds(decoys, size):
    point = {"distance_km": np.linspace(0, 120, 7), "nu": 0.1, "omega": 0.01, "decoys": decoys, **size}
    sure, off = decoy_bb84(**point), decoy_bb84(intensity_spread=1e-13, **point)
    assert (sure.rate_per_pulse > 0).all()
    for name, value in sure.terms.items():
        assert off.terms[name] == pytest.approx(value, rel=1e-9), name


@pytest.mark.parametrize("decoys", ["vacuum_weak", "two", "one"])
@pytest.mark.parametrize("name", ["intensity_spread", "intensity_rise"])
@pytest.mark.parametrize("size", [{}, {"n_x": 1e7}])
def test_wider_intervals_never_give_more_key(decoys, name, size):
    rng = np.random.default_rng(553)
    mu = rng.uniform(0.2, 0.9, 400)
    point = {
        "distance_km": rng.uniform(0, 150, 400),
        "misalignment": rng.uniform(0, 0.04, 400),
        "mu": mu,
        "nu": mu * rng.uniform(0.1, 0.3, 400),
        "omega": mu * rng.uniform(0, 0.03, 400),
        "decoys": decoys,
        **size,
    }
    widths = np.array([0.0, 1e-6, 1e-3, 0.01, 0.03, 0.1])
    rates = decoy_bb84(**point, **{name: widths[:, None]}).rate_per_pulse
    assert (np.diff(rates, axis=0) <= 1e-12).all()
    assert (rates[0] > 0).mean() > 0.3
    assert (rates[-1] < rates[0])[rates[0] > 0].all()


@pytest.mark.parametrize("deviations", ["hoeffding", "chernoff"])
@pytest.mark.parametrize("decoys", ["two", "one"])
def test_finite_counts_drawn_by_an_adversary_stay_within_the_bounds(decoys, deviations):
    """Labels are drawn pulse by pulse; 600 channels, each failing with 2e-9 at most: 1e-6 in all."""
    prove, shares = (one_decoy, SHARES_ONE) if decoys == "one" else (two_decoys, SHARES_TWO)
    rng = np.random.default_rng(554)
    proven = 0
    for _ in range(600):
        light = random_light(rng, 1, 2 if decoys == "one" else 3, "all")
        key, test = (counted(rng, light) for _ in range(2))
        seen = Seen(n_key=key[0], m_key=key[1], n_test=test[0], m_test=test[1])
        found = prove(light, seen, limits_named(deviations), np.float64(shares * 1e-10))
        assert found.vacuum <= key[2]
        assert found.single <= key[3]
        assert found.single_test <= test[3]
        assert found.errors_test >= test[4]
        proven += bool(found.single > 0.3 * key[3])
    assert proven > 50


def counted(rng, light):
    """Counts and errors per intensity of one basis, with the true empty and single detections and single errors."""
    chosen = np.array([[rng.choice([each.low[0], each.high[0]]) for each in light.intervals] for _ in range(KINDS)])
    weights = np.array([share[0] for share in light.p_intensities])[:, None] * poisson(chosen)  # kind, setting, n
    eta = 10 ** rng.uniform(-3, -1)
    law = weights.sum(axis=1) * (1 - (1 - 1e-5) * (1 - eta) ** PHOTONS) * rng.uniform(0.2, 1, (KINDS, 1))
    detections = rng.multinomial(int(10 ** rng.uniform(5, 8)), (law / law.sum()).ravel()).reshape(law.shape)
    wrong = rng.binomial(detections, np.where(PHOTONS == 0, 0.5, rng.uniform(0, 0.1)))
    p_label = (weights / weights.sum(axis=1, keepdims=True)).transpose(0, 2, 1)
    m, right = (rng.multinomial(each, p_label).sum(axis=(0, 1)) for each in (wrong, detections - wrong))
    as_counts = tuple(m.astype(float)), tuple((m + right).astype(float))
    return as_counts[1], as_counts[0], detections[:, 0].sum(), detections[:, 1].sum(), wrong[:, 1].sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"decoys": "infinite", "intensity_spread": 0.01},
        {"mu": 0.5, "nu": 0.45, "intensity_spread": 0.1},
        {"mu": 0.5, "nu": 0.1, "omega": 0.09, "decoys": "two", "intensity_rise": 0.2},
        {"mu": 1.2, "intensity_rise": 1.0},
    ],
)
def test_intensities_that_may_be_confused_are_refused(wrong):
    with pytest.raises(ParameterError, match="intervals"):
        decoy_bb84(**wrong)


@pytest.mark.parametrize("size", [{}, {"n_x": 1e8}])
def test_the_result_says_what_was_assumed_of_the_light(size):
    assert not any("interval" in each for each in decoy_bb84(**size).assumptions)
    assert any("interval" in each for each in decoy_bb84(intensity_spread=0.01, **size).assumptions)


def test_a_satellite_pass_knows_intervals_too():
    given = {"p_basis": 0.8, "nu": 0.1}
    sure, off = (
        pass_rate(decoy_bb84, [1e-2, 3e-2], [60.0, 60.0], intensity_spread=spread, **given) for spread in (0.0, 0.03)
    )
    assert 0 < off.rate_per_pulse < sure.rate_per_pulse
    assert any("interval" in each for each in off.assumptions)


@pytest.mark.parametrize("decoys", ["vacuum_weak", "two", "one"])
def test_endless_blocks_reach_the_asymptotic_rate_with_intervals_too(decoys):
    point = {
        "distance_km": np.array([0.0, 50.0, 100.0]),
        "intensity_spread": np.array([[0.005], [0.03]]),
        "omega": 0.002,
        "vacuum": "not_credited",
        "decoys": decoys,
    }
    rare = {"p_mu": 0.999, "p_nu": 0.0005, "p_basis": 0.9995}
    sizes = [decoy_bb84(n_x=size, **point, **rare).rate_per_pulse for size in (1e19, 1e21, 1e26)]
    limit = decoy_bb84(**point).rate_per_pulse
    assert (limit > 0).all()
    assert (sizes[0] < sizes[1]).all()
    assert (sizes[1] < sizes[2]).all()
    assert (sizes[2] <= limit).all()
    assert sizes[2] == pytest.approx(limit, rel=1e-2)


def test_an_interval_knows_the_peak_of_the_law_inside_it():
    values = Values({"intensity_spread": np.array(0.5), "intensity_rise": np.array(0.0)})
    found = interval(values, np.array(1.0))
    grid = np.linspace(0.5, 1.5, 100_001)
    for n in range(3):
        law = np.exp(-grid) * grid**n
        assert [float(each) for each in found.weight(n)] == pytest.approx([law.min(), law.max()], rel=1e-9)
