"""Privacy amplification is exact: every bit equals a slow product in whole numbers."""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft
from scipy.linalg import toeplitz

from qanat.core.streams import Streams
from qanat.crypto import toeplitz_fft as room
from qanat.crypto import toeplitz_integer
from qanat.crypto.toeplitz import BackendMissing, InexactError, seed_bits, toeplitz_hash, toeplitz_hash_plain

NO_FFTW = find_spec("pyfftw") is None


def packed(rng, size_bits):
    return np.packbits(rng.integers(0, 2, size_bits, dtype=np.uint8))


def case(name, size_bits, out_bits):
    rng = Streams(seed=11).get(name)
    return {
        "bits": packed(rng, size_bits),
        "size_bits": size_bits,
        "seed": packed(rng, seed_bits(size_bits, out_bits)),
        "out_bits": out_bits,
    }


SIZES = [(1, 1), (2, 1), (7, 7), (8, 3), (9, 8), (63, 64 - 1), (64, 64), (65, 17), (1000, 300), (4097, 4097)]


@pytest.mark.parametrize(("size_bits", "out_bits"), [*SIZES, (20_011, 6_007), (65_536, 20_000)])
def test_fft_and_whole_numbers_agree_on_all_bits(size_bits, out_bits):
    values = case(f"equal/{size_bits}", size_bits, out_bits)
    bits = values.pop("bits")
    assert np.array_equal(toeplitz_hash(bits, **values), toeplitz_hash_plain(bits, **values))


@pytest.mark.parametrize(("size_bits", "out_bits"), SIZES[:-1])
def test_both_agree_with_a_matrix_written_out(size_bits, out_bits):
    values = case(f"matrix/{size_bits}", size_bits, out_bits)
    bits = values.pop("bits")
    seed = np.unpackbits(values["seed"], count=seed_bits(size_bits, out_bits)).astype(int)
    matrix = toeplitz(seed[size_bits - 1 :], seed[size_bits - 1 :: -1])
    assert matrix.shape == (out_bits, size_bits)
    expected = np.packbits((matrix @ np.unpackbits(bits, count=size_bits) % 2).astype(np.uint8))
    assert np.array_equal(toeplitz_hash(bits, **values), expected)


def test_every_random_size_below_seventy_agrees():
    rng = Streams(seed=11).get("small")
    for number in range(600):
        size_bits = int(rng.integers(1, 70))
        out_bits = int(rng.integers(0, size_bits + 1))
        values = case(f"small/{number}", size_bits, out_bits)
        bits = values.pop("bits")
        assert np.array_equal(toeplitz_hash(bits, **values), toeplitz_hash_plain(bits, **values)), (size_bits, out_bits)


@pytest.mark.parametrize("size_bits", [200_000, 199_999])
def test_all_ones_give_the_largest_sums_and_are_still_exact(size_bits):
    ones = np.packbits(np.ones(size_bits, dtype=np.uint8))
    seed = np.packbits(np.ones(seed_bits(size_bits, 1_000), dtype=np.uint8))
    hashed = toeplitz_hash(ones, size_bits=size_bits, seed=seed, out_bits=1_000)
    assert np.array_equal(hashed, np.packbits(np.full(1_000, size_bits % 2, dtype=np.uint8)))


def test_the_hash_is_linear():
    first = case("linear", 5_000, 2_000)
    other = packed(Streams(seed=11).get("linear/other"), 5_000)
    bits = first.pop("bits")
    together = toeplitz_hash(bits ^ other, **first)
    assert np.array_equal(together, toeplitz_hash(bits, **first) ^ toeplitz_hash(other, **first))


def test_inputs_collide_as_rarely_as_a_universal_family_promises():
    # Exhaustive: over all 2**6 seeds for 4 -> 3 bits, any nonzero input meets 0 for exactly 1 in 8.
    for value in range(1, 16):
        bits = np.array([value << 4], dtype=np.uint8)
        zeros = sum(
            not toeplitz_hash(bits, size_bits=4, seed=np.array([seed << 2], dtype=np.uint8), out_bits=3).any()
            for seed in range(64)
        )
        assert zeros == 8


class WrongBy:
    """scipy.fft, but for an error in what comes out of the inverse transform."""

    def __init__(self, error):
        self.rfft, self.fft, self.ifft, self.error = fft.rfft, fft.fft, fft.ifft, error

    def irfft(self, x, n, *, axis):
        return fft.irfft(x, n, axis=axis) + self.error


def cyclic(seed_column, column, library):
    return room.cyclic_parities(seed_column, column, first=len(column) - 1, stop=len(seed_column), fft=library)


@pytest.mark.parametrize("error", [0.12, -0.12, 0.49, np.nan, np.inf, -np.inf])
def test_a_large_rounding_error_raises_instead_of_returning_wrong_bits(error):
    rng = Streams(seed=11).get("inexact")
    columns = rng.integers(0, 2, 1_299, dtype=np.uint8), rng.integers(0, 2, 1_000, dtype=np.uint8)
    assert len(cyclic(*columns, WrongBy(1e-9))) == 300
    with pytest.raises(InexactError):
        cyclic(*columns, WrongBy(error))


