"""Verification: are both keys equal now? A universal hash of each frame, its key drawn only after reconciliation.

Frames that differ are thrown away at both ends; ``keyrate.discard`` says what that costs.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qanat.core.errors import RemoteProtocolError
from qanat.core.ports import Entropy
from qanat.crypto.verification import HASH_KEY_BYTES, TAG_BITS, collision_bound, verification_tag
from qanat.distill.messages import Check, Checked
from qanat.distill.sift import Bits, packed, unpacked

Frames = Sequence[NDArray[np.int64]]  # of each frame, which bits of the key it holds


def tag_size_bytes(sizes_bits: Sequence[int], epsilon_cor: float) -> int:
    """Bytes of a frame's tag: the fewest with which no difference in any frame escapes but with epsilon_cor.

    Example:
        >>> tag_size_bytes([65_536] * 4, 1e-15)
        11
    """
    for size_bytes in range(1, TAG_BITS // 8):
        if sum(collision_bound(size, 8 * size_bytes) for size in sizes_bits) <= epsilon_cor:
            return size_bytes
    return TAG_BITS // 8


def sizes_of(frames: Frames) -> list[int]:
    return [len(frame) for frame in frames]


def check(block: int, bits: Bits, frames: Frames, epsilon_cor: float, entropy: Entropy) -> Check:
    """The transmitter's hashes of its key. Both keys are fixed by now, so nobody could aim at a collision."""
    hash_key = entropy.random_bytes(HASH_KEY_BYTES)
    return Check(
        block=block,
        hash_key=hash_key,
        tags=_tags(bits, frames, hash_key, tag_size_bytes(sizes_of(frames), epsilon_cor)),
    )


def verdict(message: Check, bits: Bits, frames: Frames, epsilon_cor: float) -> list[bool]:
    """Whether the receiver's frames have the same hashes, frame by frame.

    Raises:
        RemoteProtocolError: hash key or tags have the wrong size.
    """
    size_bytes = tag_size_bytes(sizes_of(frames), epsilon_cor)
    if len(message.hash_key) != HASH_KEY_BYTES or len(message.tags) != size_bytes * len(frames):
        raise RemoteProtocolError("hash key or tags of a verification have the wrong size")
    own = _tags(bits, frames, message.hash_key, size_bytes)
    places = range(0, len(own), size_bytes)
    return [hmac.compare_digest(own[at : at + size_bytes], message.tags[at : at + size_bytes]) for at in places]


def checked(block: int, is_equal: list[bool]) -> Checked:
    """The receiver's verdict, one bit per frame."""
    return Checked(block=block, equal=packed(np.array(is_equal, dtype=np.uint8)))


def verdict_from(message: Checked, frames: Frames) -> list[bool]:
    """The receiver's verdict as the transmitter reads it.

    Raises:
        RemoteProtocolError: it has another size.
    """
    return [bool(bit) for bit in unpacked(message.equal, len(frames), "verdicts")]


def kept(bits: Bits, frames: Frames, is_equal: list[bool]) -> Bits:
    """The bits of the frames that are equal, in the key's order; ``bits`` itself when all are."""
    if all(is_equal):
        return bits
    is_kept = np.zeros(len(bits), dtype=bool)
    for frame, same in zip(frames, is_equal, strict=True):
        is_kept[frame] = same
    return bits[is_kept]


def _tags(bits: Bits, frames: Frames, hash_key: bytes, size_bytes: int) -> bytes:
    return b"".join(verification_tag(packed(bits[frame]), hash_key)[:size_bytes] for frame in frames)
