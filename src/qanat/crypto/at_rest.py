"""Sealing at rest: AES-256-GCM around what a key store writes to disk.

Secret under the assumption that AES-256 is; it protects a stolen disk, not a running machine. A sealed
form is nonce (12 bytes), cipher, tag (16 bytes). Nonces are random: NIST SP 800-38D, 8.3, allows 2**32
seals under one key, far above what one data key sees (a store makes one per block).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.core.errors import QanatError
from qanat.core.ports import Entropy

DATA_KEY_BYTES = 32
NONCE_BYTES = 12
SEAL_OVERHEAD_BYTES = NONCE_BYTES + 16


class SealBroken(QanatError):
    """Something stored under a seal was changed, moved to another place, or belongs to another key. It is
    not used; restore the store from a copy or give up the keys in it."""


def new_data_key(entropy: Entropy) -> bytes:
    """A fresh AES-256 key. Its owner seals it under another key before it touches a disk."""
    return entropy.random_bytes(DATA_KEY_BYTES)


def seal(key: bytes, plaintext: bytes, aad: bytes, entropy: Entropy) -> bytes:
    """The plaintext under the key.

    Args:
        aad: What the sealed form is and where it belongs; opening needs the same. It is not included.

    Raises:
        ValueError: the key does not have 32 bytes.
    """
    nonce = entropy.random_bytes(NONCE_BYTES)
    return nonce + _cipher(key).encrypt(nonce, plaintext, aad)


def open_sealed(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """The plaintext again.

    Raises:
        SealBroken: another key, another ``aad``, or changed bytes; which of them cannot be told.
        ValueError: the key does not have 32 bytes.
    """
    cipher = _cipher(key)
    if len(sealed) < SEAL_OVERHEAD_BYTES:
        raise SealBroken(f"{len(sealed)} bytes are shorter than an empty seal")
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag:
        raise SealBroken(f"a sealed form of {len(sealed)} bytes does not open") from None


def _cipher(key: bytes) -> AESGCM:
    if len(key) != DATA_KEY_BYTES:  # AESGCM would take a weaker AES-128 key without a word
        raise ValueError(f"a data key has {DATA_KEY_BYTES} bytes, not {len(key)}")
    return AESGCM(key)
