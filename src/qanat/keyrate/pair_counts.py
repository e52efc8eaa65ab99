"""Bell-state measurements counted by what both ends sent, and what the counts say of pairs of single photons.

Both ends have the same intensities. With F(a, b) = n_ab e^(a + b) / (p_a p_b), n_ab the count of pairs of pulses with
intensities a and b, and p the probability that an end sends the intensity in this basis, the mean of F given the photon
numbers is a power series, sum_nm a^n b^m S_nm / (n! m!), without negative coefficients; S_11 / N is the yield Y_11 when
N pairs of pulses were sent, whatever basis they were in. The combinations are those of ``protocols/mdi``:

    M(a) = F(a, a) + F(omega, omega) - F(a, omega) - F(omega, a),
    S_11 >= [left M(nu) - right M(mu)] / [(mu - omega)^2 (nu - omega)^2 (mu - nu)],
    left = (mu^2 - omega^2)(mu - omega), right = (nu^2 - omega^2)(nu - omega),

and for errors S_11 <= M(nu) / (nu - omega)^2. F(a, omega) and F(omega, a) enter alike, so that their counts are added
first: five groups of counts.

**Joint limits**, after Yu, Zhou, Wang, Phys. Rev. A 91, 032318 (2015), and Zhou, Yu, Wang, Phys. Rev. A 93, 042324
(2016), of which we could read the abstracts only; the rule follows from summation by parts. A sum of means with weights
w_1 >= w_2 >= ... >= 0 is (w_1 - w_2) E_1 + (w_2 - w_3)(E_1 + E_2) + ...; every bracket is the mean of a sum of
independent labels and has limits of its own (``deviations.mean_limits``). As many events as counts, and less deviation
in all: relative deviations of large sums are small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from qanat.keyrate.deviations import mean_limits
from qanat.keyrate.parameter import Array, total_of

EVENTS_YIELD, EVENTS_ERRORS = 5, 3  # limits that a bound rests on
LOW, HIGH = 0, 1
Weighted = tuple[tuple[Array, Array], ...]  # weights, none negative, and their counts


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """Counts by intensities, both orders together where they differ: mu > nu > omega. Whatever else is sent is left out
    of the bounds."""

    mu_mu: Array
    mu_omega: Array
    nu_nu: Array
    nu_omega: Array
    omega_omega: Array

    def each(self, change: Callable[[Array], Array]) -> PairCounts:
        """Every count changed alike."""
        return PairCounts(**{each.name: change(getattr(self, each.name)) for each in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLight:
    """Mean photon numbers mu > nu > omega >= 0, and the probabilities that an end sends them, in this basis."""

    mu: Array
    nu: Array
    omega: Array
    p_mu: Array
    p_nu: Array
    p_omega: Array

    def expected(self, gains: Callable[[Array, Array], tuple[Array, Array]]) -> tuple[PairCounts, PairCounts]:
        """Successes and errors per pair of pulses, on a channel with these gains Q and E Q."""
        sent = {"mu": (self.mu, self.p_mu), "nu": (self.nu, self.p_nu), "omega": (self.omega, self.p_omega)}

        def both(first: str, second: str) -> tuple[Array, Array]:
            (a, p_a), (b, p_b) = sent[first], sent[second]
            each = [gains(a, b)] if first == second else [gains(a, b), gains(b, a)]
            seen, wrong = (p_a * p_b * total_of(parts) for parts in zip(*each, strict=True))
            return seen, wrong

        found = {each.name: both(*each.name.split("_")) for each in fields(PairCounts)}
        seen, wrong = (PairCounts(**{name: pair[which] for name, pair in found.items()}) for which in (0, 1))
        return seen, wrong

    def yield_least(self, counts: PairCounts, share: Array) -> Array:
        """S_11 from below, unclamped; fails with probability 5 ``share`` at most."""
        wide, narrow = self.mu - self.omega, self.nu - self.omega
        left, right = (self.mu**2 - self.omega**2) * wide, (self.nu**2 - self.omega**2) * narrow
        scale = self._scales()
        for_it = (
            (left * scale.nu_nu, counts.nu_nu),
            (right * scale.mu_omega, counts.mu_omega),
            ((left - right) * scale.omega_omega, counts.omega_omega),
        )
        against = (left * scale.nu_omega, counts.nu_omega), (right * scale.mu_mu, counts.mu_mu)
        above = joint_limit(for_it, share, LOW) - joint_limit(against, share, HIGH)
        return above / (wide**2 * narrow**2 * (self.mu - self.nu))

    def errors_most(self, errors: PairCounts, share: Array) -> Array:
        """S_11 of the errors from above, unclamped; fails with probability 3 ``share`` at most."""
        scale = self._scales()
        for_it = (scale.nu_nu, errors.nu_nu), (scale.omega_omega, errors.omega_omega)
        against = ((scale.nu_omega, errors.nu_omega),)
        return (joint_limit(for_it, share, HIGH) - joint_limit(against, share, LOW)) / (self.nu - self.omega) ** 2

    def single_pairs(self) -> Array:
        """Probability that both ends send one photon each, in this basis and one of the three intensities."""
        each = (self.p_mu, self.mu), (self.p_nu, self.nu), (self.p_omega, self.omega)
        return total_of(p * mu * np.exp(-mu) for p, mu in each) ** 2

    def _scales(self) -> PairCounts:
        """e^(a + b) / (p_a p_b)."""
        mu, nu = np.exp(self.mu) / self.p_mu, np.exp(self.nu) / self.p_nu
        omega = np.exp(self.omega) / self.p_omega
        return PairCounts(
            mu_mu=mu**2, mu_omega=mu * omega, nu_nu=nu**2, nu_omega=nu * omega, omega_omega=omega**2
        )  # fmt: skip


def joint_limit(weighted: Weighted, share: Array, side: int) -> Array:
    """Limit of a weighted sum of means, below (0) or above (1); as many events of probability ``share`` as counts.

    Example:
        >>> two = ((np.float64(1.0), np.float64(50.0)), (np.float64(1.0), np.float64(50.0)))
        >>> bool(joint_limit(two, np.float64(1e-10), LOW) == mean_limits(np.float64(100.0), np.float64(1e-10))[LOW])
        True
    """
    weights = np.stack(np.broadcast_arrays(*(weight for weight, _ in weighted)))
    counts = np.stack(np.broadcast_arrays(*(count for _, count in weighted)))
    weights, counts = np.broadcast_arrays(*_aligned(weights, counts))
    order = np.argsort(-weights, axis=0)
    weights = np.take_along_axis(weights, order, axis=0)
    sums = np.cumsum(np.take_along_axis(counts, order, axis=0), axis=0)
    steps = weights - np.concatenate([weights[1:], np.zeros_like(weights[:1])])
    found: Array = (steps * mean_limits(sums, share)[side]).sum(axis=0)
    return found


def _aligned(first: Array, second: Array) -> tuple[Array, Array]:
    """Axis 0 of both stays the first one when the others broadcast."""
    dimensions = max(first.ndim, second.ndim)
    return tuple(  # type: ignore[return-value]
        each.reshape(each.shape[:1] + (1,) * (dimensions - each.ndim) + each.shape[1:]) for each in (first, second)
    )
