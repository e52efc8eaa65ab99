"""Verification tags against a second derivation of Poly1305's polynomial, and their collision bound."""

import pytest

from qanat.core.streams import Streams
from qanat.crypto.verification import collision_bound, verification_tag

PRIME = 2**130 - 5
CLAMP = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF  # RFC 8439, 2.5


def polynomial_tag(data, key):
    """The tag in Python's whole numbers, from RFC 8439, 2.5, without the mask."""
    point = int.from_bytes(key, "little") & CLAMP
    value = 0
    for start in range(0, len(data), 16):
        value = (value + int.from_bytes(data[start : start + 16] + b"\x01", "little")) * point % PRIME
    return (value % 2**128).to_bytes(16, "little")


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000, 12_500])
def test_the_tag_is_the_polynomial_of_rfc_8439(size):
    rng = Streams(seed=3).get(f"tag/{size}")
    data, key = rng.bytes(size), rng.bytes(16)
    assert verification_tag(data, key) == polynomial_tag(data, key)


def test_one_flipped_bit_changes_the_tag_wherever_it_is():
    rng = Streams(seed=3).get("flip")
    data, key = bytearray(rng.bytes(1_000)), rng.bytes(16)
    tag = verification_tag(bytes(data), key)
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert verification_tag(bytes(data), key) != tag, f"bit {bit}"
        data[bit // 8] ^= 1 << bit % 8


def test_the_bound_counts_sixteen_byte_blocks():
    assert collision_bound(128) == 8 * 2.0**-106
    assert collision_bound(129) == 16 * 2.0**-106
    assert collision_bound(0) == 8 * 2.0**-106
    assert collision_bound(1_000_000) == 8 * 7813 * 2.0**-106


def test_fewer_tag_bits_collide_more_often_and_never_more_than_surely():
    bounds = [collision_bound(10_000, tag_bits) for tag_bits in range(128, 0, -8)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == 1.0


@pytest.mark.parametrize(("size_bits", "tag_bits"), [(-1, 128), (8, 0), (8, 129), (8, 127), (8, 136)])
def test_a_tag_that_does_not_exist_has_no_bound(size_bits, tag_bits):
    with pytest.raises(ValueError):
        collision_bound(size_bits, tag_bits)


def test_a_hash_key_of_another_size_is_refused():
    with pytest.raises(ValueError, match="17 bytes"):
        verification_tag(b"", bytes(17))
