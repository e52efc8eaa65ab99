"""Coherent states in constellations: what the proof of Denys, Brown and Leverrier asks of one, and what Bob learns.

Denys, Brown, Leverrier, Quantum 5, 540 (2021). With tau the average state sent and a_tau = tau^(1/2) a tau^(-1/2), a
constellation is three numbers: <n>, tr(tau^(1/2) a tau^(1/2) a^+), and w = average over its states of (<a_tau^+ a_tau>
- |<a_tau>|^2). They are found on the span of its states, where nothing is cut off: in closed form for four phases, from
the matrix of overlaps for a grid. Derivation: docs/decisions/0052.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.keyrate.fibre import LN2
from qanat.keyrate.parameter import Array

SIDES = {"qpsk": 2, "qam16": 4, "qam64": 8}  # amplitudes per quadrature
EIGENVALUE_MIN = 1e-14  # of the overlaps: below lies rounding; what is left out weighs its square root at most
NODES = np.linspace(-9.0, 9.0, 225)  # of noise, in standard deviations; a step of 0.08 leaves an error below 1e-15
POINTS_AT_ONCE = 2**19  # numbers in the arrays of one chunk: they stay in the cache


@dataclass(frozen=True, slots=True)
class Moments:
    """What the proof needs to know of a constellation.

    Attributes:
        overlap: tr(tau^(1/2) a tau^(1/2) a^+).
        spread: w; it tends to 0 as the modulation becomes Gaussian.
    """

    overlap: Array
    spread: Array


def four_phases(alpha: Array) -> Moments:
    """QPSK of amplitude ``alpha``. tau has the eigenvalues l_k = sum of Poisson(alpha^2) at k, k + 4, ...

    a takes the k-th eigenvector to alpha sqrt(l_(k-1) / l_k) times the one before.
    """
    weights = _every_fourth(alpha**2)
    before = np.roll(weights, 1, axis=0)
    step = np.sqrt(before / weights)
    mean = np.sum(before * step, axis=0)
    spread = np.sum(before * (step - mean) ** 2, axis=0)
    return Moments(alpha**2 * mean, alpha**2 * spread)


def _every_fourth(x: Array) -> Array:
    """e^-x times the sum of x^n / n! over n = k, k + 4, ...; shape (4, ...)."""
    low = np.minimum(x, 1.0)
    series = [sum(low ** (k + 4 * m) / math.factorial(k + 4 * m) for m in range(5)) * np.exp(-low) for k in range(4)]
    wave, fade = np.exp(-x) / 2, np.exp(-2 * x)
    even, odd = (1 + fade) / 4, (1 - fade) / 4
    closed = [even + wave * np.cos(x), odd + wave * np.sin(x), even - wave * np.cos(x), odd - wave * np.sin(x)]
    return np.where(x <= 1, np.stack(series), np.stack(closed))


def grid(side: int) -> tuple[Array, Array]:
    """Amplitudes of one quadrature with variance 1, and their binomial weights."""
    steps = np.arange(side)
    weights = np.array([math.comb(side - 1, int(k)) for k in steps]) / 2.0 ** (side - 1)
    return (2 * steps - (side - 1)) / np.sqrt(side - 1), weights


def square_grid(alpha: Array, side: int) -> Moments:
    """``side`` squared states; each different ``alpha`` costs the eigenvectors of their matrix of overlaps."""
    different, where = np.unique(alpha, return_inverse=True)
    found = np.array([_of_grid(float(each), side) for each in different]).reshape(-1, 2)[where.reshape(alpha.shape)]
    return Moments(found[..., 0], found[..., 1])


def _of_grid(alpha: float, side: int) -> tuple[float, float]:
    levels, weights = grid(side)
    states = (alpha / np.sqrt(2) * (levels[:, None] + 1j * levels[None, :])).ravel()
    shares = np.outer(weights, weights).ravel()
    return overlap_and_spread(states, shares)


def overlap_and_spread(states: NDArray[np.complex128], shares: Array) -> tuple[float, float]:
    """Both moments of any constellation, from G = <psi_i|psi_j>, psi_i = sqrt(p_i) |alpha_i>, and D = diag(alpha_i).

    tr(tau^(1/2) a tau^(1/2) a^+) = tr(D^+ G^(3/2) D G^(-1/2)), and w = tr(D^+ G^2 D G^(-1)) less the sum of
    |(G^(3/2) D G^(-1/2))_ii|^2 / p_i.
    """
    size = np.abs(states) ** 2
    overlaps = np.exp(np.conj(states)[:, None] * states[None, :] - (size[:, None] + size[None, :]) / 2)
    root = np.sqrt(shares)
    values, vectors = np.linalg.eigh(overlaps * root[:, None] * root[None, :])
    kept = values > EIGENVALUE_MIN
    values, vectors = values[kept], vectors[:, kept]
    moved = vectors.conj().T @ (states[:, None] * vectors)
    lowered = values[:, None] ** 1.5 * moved / np.sqrt(values)
    overlap = float(np.sum(lowered * moved.conj()).real)
    means = np.sum((vectors @ lowered) * vectors.conj(), axis=1)
    spread = float(np.sum(np.abs(values[:, None] * moved) ** 2 / values) - np.sum(np.abs(means) ** 2 / shares))
    return overlap, max(spread, 0.0)


def information(amplitude: Array, side: int) -> Array:
    """Bits per quadrature about amplitudes of standard deviation ``amplitude`` in noise of variance 1, exactly.

    The trapezoid rule converges exponentially on such integrands.
    """
    flat = np.asarray(amplitude, dtype=np.float64).ravel()
    of_some = _of_two if side == 2 else _of_many
    size = max(1, POINTS_AT_ONCE // (len(NODES) * (1 if side == 2 else side**2)))
    parts = [of_some(flat[first : first + size, None], side) for first in range(0, len(flat), size)]
    return np.concatenate([*parts, np.empty(0)]).reshape(np.shape(amplitude))


def _of_two(amplitude: Array, _side: int) -> Array:
    """I = [A^2 - E ln cosh(A^2 + A n)] / ln 2: exact also where A is small, unlike 1 - E log2(1 + e^...)."""
    half = np.sinh((amplitude**2 + amplitude * NODES) / 2)
    found: Array = (amplitude[:, 0] ** 2 - np.log1p(2 * half**2) @ _NORMAL) / LN2
    return found


def _of_many(amplitude: Array, side: int) -> Array:
    levels, weights = grid(side)
    apart = amplitude[..., None, None] * (levels[:, None] - levels[None, :])[None, None]  # (points, 1, sent, other)
    others = np.exp(-apart * (NODES[None, :, None, None] + apart / 2)) @ weights
    found: Array = -np.einsum("pns,n,s->p", np.log(others), _NORMAL, weights) / LN2
    return found


_NORMAL = np.exp(-(NODES**2) / 2) / np.sqrt(2 * np.pi) * (NODES[1] - NODES[0])
