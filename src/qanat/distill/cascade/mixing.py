"""Public permutations and random words from a seed, the same on every platform and version.

numpy does not promise that its generators keep their stream from version to version, and the two ends of
a link may run different ones. So this is our own: splitmix64 (Steele, Lea, Flood, OOPSLA 2014) for the
words, Fisher-Yates for the permutation. It is public and serves no secret: what it must not be is biased.
"""

from __future__ import annotations

import hashlib

import numba
import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15
MIX_1 = 0xBF58476D1CE4E5B9
MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def random_words(count: int, seed: bytes, name: str) -> NDArray[np.uint64]:
    """splitmix64 outputs, uint64, shape (count,)."""
    words = np.empty(count, dtype=np.uint64)
    _fill(np.uint64(_start(seed, name)), words)
    return words


def permutation(size: int, seed: bytes, name: str) -> NDArray[np.int32]:
    """A random order of 0..size-1, int32, shape (size,).

    The bound is taken as high half of a product, biased by less than size / 2**32: harmless here.

    Example:
        >>> permutation(5, b"seed", "x").tolist() == permutation_plain(5, b"seed", "x")
        True
    """
    order = np.arange(size, dtype=np.int32)
    _shuffle(np.uint64(_start(seed, name)), order)
    return order


def random_words_plain(count: int, seed: bytes, name: str) -> list[int]:
    """The same words in plain integers: the reference."""
    start = _start(seed, name)
    return [_mixed(start + (step + 1) * GOLDEN) for step in range(count)]


def permutation_plain(size: int, seed: bytes, name: str) -> list[int]:
    """The same order in plain integers: the reference."""
    order = list(range(size))
    for word, last in zip(random_words_plain(max(0, size - 1), seed, name), range(size - 1, 0, -1), strict=True):
        other = ((word >> 32) * (last + 1)) >> 32
        order[last], order[other] = order[other], order[last]
    return order


def _start(seed: bytes, name: str) -> int:
    return int.from_bytes(hashlib.sha256(b"qanat cascade/" + name.encode() + b"/" + seed).digest()[:8])


def _mixed(state: int) -> int:
    z = state & _MASK
    z = ((z ^ (z >> 30)) * MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * MIX_2) & _MASK
    return z ^ (z >> 31)


_U = numba.uint64


@numba.njit(numba.uint64(numba.uint64), cache=True)
def _next(state):  # type: ignore[no-untyped-def]
    z = state
    z = (z ^ (z >> _U(30))) * _U(MIX_1)
    z = (z ^ (z >> _U(27))) * _U(MIX_2)
    return z ^ (z >> _U(31))


@numba.njit(numba.void(numba.uint64, numba.uint64[::1]), cache=True)
def _fill(state, words):  # type: ignore[no-untyped-def]
    for i in range(len(words)):
        state += _U(GOLDEN)
        words[i] = _next(state)


@numba.njit(numba.void(numba.uint64, numba.int32[::1]), cache=True)
def _shuffle(state, order):  # type: ignore[no-untyped-def]
    for last in range(len(order) - 1, 0, -1):
        state += _U(GOLDEN)
        other = ((_next(state) >> _U(32)) * _U(last + 1)) >> _U(32)
        kept = order[last]
        order[last] = order[other]
        order[other] = kept
