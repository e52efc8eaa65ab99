"""Correlated pulses: bounds against relations that later pulses really have, with adversaries who measure them."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.stats import poisson

from qanat.core.streams import Streams
from qanat.keyrate import decoy_bb84
from qanat.keyrate.correlated import angle, widened
from qanat.keyrate.decoy_asymptotic import known_uncertain
from qanat.keyrate.parameter import ParameterError, checked_values
from qanat.keyrate.protocol import Values

OWN, LATER = np.arange(12), np.arange(8)  # photons of a pulse, and of the later ones together
HISTORIES = 2  # settings before, that Eve knows


def values_of(**given):
    return Values(checked_values(decoy_bb84.name, decoy_bb84.parameters, given))


class Attack:
    """One link: yields as a function of a pulse's photons and of those after it, under every setting."""

    def __init__(self, rng, decoys):
        self.spread, self.length = 10 ** rng.uniform(-3.5, -1.2), int(rng.integers(1, 4))
        mu = rng.uniform(0.3, 0.7)
        nu, omega = mu * rng.uniform(0.15, 0.4), rng.choice([0.0, 0.01]) if decoys == "two" else 0.0
        self.intensities = (mu, nu, omega) if decoys == "two" else (mu, nu)
        self.values = values_of(mu=mu, nu=nu, omega=omega, decoys=decoys, correlation_spread=self.spread,
                                correlation_length=self.length)  # fmt: skip
        self.weights = rng.dirichlet(np.ones(HISTORIES))
        off = rng.choice([-1.0, 1.0, 0.3], (HISTORIES, len(self.intensities)))
        self.means = np.array(self.intensities) * (1 + self.spread * off)
        later = rng.choice([-1.0, 1.0], (HISTORIES, len(self.intensities)))
        self.later = self.length * mu * (1 + self.spread * later)  # means of Poisson laws: what each setting leaves
        self.law_own = poisson.pmf(OWN[None, None], self.means[..., None])
        self.law_later = poisson.pmf(LATER[None, None], self.later[..., None])

    def click(self, rng):
        """Probability of a click by history, photons, later photons: lossy, or tied to what later pulses tell."""
        eta = 10 ** rng.uniform(-2.5, -0.3)
        shape = (HISTORIES, len(OWN), len(LATER))
        lossy = np.broadcast_to((1 - (1 - eta) ** OWN)[None, :, None] + 1e-5, shape)
        kind = rng.integers(3)
        if kind == 0:
            return np.minimum(lossy, 1.0)
        if kind == 1:
            return np.minimum(lossy * 2 * rng.integers(0, 2, shape), 1.0)
        return np.where(rng.integers(1, 3) < OWN[None, :, None], 10 ** rng.uniform(-2, 0), 1e-5) * rng.random(shape)

    def seen(self, chance):
        """Probability by setting, and by setting of one photon."""
        table = self.weights[:, None, None, None] * self.law_own[..., None] * self.law_later[:, :, None, :]
        each = (table * chance[:, None]).sum(axis=(0, 3))  # setting, photons
        return each.sum(axis=1), each[:, 1]


class Observed:
    """What ``known_uncertain`` asks of a channel."""

    def __init__(self, intensities, gains, errors):
        self._by = {
            float(x): (np.float64(g), np.float64(m)) for x, g, m in zip(intensities, gains, errors, strict=True)
        }

    def gain(self, mu):
        return self._by[float(mu)][0]

    def errors(self, mu):
        return self._by[float(mu)][1]


@pytest.mark.parametrize("decoys", ["two", "one"])
def test_no_bound_is_on_the_wrong_side_of_random_attacks_that_read_later_pulses(decoys):
    rng = Streams(seed=91).get(decoys)
    useful = tight = 0
    for _ in range(1500):
        attack = Attack(rng, decoys)
        click = attack.click(rng)
        wrong = click * rng.random(click.shape) * rng.choice([1.0, 0.05])
        wrong[:, 0] = click[:, 0] / 2  # empty pulses carry no bit
        (gains, single), (errors, single_wrong) = attack.seen(click), attack.seen(wrong)
        found = known_uncertain(attack.values, Observed(attack.intensities, gains, errors))
        assert found.q1 <= single[0] * (1 + 1e-9)
        if found.q1 > 0:
            useful += 1
            tight += found.q1 > 0.8 * single[0]
            assert found.e1 >= min(single_wrong[0] / single[0], 0.5) - 1e-9
    assert useful > 150
    assert tight > 20


