"""Authentication spends each secret bit once, keeps a ledger and notices every change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanat.core.errors import AuthenticationFailed, LocalProtocolError, SecretExhausted
from qanat.core.provenance import Authentication
from qanat.core.secret import SecretBits
from qanat.crypto import wegman_carter
from qanat.crypto.wegman_carter import AuthenticationPool, BatchAuthenticator, BatchTooLong, forgery_bound

# RFC 8439, 2.5.2.
RFC_KEY = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
RFC_MESSAGE = b"Cryptographic Forum Research Group"
RFC_TAG = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")


def authenticator(key=RFC_KEY):
    return BatchAuthenticator(SecretBits(key))


def test_the_tag_is_that_of_rfc_8439():
    ours = authenticator()
    ours.update(RFC_MESSAGE[:5])
    ours.update(RFC_MESSAGE[5:])
    assert ours.tag() == RFC_TAG


@given(st.lists(st.binary(max_size=40), max_size=8), st.binary(min_size=32, max_size=32).filter(any))
def test_a_tag_fits_the_same_bytes_however_they_are_cut(parts, key):
    sender, receiver = authenticator(key), authenticator(key)
    for part in parts:
        sender.update(part)
    receiver.update(b"".join(parts))
    receiver.verify(sender.tag())


@pytest.mark.parametrize(
    "tag", [b"", RFC_TAG[:15], RFC_TAG + b"\x00", bytes(16), bytes([RFC_TAG[0] ^ 1]) + RFC_TAG[1:]]
)
def test_any_other_tag_fails(tag):
    receiver = authenticator()
    receiver.update(RFC_MESSAGE)
    with pytest.raises(AuthenticationFailed):
        receiver.verify(tag)


def test_any_changed_byte_fails():
    for place in range(len(RFC_MESSAGE)):
        changed = bytearray(RFC_MESSAGE)
        changed[place] ^= 0x80
        receiver = authenticator()
        receiver.update(bytes(changed))
        with pytest.raises(AuthenticationFailed):
            receiver.verify(RFC_TAG)


@pytest.mark.parametrize("second", ["tag", "verify", "update"])
@pytest.mark.parametrize("first", ["tag", "verify"])
def test_a_key_ends_with_its_first_tag(first, second):
    ours = authenticator()
    if first == "tag":
        ours.tag()
    else:
        with pytest.raises(AuthenticationFailed):
            ours.verify(RFC_TAG)
    with pytest.raises(LocalProtocolError):
        ours.tag() if second == "tag" else getattr(ours, second)(b"")


def test_a_spent_key_is_wiped_and_refused():
    key = SecretBits(RFC_KEY)
    BatchAuthenticator(key).tag()
    assert key == SecretBits(bytes(32))
    with pytest.raises(LocalProtocolError, match="spent before"):
        BatchAuthenticator(key)


def test_a_key_of_another_size_is_refused():
    with pytest.raises(LocalProtocolError, match="256"):
        BatchAuthenticator(SecretBits(bytes(range(1, 32))))


def test_two_pools_that_do_the_same_take_the_same_and_nothing_twice():
    secret = bytes(range(1, 201))
    pools = [AuthenticationPool(SecretBits(secret), authentication=Authentication.PRE_SHARED) for _ in range(2)]
    taken = [b"".join(pool.take(size).reveal() for size in (32, 1, 0, 60)) for pool in pools]
    for pool in pools:
        pool.put(SecretBits(b"fresh"), epsilon=0.0)
    rest = [pool.take(107 + 5).reveal() for pool in pools]
    assert taken[0] == taken[1] == secret[:93]
    assert rest[0] == rest[1] == secret[93:] + b"fresh"


@given(st.integers(0, 64), st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30))
def test_the_ledger_balances_after_every_step(initial, steps):
    pool = AuthenticationPool(SecretBits(bytes(initial)), authentication=Authentication.PRE_SHARED)
    for is_put, size in steps:
        before = (pool.available_bits, pool.spent_bits)
        if is_put:
            pool.put(SecretBits(bytes(size)), epsilon=0.0)
        elif 8 * size <= pool.available_bits:
            assert pool.take(size).size_bytes == size
        else:
            with pytest.raises(SecretExhausted):
                pool.take(size)
            assert (pool.available_bits, pool.spent_bits) == before
        assert pool.available_bits + pool.spent_bits == 8 * initial + pool.returned_bits


def test_a_pool_refuses_part_bytes_and_negative_sizes():
    pool = AuthenticationPool(SecretBits(b"0123"), authentication=Authentication.PRE_SHARED)
    with pytest.raises(LocalProtocolError):
        pool.put(SecretBits(b"\xfe", 7), epsilon=0.0)
    with pytest.raises(LocalProtocolError):
        pool.take(-1)
    assert (pool.available_bits, pool.returned_bits) == (32, 0)


def test_neither_pool_nor_authenticator_shows_the_secret():
    secret = b"do-not-print-me-do-not-print-me!"
    pool = AuthenticationPool(SecretBits(secret), authentication=Authentication.PRE_SHARED)
    ours = BatchAuthenticator(SecretBits(secret))
    with pytest.raises(SecretExhausted) as caught:
        pool.take(1_000)
    for text in (repr(pool), str(pool), repr(ours), str(caught.value), repr(caught.value)):
        assert "print-me" not in text
        assert secret.hex() not in text


def test_the_forgery_bound_is_bernsteins():
    assert forgery_bound(0) == forgery_bound(16) == 8 * 2.0**-106
    assert forgery_bound(17) == 16 * 2.0**-106
    with pytest.raises(ValueError):
        forgery_bound(-1)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1000)), max_size=8), st.lists(st.integers(0, 20)))
def test_the_epsilon_of_what_comes_next_is_that_of_all_it_came_from(put, sizes):
    """Against a list with one entry per byte."""
    pool = AuthenticationPool(SecretBits(b"start"), authentication=Authentication.PRE_SHARED)
    origin = [0] * 5
    for number, (size, millionths) in enumerate(put, 1):
        pool.put(SecretBits(bytes(size)), epsilon=millionths * 1e-6)
        origin += [number] * size
    for size in sizes:
        parts = {number for number in origin[:size] if number}
        expected = sum(put[number - 1][1] * 1e-6 for number in parts)
        assert pool.epsilon_of_next(size) == pytest.approx(expected)
        if size <= len(origin):
            pool.take(size)
            del origin[:size]


def test_a_key_that_has_vouched_for_too_much_is_spent(monkeypatch):
    monkeypatch.setattr(wegman_carter, "BATCH_BYTES_MAX", 100)
    key = SecretBits(bytes(range(1, 33)))
    batch = BatchAuthenticator(key)
    batch.update(bytes(60))
    batch.update(bytes(40))
    with pytest.raises(BatchTooLong):
        batch.update(b"x")
    assert key == SecretBits(bytes(32))
    with pytest.raises(LocalProtocolError):
        batch.tag()
