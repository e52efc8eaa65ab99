"""Privacy amplification: the equal keys, shortened to what the proof grants, by a public random Toeplitz matrix."""

from __future__ import annotations

import numpy as np

from qanat.core.errors import RemoteProtocolError
from qanat.core.secret import SecretBits
from qanat.crypto.toeplitz import seed_bits, toeplitz_hash
from qanat.crypto.toeplitz_seed import SeedBook
from qanat.distill.messages import Amplify
from qanat.distill.sift import Bits


def amplification(block: int, size_bits: int, out_bits: int, seeds: SeedBook) -> Amplify:
    """The seed, drawn here and now: long after the photons, and after all that depends on chance but it."""
    return Amplify(block=block, out_bits=out_bits, seed=seeds.drawn(size_bits, out_bits))


def amplified(bits: Bits, message: Amplify) -> SecretBits:
    """The secret key.

    Raises:
        RemoteProtocolError: the seed has the wrong size.
        InexactError: see ``crypto.toeplitz``.
    """
    expected_bytes = (seed_bits(len(bits), message.out_bits) + 7) // 8
    if len(message.seed) != expected_bytes:
        raise RemoteProtocolError(f"a Toeplitz seed of {len(message.seed)} bytes where {expected_bytes} are needed")
    seed = np.frombuffer(message.seed, dtype=np.uint8)
    packed = np.packbits(bits)
    secret = toeplitz_hash(packed, size_bits=len(bits), seed=seed, out_bits=message.out_bits)
    packed[:] = 0
    return SecretBits(secret.tobytes(), message.out_bits)
