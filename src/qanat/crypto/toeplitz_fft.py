"""The fast Toeplitz product: a cyclic convolution of bits on a grid with coprime sides, in float64.

A cyclic convolution of ``rows * columns`` points, sides without a common factor, *is* a convolution on the grid
``(i mod rows, i mod columns)`` (Good 1958, Thomas 1963): no twiddle factors, and every one-dimensional FFT is short
enough for the cache and runs beside its neighbours in vector registers. That is what makes it about twice as
fast as one long FFT (bench/amplification.py). Reading along the diagonal needs no index array: it is a shear.

Exactness. The sums are whole numbers of at most 2**26, far below 2**53. The error of an FFT of N points in norm is at
most about 7 u log2(N), u = 2**-53 (Higham, Accuracy and Stability of Numerical Algorithms, theorem 24.2, whose bound
for radix 2 we take with a wide margin for others). A product of bits meets three of them, times the norms of both
columns, at most N together: 3 * 7 * 26 * 2**-53 * 2**26 = 4e-6 at the largest grid, against the 1/2 that would make
a wrong bit. ``FRACTION_ERROR_MAX`` is checked on every sum at run time all the same: memory and libraries fail too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from qanat.core.errors import QanatError

Bits = NDArray[np.uint8]
POINTS_MAX = 1 << 26  # one spectrum is 8 bytes per point: two of them 1.1 GB at the most
FRACTION_ERROR_MAX = 0.1  # usual: 1e-10 at 1e6 points
_PANEL_POINTS = 1 << 15  # rows worked on at once: 256 KiB in float64, which a second-level cache holds
# Adding 1.5 * 2**52 leaves a float64 no room for fractions: it rounds to nearest, the last bit becomes the parity.
_ROUNDING = 1.5 * 2.0**52


class InexactError(QanatError):
    """The rounding error of the privacy-amplification FFT came too close to a wrong bit. The block must be
    given up; the integer backend does not round. Does this machine compute right? No correct one comes near."""


class Fft(Protocol):
    """What of ``scipy.fft`` is used. Others with the same signatures serve as well."""

    def rfft(self, x: NDArray[np.float64], *, axis: int) -> NDArray[np.complex128]: ...
    def irfft(self, x: NDArray[np.complex128], n: int, *, axis: int) -> NDArray[np.float64]: ...
    def fft(self, x: NDArray[np.complex128], *, axis: int, overwrite_x: bool) -> NDArray[np.complex128]: ...
    def ifft(self, x: NDArray[np.complex128], *, axis: int, overwrite_x: bool) -> NDArray[np.complex128]: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Sides of the grid: ``rows`` is odd with no prime factor above 11, ``columns`` a power of two."""

    rows: int
    columns: int

    @property
    def points(self) -> int:
        return self.rows * self.columns


@cache
def _odd_sides() -> NDArray[np.int64]:
    sides = np.array([1], dtype=np.int64)
    for prime in (3, 5, 7, 11):
        powers = prime ** np.arange(13, dtype=np.int64)
        sides = np.unique(np.outer(sides, powers[powers <= POINTS_MAX]))
        sides = sides[sides <= POINTS_MAX]
    return sides


@cache
def grid_from_size(size: int) -> Grid:
    """The smallest good grid with at least that many points, longer than wide by at most 64.

    Example:
        >>> grid_from_size(1_299_999)
        Grid(rows=2541, columns=512)
    """
    sides = _odd_sides()
    grids = []
    for power in range(27):
        columns = 1 << power
        if columns == 1 or size / 64 <= columns * columns <= size:
            rows = int(sides[np.searchsorted(sides, -(-size // columns))])
            grids.append(Grid(rows, columns))
    wide = [grid for grid in grids if grid.columns > 1]
    return min(wide or grids, key=lambda grid: grid.points)


def cyclic_parities(a: Bits, b: Bits, *, first: int, stop: int, fft: Fft) -> Bits:
    """Parities of the terms ``first`` to ``stop`` (excluded) of a cyclic convolution of 0-1 columns.

    Its length is that of ``grid_from_size(stop)``. The columns may be shorter, never longer than ``stop``.

    Raises:
        InexactError: the rounding error of any sum reached ``FRACTION_ERROR_MAX``. Nothing is returned then.
    """
    grid = grid_from_size(stop)
    spectrum = _spectrum(a, grid, fft)
    spectrum *= _spectrum(b, grid, fft)
    spectrum = fft.ifft(spectrum, axis=0, overwrite_x=True)
    rows, columns = grid.rows, grid.columns
    sheared = np.empty((rows + columns - 1, columns), dtype=np.uint8)
    for start in range(0, rows, _panel_rows(grid)):
        panel = slice(start, start + _panel_rows(grid))
        sheared[:rows][panel] = parities(fft.irfft(spectrum[panel], columns, axis=1))
    sheared[rows:] = sheared[np.arange(columns - 1) % rows]  # on from the top, so that diagonals run through
    diagonal = as_strided(sheared, (rows, columns), (columns, columns + 1))
    chunks = np.arange(first // columns, -(-stop // columns))
    terms = diagonal[chunks * columns % rows].reshape(-1)
    return terms[first % columns :][: stop - first]


def _spectrum(bits: Bits, grid: Grid, fft: Fft) -> NDArray[np.complex128]:
    rows, columns = grid.rows, grid.columns
    padded = np.zeros(grid.points, dtype=np.uint8)
    padded[: len(bits)] = bits
    # Row j of the doubled grid holds the stretch of bits that begins at a place equal to j modulo rows.
    order = np.arange(1 - columns, rows) * pow(columns, -1, rows) % rows
    doubled = padded.reshape(rows, columns)[order]
    diagonal = as_strided(doubled[columns - 1 :], (rows, columns), (columns, 1 - columns))
    spectrum = np.empty((rows, columns // 2 + 1), dtype=np.complex128)
    for start in range(0, rows, _panel_rows(grid)):
        panel = slice(start, start + _panel_rows(grid))
        spectrum[panel] = fft.rfft(diagonal[panel].astype(np.float64), axis=1)
    return fft.fft(spectrum, axis=0, overwrite_x=True)


def _panel_rows(grid: Grid) -> int:
    return max(1, _PANEL_POINTS // grid.columns)


def parities(sums: NDArray[np.float64]) -> Bits:
    """The last bit of each sum, once all of them are seen to be whole numbers but for a small error."""
    whole = sums + _ROUNDING
    last = (whole.view(np.int64) & 1).astype(np.uint8)
    whole -= _ROUNDING
    with np.errstate(invalid="ignore"):  # infinite minus infinite is NaN, which fails below
        whole -= sums
    error = float(max(whole.max(), -whole.min()))
    if not error < FRACTION_ERROR_MAX:  # written so that NaN fails too
        raise InexactError(f"rounding error {error:.3g} among {sums.size} sums, limit {FRACTION_ERROR_MAX}")
    return last
