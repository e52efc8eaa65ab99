"""Secret sharing and manipulation detection: exact on small fields by trying everything, and at full size."""

import random
from collections import Counter
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.core.errors import LocalProtocolError
from qanat.core.secret import SecretBits
from qanat.crypto.manipulation import FIELD, BinaryField, manipulation_bound
from qanat.crypto.secret_sharing import coefficients_from_shares, value_at
from qanat.crypto.shared_block import CHECK_BYTES, SharesDisagree, block_from_shares, forgery_bound, shares_from_block

ALL = bytes(range(256))


def shared(block: bytes, threshold: int, count: int, seed: int = 1) -> list[SecretBits]:
    return shares_from_block(
        SecretBits(block), threshold=threshold, count=count, random_bytes=random.Random(seed).randbytes
    )


def changed(share: SecretBits, at: int = 0, by: int = 1) -> SecretBits:
    data = bytearray(share.reveal())
    data[at] ^= by
    return SecretBits(data)


# --- secrecy, by counting every case


@pytest.mark.parametrize("secret", [0, 1, 90, 255])
def test_one_share_of_two_is_uniform_whatever_the_secret(secret):
    # All 256 random coefficients side by side: every value comes exactly once.
    for point in (1, 2, 7, 255):
        assert sorted(value_at([bytes([secret]) * 256, ALL], point)) == list(ALL)


@pytest.mark.parametrize("secret", [0, 1, 90, 255])
def test_any_two_shares_of_three_are_jointly_uniform_whatever_the_secret(secret):
    first, second = bytes(a for a in ALL for _ in ALL), ALL * 256
    for here, there in combinations((1, 2, 3), 2):
        one, two = (value_at([bytes([secret]) * 65536, first, second], point) for point in (here, there))
        counted = Counter(zip(one, two, strict=True))
        assert len(counted) == 65536
        assert set(counted.values()) == {1}


def test_a_share_of_a_whole_block_is_uniform_for_a_fixed_block():
    """Chi-square over all bytes of share 1, check part included; false alarm 1e-6 (255 degrees: limit 374)."""
    counted: Counter[int] = Counter()
    for seed in range(400):
        counted.update(shared(bytes(64), 2, 2, seed)[0].reveal())
    mean = sum(counted.values()) / 256
    assert sum((counted[value] - mean) ** 2 / mean for value in range(256)) < 374


# --- detection, by trying every manipulation


@pytest.mark.parametrize(("field", "count"), [(BinaryField(3, 0b011), 1), (BinaryField(4, 0b0011), 1)])
def test_no_manipulation_of_any_value_passes_more_often_than_the_bound(field, count):
    size = 1 << field.bits
    degree = count + 1 - count % 2
    tags = {(x, s): field.tag(x, s) for x in range(size) for s in product(range(size), repeat=count)}
    worst = 0
    for s in product(range(size), repeat=count):
        for delta in product(range(size), repeat=count):
            if not any(delta):
                continue
            other = tuple(a ^ b for a, b in zip(s, delta, strict=True))
            for dx in range(size):
                passing = Counter(tags[x ^ dx, other] ^ tags[x, s] for x in range(size))
                worst = max(worst, *passing.values())
    assert worst == degree + 1  # over q: the bound is reached, so it is no smaller than claimed


def test_two_and_three_symbols_keep_the_bound_of_three():
    field, luck, worst = BinaryField(8, 0x1B), random.Random(3), 0
    for _ in range(150):
        count = luck.choice((2, 3))
        s = [luck.randrange(256) for _ in range(count)]
        other = [value ^ luck.randrange(256) for value in s]
        dx = luck.randrange(256)
        if s != other:
            passing = Counter(field.tag(x ^ dx, other) ^ field.tag(x, s) for x in range(256))
            worst = max(worst, *passing.values())
    assert worst <= 4


def test_the_field_of_128_bits_multiplies_like_the_plain_way():
    luck = random.Random(5)
    for _ in range(20):
        x, symbols = luck.getrandbits(128), [luck.getrandbits(128) for _ in range(luck.randrange(6))]
        padded = symbols if len(symbols) % 2 else [*symbols, 0]
        total, power = 0, x
        for symbol in padded:
            total ^= FIELD.product(power, symbol)
            power = FIELD.product(power, x)
        assert FIELD.tag(x, symbols) == total ^ FIELD.product(power, x)
    # x * x^127 = x^7 + x^2 + x + 1: the reduction polynomial of SP 800-38D
    assert FIELD.product(2, 1 << 127) == 0x87


# --- both together