def test_the_best_attack_that_a_linear_program_finds_stays_within_the_bound():
    """Eve minimises single-photon clicks of the signal, with all gains as on an honest link."""
    rng = Streams(seed=92).get("programme")
    nearest, fooled = 0.0, 0
    for _ in range(60):
        attack = Attack(rng, "two")
        eta = 10 ** rng.uniform(-1.5, -0.3)
        honest = np.broadcast_to((1 - (1 - eta) ** OWN)[None, :, None] + 1e-5, (HISTORIES, len(OWN), len(LATER)))
        gains, _ = attack.seen(honest)
        table = attack.weights[:, None, None, None] * attack.law_own[..., None] * attack.law_later[:, :, None, :]
        rows = np.moveaxis(table, 1, 0).reshape(len(attack.intensities), -1)
        goal = np.zeros_like(table[:, 0])
        goal[:, 1] = table[:, 0, 1]
        best = linprog(goal.ravel() * 1e3, A_eq=rows * 1e3, b_eq=gains * 1e3, bounds=(0, 1), method="highs")
        assert best.success
        least = best.fun / 1e3
        observed = Observed(attack.intensities, gains, gains / 2)
        found = known_uncertain(attack.values, observed)
        assert found.q1 <= least * (1 + 1e-6) + 1e-12
        nearest = max(nearest, found.q1 / least)
        blind = {name: attack.values[name] for name in ("mu", "nu", "omega")} | {"intensity_spread": attack.spread}
        fooled += known_uncertain(values_of(decoys="two", **blind), observed).q1 > least * (1 + 1e-6)
    assert nearest > 0.6
    assert fooled > 5  # intervals alone do not do: the search sees what later pulses tell


def test_the_angle_is_that_of_poisson_laws_at_the_ends_of_the_interval():
    for spread, length, mu in ((0.1, 1.0, 0.5), (0.01, 3.0, 0.2), (0.4, 1.0, 0.9)):
        ends = poisson.pmf(np.arange(60), mu * (1 - spread)), poisson.pmf(np.arange(60), mu * (1 + spread))
        fidelity = np.sqrt(ends[0] * ends[1]).sum() ** length
        found = angle(values_of(correlation_spread=spread, correlation_length=length, mu=mu, nu=0.01))
        assert np.cos(found) == pytest.approx(fidelity, rel=1e-12)


def test_gains_are_widened_by_the_angle_and_the_signal_is_not():
    values = values_of(correlation_spread=0.02, correlation_length=2.0)
    seen = tuple(np.float64(x) for x in (1e-2, 1e-3, 1e-9))
    low, high = widened(values, seen)
    assert low[0] == high[0] == seen[0]
    assert np.arcsin(np.sqrt(high[1])) - np.arcsin(np.sqrt(low[1])) == pytest.approx(2 * float(angle(values)), rel=1e-9)
    assert low[2] == 0  # less than nothing cannot be


def test_correlations_that_are_none_change_nothing_and_longer_ones_cost_more():
    lengths = np.linspace(0, 120, 25)
    none = decoy_bb84(distance_km=lengths).rate_per_pulse
    assert (decoy_bb84(distance_km=lengths, correlation_length=5.0).rate_per_pulse == none).all()
    more = decoy_bb84(distance_km=lengths, correlation_spread=1e-3, correlation_length=np.arange(1.0, 9.0)[:, None])
    assert (more.rate_per_pulse[0] < none)[none > 0].all()
    assert (np.diff(more.rate_per_pulse, axis=0) <= 0).all()
    tiny = decoy_bb84(distance_km=20.0, correlation_spread=1e-9).rate_per_pulse
    assert tiny == pytest.approx(decoy_bb84(distance_km=20.0).rate_per_pulse, rel=1e-5)


@pytest.mark.parametrize("beside", [{"n_x": 1e7}, {"n_sent": 1e12}])
def test_correlations_are_refused_with_a_block(beside):
    with pytest.raises(ParameterError, match="correlation_spread must be 0"):
        decoy_bb84(correlation_spread=1e-3, **beside)


def test_a_rate_with_correlations_says_what_it_assumes():
    assert any("correlation_length pulses back" in each for each in decoy_bb84(correlation_spread=1e-3).assumptions)
    assert not any("correlation" in each for each in decoy_bb84(intensity_spread=1e-3).assumptions)
