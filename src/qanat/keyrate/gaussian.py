"""Two Gaussian modes, one of which was measured: how much an eavesdropper who holds all the rest knows of the outcome.

Shot-noise units; a vacuum has variance 1. The formulas are those of Fossier et al., J. Phys. B 42, 114014 (2009),
written so that nothing cancels: a symplectic eigenvalue is kept as its excess over 1, because a pure
mode has an entropy of exactly 0 and the entropy is steepest there. How each line follows: docs/decisions/0052.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.keyrate.fibre import LN2
from qanat.keyrate.parameter import Array


def mode_entropy(excess: Array) -> Array:
    """Entropy in bits of a mode with symplectic eigenvalue 1 + ``excess``: (x+1) log2(x+1) - x log2 x, x = excess / 2.

    Example:
        >>> mode_entropy(np.array([0.0, 2.0])).tolist()  # vacuum; one thermal photon
        [0.0, 2.0]
    """
    x = np.maximum(excess, 0.0) / 2
    found: Array = ((x + 1) * np.log1p(x) - x * np.log(np.where(x > 0, x, 1.0))) / LN2
    return found


def symplectic_excess(a: Array, b: Array, c: Array) -> tuple[Array, Array]:
    """Both symplectic eigenvalues, minus 1, of the covariance matrix [[a, c Z], [c Z, b]]."""
    apart, product = np.abs(a - b), a * b - c**2
    small = np.maximum((np.sqrt(apart**2 + 4 * product) - apart) / 2 - 1, 0.0)
    return small + apart, small


@dataclass(frozen=True, slots=True)
class Line:
    """The state that Alice's Gaussian modulation and the channel make, before Bob's detector.

    Attributes:
        v_a: Variance of the modulation.
        transmittance: T, at most 1.
        excess: T xi, excess noise at the channel's output: finite however small T is.
    """

    v_a: Array
    transmittance: Array
    excess: Array

    @property
    def eigenvalues(self) -> tuple[Array, Array, Array]:
        """Excess of both symplectic eigenvalues, and (1 - A + B), which is (l1^2 - 1)(l2^2 - 1)."""
        lost, noise = self.lost, self.excess
        apart = np.abs(lost - noise)
        root = self.root_b_excess
        above = noise * self.v_a + 2 * np.minimum(lost, noise)  # root - apart, without the subtraction
        small = 2 * above / (np.sqrt(apart**2 + 4 + 4 * root) + apart + 2)
        return small + apart, small, above * (root + apart)

    @property
    def lost(self) -> Array:
        """V_A (1 - T)."""
        return self.v_a * (1 - self.transmittance)

    @property
    def root_b_excess(self) -> Array:
        """sqrt(B) - 1 = V_A (1 - T) + T xi (V_A + 1)."""
        return self.lost + self.excess * (self.v_a + 1)

    def information(self, noise: Array, quadratures: int) -> Array:
        """I_AB in bits per pulse: 1/2 log2(1 + signal over noise) of each quadrature."""
        ratio = self.transmittance * self.v_a / (1 + self.excess + noise)
        found: Array = quadratures / 2 * np.log1p(ratio) / LN2
        return found

    def holevo(self, noise: Array, quadratures: int) -> tuple[Array, tuple[Array, ...]]:
        """chi_BE in bits per pulse, and the four symplectic eigenvalues, minus 1.

        Args:
            noise: chi of Bob's detector, referred to its input: chi_hom for one quadrature, chi_het for two.
            quadratures: 1 for homodyne, 2 for heterodyne detection.
        """
        one, two, product = self.eigenvalues
        total, product_34 = self._conditional(noise, product, quadratures)
        apart = np.sqrt(np.maximum(total**2 - 4 * product_34, 0.0))
        three = (total + apart) / 2  # l3^2 - 1; l4^2 - 1 follows from their product
        four = np.where(three > 0, product_34 / np.where(three > 0, three, 1.0), 0.0)
        three, four = three / (1 + np.sqrt(1 + three)), four / (1 + np.sqrt(1 + four))
        known = mode_entropy(one) + mode_entropy(two) - mode_entropy(three) - mode_entropy(four)
        return known, (one, two, three, four)

    def _conditional(self, noise: Array, product: Array, quadratures: int) -> tuple[Array, Array]:
        """(l3^2 - 1) + (l4^2 - 1) = C - 2, and (l3^2 - 1)(l4^2 - 1) = 1 - C + D, after Bob measured."""
        v, root = self.v_a + 1, self.root_b_excess
        bob = 1 + self.transmittance * self.v_a + self.excess  # b = T (V + chi_line)
        seen = bob + noise  # T (V + chi_tot)
        gap = self.lost - self.excess
        both = gap**2 + 2 * root  # A - 2
        cross = (v + 1) * (self.lost + self.excess * self.v_a)  # V sqrt(B) - b
        if quadratures == 1:
            return (cross + noise * both) / seen, noise * product / seen
        total = (noise**2 * both + 2 * noise * cross + root**2 + 2 * bob * gap) / seen**2
        return total, np.maximum(noise**2 - 1, 0.0) * product / seen**2


@dataclass(frozen=True, slots=True)
class Link:
    """What is Eve's (the line) and what is Bob's (efficiency and electronic noise)."""

    line: Line
    efficiency: Array
    v_el: Array
    quadratures: int

    @property
    def noise(self) -> Array:
        """chi_hom or chi_het."""
        j = self.quadratures
        return (j - self.efficiency + j * self.v_el) / self.efficiency

    def limits(self, m: Array, z: Array) -> tuple[Array, Array, Array]:
        """What m disclosed pulses tell within z standard deviations: least and greatest t, greatest excess noise.

        Each quadrature sees T eta / quadratures of the signal; Delta t = z sqrt(sigma^2 / (m V_A)).
        """
        j = self.quadratures
        t = np.sqrt(self.line.transmittance * self.efficiency / j)
        sigma2 = 1 + self.v_el + self.line.excess * self.efficiency / j
        width = z * np.sqrt(sigma2 / (m * self.line.v_a))
        excess = j * (sigma2 * (1 + z * np.sqrt(2 / m)) - 1 - self.v_el) / self.efficiency
        return t - width, t + width, excess

    def line_at(self, t: Array, excess: Array) -> Line:
        """The line of this t and excess noise; a channel does not amplify, and t below 0 counts as 0."""
        transmittance = self.quadratures * np.maximum(t, 0.0) ** 2 / self.efficiency
        return Line(self.line.v_a, np.minimum(transmittance, 1.0), excess)

    def holevo(self, t: Array, excess: Array) -> Array:
        """chi_BE at this t and excess noise."""
        return self.line_at(t, excess).holevo(self.noise, self.quadratures)[0]

    def holevo_worst(self, least: Array, most: Array, excess: Array) -> Array:
        """The greatest chi_BE for t between these: at five points, or between them by the parabolas through three."""
        known = [self.holevo(least + share * (most - least), excess) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        tops = [_top(*known[first : first + 3]) for first in range(3)]
        found: Array = np.maximum.reduce([*known, *tops])
        return found


def _top(left: Array, middle: Array, right: Array) -> Array:
    """Of the parabola through three evenly spaced points, within them."""
    slope, bend = (right - left) / 2, (right + left) / 2 - middle
    is_inside = (bend < 0) & (np.abs(slope) < -2 * bend)
    return np.where(is_inside, middle - slope**2 / (4 * np.where(is_inside, bend, -1.0)), middle)


def beyond_rounding(rate: Array, size: Array) -> Array:
    """The rate where it is more than rounding could make of nothing; elsewhere below zero: no key.

    Args:
        size: Of the numbers whose difference it is. They carry errors of some 2^-53 each, times the slope of the
            entropy next to a pure state, which is below 60: 1e-14 covers both.
    """
    guard = 1e-14 * size
    return np.where(rate > guard, rate, np.minimum(rate, -guard))
