"""A relayed key travels under a pad and a tag; any change on the way is noticed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanat.core.errors import AuthenticationFailed, LocalProtocolError, RemoteProtocolError
from qanat.core.secret import SecretBits
from qanat.crypto.one_time_pad import MAC_TAG_BYTES, open_hop, pad, seal_hop, unpad

PAYLOAD = bytes(range(100, 132))
PAD = bytes(range(7, 39))
MAC = bytes(range(200, 232))
HEADER = b"relay 1 of 3"


def sealed(header=HEADER):
    return seal_hop(SecretBits(PAYLOAD), SecretBits(PAD), SecretBits(MAC), header)


def opened(data, header=HEADER, pad_key=PAD, mac_key=MAC):
    return open_hop(data, SecretBits(pad_key), SecretBits(mac_key), header)


@given(st.binary(max_size=50), st.randoms(use_true_random=False), st.binary(max_size=50))
def test_a_hop_carries_the_key_and_shows_only_its_size(payload, rng, header):
    pad_key, mac_key = rng.randbytes(len(payload)), b"k" + rng.randbytes(31)
    data = seal_hop(SecretBits(payload), SecretBits(pad_key), SecretBits(mac_key), header)
    assert len(data) == len(payload) + MAC_TAG_BYTES
    assert opened(data, header, pad_key, mac_key) == SecretBits(payload)


def test_the_cipher_is_the_exclusive_or():
    assert sealed()[:-MAC_TAG_BYTES] == bytes(a ^ b for a, b in zip(PAYLOAD, PAD, strict=True))


def test_every_changed_bit_is_noticed():
    data = sealed()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationFailed):
            opened(bytes(changed))


@pytest.mark.parametrize("data", [b"", sealed()[:-1], sealed() + b"\x00", sealed()[:16]])
def test_another_size_is_noticed(data):
    with pytest.raises(AuthenticationFailed):
        opened(data)


def test_another_header_or_key_is_noticed():
    for wrong in (
        {"header": b"relay 2 of 3"},
        {"header": HEADER + b"\x00"},
        {"header": b""},
        {"mac_key": MAC[::-1]},
    ):
        with pytest.raises(AuthenticationFailed):
            opened(sealed(), **wrong)


def test_no_byte_can_move_from_header_to_cipher():
    data = sealed(b"head")
    with pytest.raises(AuthenticationFailed):
        open_hop(b"d" + data, SecretBits(b"x" + PAD), SecretBits(MAC), b"hea")


def test_pads_and_tags_need_keys_of_their_size_that_are_not_wiped():
    with pytest.raises(LocalProtocolError, match="pad"):
        seal_hop(SecretBits(PAYLOAD), SecretBits(PAD[:-1]), SecretBits(MAC), HEADER)
    with pytest.raises(LocalProtocolError, match="MAC"):
        seal_hop(SecretBits(PAYLOAD), SecretBits(PAD), SecretBits(MAC[:-1]), HEADER)
    with pytest.raises(LocalProtocolError, match="wiped"):
        opened(sealed(), mac_key=bytes(32))


def test_part_bytes_are_padded_bit_by_bit():
    message, key = SecretBits(b"\xab\xc0", 10), SecretBits(b"\x12\x40", 10)
    cipher = pad(message, key)
    assert unpad(cipher, key) == message
    with pytest.raises(RemoteProtocolError):
        unpad(b"\xff\xff", key)
    with pytest.raises(RemoteProtocolError):
        unpad(cipher + b"\x00", key)
