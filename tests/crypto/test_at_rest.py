"""What lies on disk opens only whole, in its place and under its key."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.crypto.at_rest import NONCE_BYTES, SEAL_OVERHEAD_BYTES, SealBroken, new_data_key, open_sealed, seal


def test_a_seal_opens_again_and_is_plain_aes_gcm(stream_entropy):
    entropy = stream_entropy("roundtrip")
    key = new_data_key(entropy)
    data = seal(key, b"two hundred keys", b"block 7", entropy)
    assert open_sealed(key, data, b"block 7") == b"two hundred keys"
    assert AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], b"block 7") == b"two hundred keys"
    assert len(data) == len(b"two hundred keys") + SEAL_OVERHEAD_BYTES


def test_the_same_plaintext_is_never_sealed_alike(stream_entropy):
    entropy = stream_entropy("nonces")
    key = new_data_key(entropy)
    assert len({seal(key, b"same", b"", entropy) for _ in range(200)}) == 200
    assert len({new_data_key(entropy) for _ in range(200)}) == 200


def test_every_changed_bit_place_or_key_breaks_the_seal(stream_entropy):
    entropy = stream_entropy("tamper")
    key = new_data_key(entropy)
    data = seal(key, b"keys", b"block 7", entropy)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            open_sealed(key, bytes(changed), b"block 7")
    for other_key, other_data, aad in (
        (key, data, b"block 8"),
        (new_data_key(entropy), data, b"block 7"),
        (key, data[:-1], b"block 7"),
        (key, b"", b"block 7"),
    ):
        with pytest.raises(SealBroken):
            open_sealed(other_key, other_data, aad)


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_only_256_bit_keys_are_taken(size, stream_entropy):
    with pytest.raises(ValueError, match="32"):
        seal(bytes(size), b"", b"", stream_entropy("size"))
    with pytest.raises(ValueError, match="32"):
        open_sealed(bytes(size), bytes(64), b"")
