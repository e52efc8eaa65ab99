"""Privacy amplification: multiplication with a random Toeplitz matrix over GF(2), exact, by FFT.

The matrix has ``out_bits`` rows and ``size_bits`` columns, entry (i, j) = seed[size_bits - 1 + i - j].
Toeplitz matrices are a universal-2 family: two different inputs meet with probability 2**-out_bits over
the seed. Source: Krawczyk, CRYPTO '94, LNCS 839, p. 129; use for privacy amplification: Bennett et al.,
IEEE Trans. Inf. Theory 41, 1915 (1995). The seed may be public, must be random, must be drawn after
the quantum phase and is used once (``toeplitz_seed``).

The product over GF(2) is the last bit of a product over the integers. Three backends make it, with the same
bits: ``toeplitz_fft`` on scipy or on pyfftw, and ``toeplitz_integer``, which never rounds. Large matrices are cut
into tiles, so that memory stays below 1.5 GB at any size; the results of tiles beside each other are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from typing import cast

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import EnvironmentProblem
from qanat.crypto.toeplitz_fft import POINTS_MAX, Fft, InexactError, cyclic_parities
from qanat.crypto.toeplitz_integer import cyclic_parities as cyclic_parities_integer

__all__ = ["Backend", "BackendMissing", "InexactError", "seed_bits", "toeplitz_hash", "toeplitz_hash_plain"]


class Backend(StrEnum):
    """Who multiplies. All give the same bits."""

    SCIPY = "scipy"
    PYFFTW = "pyfftw"  # for comparison; slower here, and not ours to distribute: docs/decisions/0028
    INTEGER = "integer"  # a number-theoretic transform, some ten times slower


class BackendMissing(EnvironmentProblem):
    """The FFT library asked for is not installed. Without it, take the backend `scipy`, which gives the same
    bits and is no slower; `python -m pip install pyfftw` brings the other one, under FFTW's GPL."""


def seed_bits(size_bits: int, out_bits: int) -> int:
    """Random bits that a matrix needs.

    Example:
        >>> seed_bits(1000, 300)
        1299
    """
    return size_bits + out_bits - 1


def toeplitz_hash(
    bits: NDArray[np.uint8],
    *,
    size_bits: int,
    seed: NDArray[np.uint8],
    out_bits: int,
    backend: Backend | str = Backend.SCIPY,
    points_max: int = POINTS_MAX,
) -> NDArray[np.uint8]:
    """The product of the seed's Toeplitz matrix and the input, over GF(2).

    Args:
        bits: Input, packed most significant bit first, ceil(size_bits / 8) bytes; spare bits are zero.
        seed: ``seed_bits(size_bits, out_bits)`` bits, packed alike; spare bits are ignored.
        out_bits: From 0 to ``size_bits``.
        backend: Who multiplies; no difference but speed.
        points_max: Largest transform, at least 32. Memory at the peak is 21 bytes per point.

    Returns:
        ``out_bits`` bits, packed alike; spare bits are zero.

    Raises:
        ValueError: sizes do not fit, or there is no such backend.
        InexactError: the rounding error of an FFT came too close to a wrong bit. Nothing is returned then.
        BackendMissing: pyfftw is asked for and not installed.

    Cost: three real FFTs of about size_bits + out_bits points in float64, more where tiles are needed.
    """
    _check_sizes(bits, size_bits, seed, out_bits)
    if not 32 <= points_max <= POINTS_MAX:
        raise ValueError(f"a transform has 32 to {POINTS_MAX} points, not {points_max}")
    backend = Backend(backend)
    fft = None if backend is Backend.INTEGER else _fft(backend)
    hashed = np.zeros((out_bits + 7) // 8, dtype=np.uint8)
    for rows, columns in _tiles(size_bits, out_bits, points_max):
        diagonals = _unpacked(seed, size_bits - columns.stop + rows.start, len(rows) + len(columns) - 1)
        part = _unpacked(bits, columns.start, len(columns))
        # Output i is term len(columns) - 1 + i of the linear product. The cyclic product has as many points as the
        # tile has diagonals, or more: what wraps round lands below term len(columns) - 1.
        first, stop = len(columns) - 1, len(diagonals)
        terms = (
            cyclic_parities_integer(diagonals, part, first=first, stop=stop)
            if fft is None
            else cyclic_parities(diagonals, part, first=first, stop=stop, fft=fft)
        )
        hashed[rows.start // 8 : (rows.stop + 7) // 8] ^= np.packbits(terms)
    return hashed


def _tiles(size_bits: int, out_bits: int, points_max: int) -> Iterator[tuple[range, range]]:
    """Rows and columns of the tiles, at most ``points_max`` diagonals each; all but the last begin at whole bytes.

    A grid may have a few more points than diagonals: 3 % are kept free for that.
    """
    diagonals_max = points_max * 31 // 32
    rows_max = min(out_bits, max(8, diagonals_max // 2 // 8 * 8))
    columns_max = max(8, (diagonals_max - rows_max) // 8 * 8)
    for row in range(0, out_bits, rows_max or 1):
        for column in range(0, size_bits, columns_max):
            yield range(row, min(row + rows_max, out_bits)), range(column, min(column + columns_max, size_bits))


def _unpacked(packed: NDArray[np.uint8], start: int, count: int) -> NDArray[np.uint8]:
    offset = start % 8
    return np.unpackbits(packed[start // 8 : (start + count + 7) // 8], count=offset + count)[offset:]


def _fft(backend: Backend) -> Fft:
    # Imported here: processes that serve keys import this room without scipy.
    name = "scipy.fft" if backend is Backend.SCIPY else "pyfftw.interfaces.scipy_fft"
    try:
        return cast("Fft", import_module(name))
    except ImportError as error:
        raise BackendMissing(f"{name}: {error}") from None


def toeplitz_hash_plain(
    bits: NDArray[np.uint8], *, size_bits: int, seed: NDArray[np.uint8], out_bits: int
) -> NDArray[np.uint8]:
    """The same product row by row in whole numbers: the reference, size_bits * out_bits / 64 steps."""
    _check_sizes(bits, size_bits, seed, out_bits)
    total_bits = seed_bits(size_bits, out_bits)
    backwards = int.from_bytes(np.packbits(np.unpackbits(bits, count=size_bits)[::-1]).tobytes()) >> (-size_bits % 8)
    diagonals = int.from_bytes(seed.tobytes()) >> (-total_bits % 8)
    mask = (1 << size_bits) - 1
    rows = ((diagonals >> (out_bits - 1 - i)) & mask for i in range(out_bits))
    return np.packbits(np.array([(row & backwards).bit_count() & 1 for row in rows], dtype=np.uint8))


def _check_sizes(bits: NDArray[np.uint8], size_bits: int, seed: NDArray[np.uint8], out_bits: int) -> None:
    if not 0 <= out_bits <= size_bits or size_bits < 1:
        raise ValueError(f"cannot make {out_bits} bits from {size_bits}")
    for name, column, expected_bits in (
        ("bits", bits, size_bits),
        ("seed", seed, seed_bits(size_bits, out_bits)),
    ):
        if column.dtype != np.uint8 or column.shape != ((expected_bits + 7) // 8,):
            raise ValueError(f"{name}: {column.shape} of {column.dtype} is not {expected_bits} packed bits")
    if int(bits[-1]) & ((1 << (-size_bits % 8)) - 1):
        raise ValueError("bits after the last one must be zero")