class SinglePrecision:
    """scipy.fft in float32: what gives 8 % wrong bits at 1e7 without a word."""

    def rfft(self, x, *, axis):
        return fft.rfft(x.astype(np.float32), axis=axis)

    def fft(self, x, *, axis, overwrite_x):
        return fft.fft(x.astype(np.complex64), axis=axis, overwrite_x=overwrite_x)

    def ifft(self, x, *, axis, overwrite_x):
        return fft.ifft(x.astype(np.complex64), axis=axis, overwrite_x=overwrite_x)

    def irfft(self, x, n, *, axis):
        return fft.irfft(x.astype(np.complex64), n, axis=axis).astype(np.float64)


def test_single_precision_is_caught_at_run_time():
    rng = Streams(seed=11).get("float32")
    columns = rng.integers(0, 2, 2_600_000, dtype=np.uint8), rng.integers(0, 2, 2_000_000, dtype=np.uint8)
    with pytest.raises(InexactError, match="rounding error"):
        cyclic(*columns, SinglePrecision())


BACKENDS = ["scipy", "integer", pytest.param("pyfftw", marks=pytest.mark.skipif(NO_FFTW, reason="no pyfftw here"))]


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    size_bits=st.integers(1, 1_200), share=st.floats(0, 1), points_max=st.sampled_from([32, 33, 100, 1_000, 1 << 26])
)
def test_all_backends_give_the_same_bits_with_any_tiles(backend, size_bits, share, points_max):
    out_bits = round(share * size_bits)
    values = case(f"tiles/{size_bits}", size_bits, out_bits)
    bits = values.pop("bits")
    hashed = toeplitz_hash(bits, **values, backend=backend, points_max=points_max)
    assert np.array_equal(hashed, toeplitz_hash_plain(bits, **values))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("out_bits", [0, 1, 50_000, 165_431])
def test_all_backends_agree_at_a_larger_size_and_its_edges(backend, out_bits):
    values = case(f"edges/{out_bits}", 165_431, out_bits)
    bits = values.pop("bits")
    whole = toeplitz_hash(bits, **values)
    assert len(whole) == (out_bits + 7) // 8
    assert np.array_equal(whole, toeplitz_hash(bits, **values, backend=backend, points_max=1 << 16))
    for row in {0, out_bits // 2, out_bits - 1} if out_bits else ():
        seed = np.unpackbits(values["seed"])[row : row + 165_431][::-1]
        expected = np.bitwise_and(seed, np.unpackbits(bits, count=165_431)).sum() & 1
        assert np.unpackbits(whole)[row] == expected


def test_the_prime_of_the_integer_backend_has_the_root_it_needs():
    prime = toeplitz_integer.PRIME
    assert prime == 2_013_265_921
    assert all(prime % divisor for divisor in range(3, 44_870, 2))
    # The order of the generator divides prime - 1 = 2**27 * 3 * 5 and none of its largest divisors.
    assert all(pow(31, (prime - 1) // factor, prime) != 1 for factor in (2, 3, 5))
    assert prime > room.POINTS_MAX


def test_every_grid_has_coprime_sides_of_small_factors_and_few_points_too_many():
    for size in [*range(1, 2_000), *(int(10 ** (power / 20)) for power in range(66, 156))]:
        grid = room.grid_from_size(size)
        assert grid.rows % 2 == 1
        assert grid.columns & (grid.columns - 1) == 0
        assert size <= grid.points
        assert grid.points <= room.POINTS_MAX or size > room.POINTS_MAX * 31 // 32
        assert size < 4_096 or grid.points < 1.06 * size
        rest = grid.rows
        for prime in (3, 5, 7, 11):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1


def test_a_backend_that_nobody_knows_or_has_is_refused(monkeypatch):
    values = case("backend", 100, 30)
    bits = values.pop("bits")
    with pytest.raises(ValueError, match="gmp"):
        toeplitz_hash(bits, **values, backend="gmp")
    with pytest.raises(ValueError, match="points"):
        toeplitz_hash(bits, **values, points_max=31)
    monkeypatch.setitem(sys.modules, "pyfftw.interfaces", None)
    monkeypatch.setitem(sys.modules, "pyfftw.interfaces.scipy_fft", None)
    with pytest.raises(BackendMissing, match="pyfftw"):
        toeplitz_hash(bits, **values, backend="pyfftw")


def test_sizes_that_do_not_fit_are_refused():
    values = case("sizes", 100, 30)
    bits = values.pop("bits")
    with pytest.raises(ValueError, match="cannot make"):
        toeplitz_hash(bits, **(values | {"out_bits": 101}))
    with pytest.raises(ValueError, match="seed"):
        toeplitz_hash(bits, **(values | {"seed": values["seed"][:-1]}))
    with pytest.raises(ValueError, match="bits"):
        toeplitz_hash(bits.astype(np.int64), **values)
    with pytest.raises(ValueError, match="zero"):
        toeplitz_hash(bits | np.uint8(1), **values)


def test_spare_bits_of_the_seed_do_not_matter():
    values = case("spare", 100, 30)  # 129 bits: 7 to spare
    bits, seed = values.pop("bits"), values.pop("seed")
    other = seed.copy()
    other[-1] |= 0x7F
    assert np.array_equal(toeplitz_hash(bits, seed=seed, **values), toeplitz_hash(bits, seed=other, **values))