@given(threshold=st.integers(2, 5), spare=st.integers(0, 3), size=st.integers(1, 100), seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_t_shares_give_the_block_and_fewer_do_not(threshold, spare, size, seed):
    luck = random.Random(seed)
    block = luck.randbytes(size)
    shares = shared(block, threshold, threshold + spare, seed)
    points = luck.sample(range(threshold + spare), threshold)
    joined = block_from_shares([p + 1 for p in points], [shares[p] for p in points], threshold=threshold)
    assert joined.block == SecretBits(block)
    assert not joined.altered | joined.doubtful
    with pytest.raises(SharesDisagree):
        block_from_shares([p + 1 for p in points[1:]], [shares[p] for p in points[1:]], threshold=threshold)


@given(threshold=st.integers(2, 4), seed=st.integers(0, 2**32), where=st.floats(0, 0.999))
@settings(max_examples=80, deadline=None)
def test_one_changed_share_is_named_wherever_it_was_changed(threshold, seed, where):
    luck = random.Random(seed)
    count = 2 * threshold - 1
    shares = shared(luck.randbytes(64), threshold, count, seed)
    liar = luck.randrange(count)
    shares[liar] = changed(shares[liar], int(where * shares[liar].size_bytes), luck.randrange(1, 256))
    joined = block_from_shares(range(1, count + 1), shares, threshold=threshold)
    assert (joined.altered, joined.doubtful) == (frozenset({liar}), frozenset())
    assert joined.block == SecretBits(random.Random(seed).randbytes(64))


@pytest.mark.parametrize("at", [0, 40, 63, 64, 79, 80, 95])
def test_without_a_spare_share_a_change_is_noticed_and_nobody_can_be_named(at):
    shares = shared(bytes(64), 2, 2)
    with pytest.raises(SharesDisagree):
        block_from_shares([1, 2], [changed(shares[0], at), shares[1]], threshold=2)


def test_liars_in_league_below_the_threshold_cannot_make_an_honest_share_look_changed():
    """Two of five liars whose errors cancel in the choice {1, 2, 3}: with a tag on the block alone, that choice would
    pass and shares 4 and 5 would be named."""
    block = random.Random(9).randbytes(64)
    shares = shared(block, 3, 5)
    # errors e1, e2 at points 1, 2 with l1 e1 + l2 e2 = 0 for Lagrange's l at 0 over points 1, 2, 3
    l1, l2 = (
        coefficients_from_shares([1, 2, 3], [bytes([1 if i == j else 0]) for j in range(3)])[0][0] for i in range(2)
    )
    from qanat.crypto.secret_sharing import product as times

    for at in (10, 64 + 3):
        liars = [changed(shares[0], at, l2), changed(shares[1], at, l1)]
        assert times(l1, l2) == times(l2, l1)
        joined = block_from_shares(range(1, 6), [*liars, *shares[2:]], threshold=3)
        assert joined.block == SecretBits(block)
        assert not joined.altered & {2, 3, 4}
    assert joined.doubtful  # in the check part: seen, but not named


def test_two_shares_that_claim_one_point_are_told_apart():
    shares = shared(bytes(64), 2, 3)
    joined = block_from_shares([2, 1, 2], [changed(shares[2]), shares[0], shares[1]], threshold=2)
    assert joined.altered == {0}


def test_the_bound_counts_symbols_and_choices():
    assert manipulation_bound(16) == 2 * 2.0**-128
    assert manipulation_bound(32) == manipulation_bound(48) == 4 * 2.0**-128
    # 4 symbols each of two coefficients and 1 of the context's length: 9, and one root more for another length
    assert forgery_bound(64, threshold=2, count=3) == 3 * (9 + 2) * 2.0**-128


def test_shares_under_another_context_do_not_fit():
    shares = shares_from_block(SecretBits(b"key"), threshold=2, count=2, random_bytes=random.randbytes, context=b"a")
    assert block_from_shares([1, 2], shares, threshold=2, context=b"a").block == SecretBits(b"key")
    for other in (b"", b"b", b"a\0", b"a" * 17):
        with pytest.raises(SharesDisagree):
            block_from_shares([1, 2], shares, threshold=2, context=other)


def test_a_share_is_longer_than_its_block_by_the_check():
    assert shared(bytes(64), 2, 2)[0].size_bytes == 64 + CHECK_BYTES


@pytest.mark.parametrize(("threshold", "count"), [(1, 2), (3, 2), (0, 0), (2, 300)])
def test_a_threshold_that_promises_nothing_is_refused(threshold, count):
    with pytest.raises(LocalProtocolError):
        shared(b"x", threshold, count)
