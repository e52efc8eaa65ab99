"""Privacy amplification: multiplication with a random Toeplitz matrix over GF(2), exact, by FFT.

The matrix has ``out_bits`` rows and ``size_bits`` columns, entry (i, j) = seed[size_bits - 1 + i - j].
Toeplitz matrices are a universal-2 family: two different inputs meet with probability 2**-out_bits over
the seed. Source: Krawczyk, CRYPTO '94, LNCS 839, p. 129; use for privacy amplification: Bennett et al.,
IEEE Trans. Inf. Theory 41, 1915 (1995). The seed may be public, must be random, and must be drawn after
the quantum phase.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import QanatError

# A rounded FFT product is right while its error stays below 1/2. Measured: 6e-11 at 1e6 bits, 4e-9 at 5e7
# (bench/amplification.py), so 0.1 leaves ten million times the usual error, and a margin of five to a wrong bit.
FRACTION_ERROR_MAX = 0.1


class InexactError(QanatError):
    """The rounding error of the privacy-amplification FFT came too close to a wrong bit. The block must be
    given up; smaller key blocks (`block_sifted_bits`) are exact."""


def seed_bits(size_bits: int, out_bits: int) -> int:
    """Random bits that a matrix needs.

    Example:
        >>> seed_bits(1000, 300)
        1299
    """
    return size_bits + out_bits - 1


def toeplitz_hash(
    bits: NDArray[np.uint8], *, size_bits: int, seed: NDArray[np.uint8], out_bits: int
) -> NDArray[np.uint8]:
    """The product of the seed's Toeplitz matrix and the input, over GF(2).

    Args:
        bits: Input, packed most significant bit first, ceil(size_bits / 8) bytes; spare bits are zero.
        seed: ``seed_bits(size_bits, out_bits)`` bits, packed alike; spare bits are ignored.
        out_bits: From 0 to ``size_bits``.

    Returns:
        ``out_bits`` bits, packed alike; spare bits are zero.

    Raises:
        ValueError: sizes do not fit.
        InexactError: the rounding error reached ``FRACTION_ERROR_MAX``. Nothing is returned then.

    Cost: three real FFTs of about size_bits + out_bits points in float64, 24 bytes per point at the peak.
    """
    _check_sizes(bits, size_bits, seed, out_bits)
    if out_bits == 0:
        return np.zeros(0, dtype=np.uint8)
    total_bits = seed_bits(size_bits, out_bits)
    product = _cyclic_product(
        np.unpackbits(seed, count=total_bits), np.unpackbits(bits, count=size_bits), size=total_bits
    )
    # Output i is term size_bits - 1 + i of the linear product. The cyclic product has at least total_bits
    # points, and the linear one 2 size_bits + out_bits - 2: what wraps round lands below size_bits - 1.
    return np.packbits(_parities(product[size_bits - 1 : total_bits]))


def _cyclic_product(a: NDArray[np.uint8], b: NDArray[np.uint8], *, size: int) -> NDArray[np.float64]:
    """Cyclic convolution of two bit columns over the integers, at least ``size`` points, in float64.

    Never in float32: at 1e7 bits that gives 8 % wrong bits without a word.
    """
    from scipy import fft  # noqa: PLC0415 - processes that serve keys import this room without scipy

    points = fft.next_fast_len(size, real=True)
    spectrum = fft.rfft(a.astype(np.float64), n=points, overwrite_x=True)
    spectrum *= fft.rfft(b.astype(np.float64), n=points, overwrite_x=True)
    product: NDArray[np.float64] = fft.irfft(spectrum, n=points, overwrite_x=True)
    return product


def _parities(sums: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The last bit of each sum, once all of them are seen to be whole numbers but for a small error."""
    whole = np.rint(sums)
    error = float(np.max(np.abs(sums - whole)))
    if not error < FRACTION_ERROR_MAX:  # written so that NaN fails too
        raise InexactError(f"rounding error {error:.3g} among {len(sums)} sums, limit {FRACTION_ERROR_MAX}")
    return (whole.astype(np.int64) & 1).astype(np.uint8)


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
