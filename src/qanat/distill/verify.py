"""Verification: are both keys equal now? A universal hash, its key drawn only after reconciliation."""

from __future__ import annotations

import hmac

import numpy as np

from qanat.core.errors import RemoteProtocolError
from qanat.core.ports import Entropy
from qanat.crypto.verification import HASH_KEY_BYTES, TAG_BITS, verification_tag
from qanat.distill.messages import Check
from qanat.distill.sift import Bits


def check(block: int, bits: Bits, entropy: Entropy) -> Check:
    """The transmitter's hash of its key. Both keys are fixed by now, so nobody could aim at a collision."""
    hash_key = entropy.random_bytes(HASH_KEY_BYTES)
    return Check(block=block, hash_key=hash_key, tag=verification_tag(np.packbits(bits).tobytes(), hash_key))


def is_equal(message: Check, bits: Bits) -> bool:
    """Whether the receiver's key has the same hash.

    Raises:
        RemoteProtocolError: hash key or tag has the wrong size.
    """
    if len(message.hash_key) != HASH_KEY_BYTES or len(message.tag) * 8 != TAG_BITS:
        raise RemoteProtocolError("hash key or tag of a verification has the wrong size")
    return hmac.compare_digest(verification_tag(np.packbits(bits).tobytes(), message.hash_key), message.tag)
