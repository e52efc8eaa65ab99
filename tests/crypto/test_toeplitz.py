"""Privacy amplification is exact: every bit equals a slow product in whole numbers."""

import numpy as np
import pytest
from scipy.linalg import toeplitz

from qanat.core.streams import Streams
from qanat.crypto import toeplitz as room
from qanat.crypto.toeplitz import InexactError, seed_bits, toeplitz_hash, toeplitz_hash_plain


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


def test_a_large_rounding_error_raises_instead_of_returning_wrong_bits(monkeypatch):
    exact = room._cyclic_product

    def with_an_error(a, b, *, size):
        return exact(a, b, size=size) + 0.12

    values = case("inexact", 1_000, 300)
    monkeypatch.setattr(room, "_cyclic_product", with_an_error)
    with pytest.raises(InexactError, match=r"0\.12"):
        toeplitz_hash(values.pop("bits"), **values)


def test_not_a_number_is_inexact():
    with pytest.raises(InexactError):
        room._parities(np.array([1.0, np.nan]))


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
